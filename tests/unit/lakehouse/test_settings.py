"""Settings: groups, variables of the environment, and the list of all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_DIR, InvalidSettingError, Settings
from lakehouse.settings.listing import list_settings


def test_every_setting_has_one_variable_a_group_a_type_and_a_sentence() -> None:
    settings = list_settings(Settings())
    assert len({setting.variable for setting in settings}) == len(settings)
    for setting in settings:
        assert setting.variable == f"CHIPLAKE_{setting.name.upper()}"
        assert re.fullmatch(r"[A-Zs].*[.…]", setting.description), setting
        assert setting.type, setting


def test_a_variable_of_each_kind_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPLAKE_SHUFFLE_PARTITIONS", "3")
    monkeypatch.setenv("CHIPLAKE_FILL_MIN_COMPLETE", "0.5")
    monkeypatch.setenv("CHIPLAKE_EMBED_BBOX", "[179, 0, -179, 1]")
    monkeypatch.setenv("CHIPLAKE_BANDS", '["nir", "red"]')
    settings = Settings()
    assert settings.runtime.shuffle_partitions == 3
    assert settings.filling.min_complete == 0.5
    assert settings.embedding.bbox == (179.0, 0.0, -179.0, 1.0)
    assert settings.cutting.bands == ("red", "nir")
    values = {setting.variable: setting.value for setting in list_settings(settings)}
    assert values["CHIPLAKE_BANDS"] == '["red", "nir"]'
    assert values["CHIPLAKE_SHUFFLE_PARTITIONS"] == "3"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CHIPLAKE_FILL_MAX_AGE_DAYS", "0"),
        ("CHIPLAKE_BBOX", "[0, 10, 1, 9]"),
        ("CHIPLAKE_VALID_SCL_CLASSES", "[0]"),
        ("CHIPLAKE_TRANSFORM_MAX_PAYLOAD_MB", "51"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(InvalidSettingError, match=rf"^setting {variable}: "):
        Settings()


def test_a_copy_with_other_values_leaves_the_rest_and_is_checked() -> None:
    settings = Settings().replace(spark_master="yarn", change_min_score=3.0)
    assert (settings.runtime.spark_master, settings.change.min_score) == ("yarn", 3.0)
    assert settings.replace(change_history=5).change.min_score == 3.0
    with pytest.raises(InvalidSettingError, match="CHIPLAKE_CHANGE_HISTORY"):
        settings.replace(change_history=0)
    with pytest.raises(KeyError, match="no_such_setting"):
        settings.replace(no_such_setting=1)


@pytest.mark.parametrize(
    ("variable", "text", "as_json"),
    [
        ("CHIPLAKE_BBOX", "16.3,45.7,16.5,45.8", "[16.3, 45.7, 16.5, 45.8]"),
        ("CHIPLAKE_BBOX", " 16.3, 45.7, 16.5, 45.8 ", "[16.3, 45.7, 16.5, 45.8]"),
        ("CHIPLAKE_EMBED_BBOX", "179,-20,-179,0", "[179, -20, -179, 0]"),
        ("CHIPLAKE_BANDS", "nir,red", '["nir", "red"]'),
        ("CHIPLAKE_VALID_SCL_CLASSES", "4,5,6", "[4, 5, 6]"),
        ("CHIPLAKE_COMPOSITE_PERIODS", "year,month", '["month", "year"]'),
        ("CHIPLAKE_STAC_HREF_ORDER", "s3,https", '["s3", "https"]'),
    ],
)
def test_a_list_is_json_or_its_parts_with_commas(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, as_json: str
) -> None:
    read = []
    for form in (text, as_json):
        monkeypatch.setenv(variable, form)
        read.append({setting.variable: setting.value for setting in list_settings(Settings())}[variable])
    assert read[0] == read[1] != "null"


def test_the_lists_above_are_all_that_there_are() -> None:
    lists = [setting.variable for setting in list_settings(Settings()) if setting.type.startswith("list of")]
    assert sorted(lists) == [
        "CHIPLAKE_BANDS",
        "CHIPLAKE_BBOX",
        "CHIPLAKE_COMPOSITE_PERIODS",
        "CHIPLAKE_EMBED_BBOX",
        "CHIPLAKE_STAC_HREF_ORDER",
        "CHIPLAKE_VALID_SCL_CLASSES",
    ]


def test_no_box_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPLAKE_BBOX", "null")
    assert Settings().cutting.bbox is None


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("CHIPLAKE_BBOX", "16,45,17", "expected four numbers west,south,east,north in degrees, found 3"),
        ("CHIPLAKE_BBOX", "[16, 45", "is not valid JSON"),
        ("CHIPLAKE_STAC_PROPERTIES", "eo:cloud_cover=double", "is not valid JSON"),
        ("CHIPLAKE_BANDS", "red,infrared", "unknown bands"),
        ("CHIPLAKE_COMPOSITE_PERIODS", "month,week", "unknown periods"),
    ],
)
def test_a_wrong_list_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, reason: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(InvalidSettingError, match=rf"^setting {variable}: .*{reason}[^\n]*$"):
        Settings()


def test_models_have_a_schema_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().lake.table("fct_chips") == "chiplake.fct_chips"
    monkeypatch.setenv("CHIPLAKE_TARGET_SCHEMA", "dev_ann")
    assert Settings().lake.table("fct_chips") == "dev_ann.fct_chips"


@pytest.mark.parametrize("schema", ["raw", "default", "dev-ann", "Dev", "a.b", "1st", ""])
def test_a_schema_of_models_is_a_plain_name_and_not_that_of_other_tables(
    monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    monkeypatch.setenv("CHIPLAKE_TARGET_SCHEMA", schema)
    with pytest.raises(InvalidSettingError, match="CHIPLAKE_TARGET_SCHEMA"):
        Settings()


@pytest.mark.parametrize("variable", ["CHIPLAKE_RAW_SCHEMA", "CHIPLAKE_OPS_SCHEMA"])
@pytest.mark.parametrize("schema", ["default", "dev_ann", "dev-raw", ""])
def test_a_schema_of_sources_is_a_plain_name_and_not_that_of_other_tables(
    monkeypatch: pytest.MonkeyPatch, variable: str, schema: str
) -> None:
    monkeypatch.setenv("CHIPLAKE_TARGET_SCHEMA", "dev_ann")
    monkeypatch.setenv(variable, schema)
    with pytest.raises(InvalidSettingError, match=variable):
        Settings()


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_tables_of_python_are_in_the_raw_schema(tmp_path: Path, place: str) -> None:
    file = tmp_path / ".env"
    file.write_text("CHIPLAKE_RAW_SCHEMA=dev_raw\n" if place == ".env" else "")
    variables = {"CHIPLAKE_ENV_FILE": str(file), "CHIPLAKE_OPS_SCHEMA": "dev_ops"} | (
        {} if place == ".env" else {"CHIPLAKE_RAW_SCHEMA": "dev_raw"}
    )
    script = "from lakehouse.source_schemas import SOURCES; print(*sorted({name.split('.')[0] for name in SOURCES}))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=PROJECT_DIR, env=os.environ | variables, capture_output=True, text=True)
    assert done.stdout == "dev_ops dev_raw\n", done.stderr
