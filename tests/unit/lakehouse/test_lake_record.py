"""A lake knows the settings that it was made with, and reports other settings of a shell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.lake_record import (
    ServedLake,
    meet_lake,
    read_records,
    refuse_lost_limits,
    shaping_settings,
    write_record,
)
from lakehouse.settings import Settings

BOX = (16.24, 45.76, 16.31, 45.79)
OTHER_BOX = (1.0, 2.0, 3.0, 4.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that was made with a box and two bands, and has chips."""
    home = tmp_path_factory.mktemp("lake")
    made_with(home, bbox=BOX, bands=("red", "nir"))
    make_chips(home)
    return home


def settings_of(home: Path, **values: Any) -> Settings:
    return Settings().replace(home=home, **values)


def made_with(home: Path, **values: Any) -> None:
    assert meet_lake(settings_of(home, **values)) == ()


def make_chips(home: Path) -> None:
    open_catalog(settings_of(home)).create_table("chiplake.fct_chips", pa.schema([("chip_id", pa.string())]))


def recorded(home: Path, schema: str = "chiplake") -> dict[str, str]:
    return dict(read_records(ensure_sources(settings_of(home)))[schema])


def test_the_settings_that_rows_depend_on_are_recorded() -> None:
    names = [one.name for one in shaping_settings(Settings())]
    assert names == [
        *("bands", "probabilities", "bbox", "valid_scl_classes"),
        *("fill_max_age_days", "fill_cloud_dilation_pixels"),
        *("fill_max_cloud_probability", "fill_max_snow_probability", "fill_mask", "fill_adjust"),
        *("fill_suspects", "fill_suspect_bright_ratio", "fill_suspect_bright_difference", "fill_suspect_dark_ratio"),
        "fill_min_complete",
        *("composite_periods", "composite_method"),
        *("embed_min_complete", "embed_bbox", "embed_int8"),
        *("change_min_valid_fraction", "change_min_history", "change_history"),
        *("change_year_window_days", "change_min_distance", "change_min_score"),
    ]


def test_the_first_run_records_the_settings_of_its_shell(home: Path) -> None:
    values = recorded(home)
    assert values["bbox"] == "[16.24, 45.76, 16.31, 45.79]"
    assert values["bands"] == '["red", "nir"]'
    assert values["fill_max_age_days"] == "60"
    assert len(values) == len(shaping_settings(Settings()))


def test_a_shell_with_the_same_settings_hears_nothing_and_writes_nothing(home: Path) -> None:
    table = ensure_sources(settings_of(home)).load_table("raw.lake_settings")
    assert meet_lake(settings_of(home, bbox=BOX, bands=("nir", "red"))) == ()
    assert table.refresh().metadata_location == table.metadata_location


def test_a_shell_without_the_box_is_refused_with_the_remedy(home: Path) -> None:
    found = meet_lake(settings_of(home, bands=("red", "nir")))
    with pytest.raises(ChiplakeError) as refused:
        refuse_lost_limits(found)
    assert str(refused.value) == (
        "the lake was made with CHIPLAKE_BBOX=16.24,45.76,16.31,45.79; none is set here, so whole tiles would be cut: "
        "set CHIPLAKE_BBOX=16.24,45.76,16.31,45.79, or accept the change with `chiplake settings --record`"
    )
    assert recorded(home)["bbox"] == "[16.24, 45.76, 16.31, 45.79]", "nothing was recorded instead"


def test_other_values_are_named_and_not_refused(home: Path) -> None:
    found = meet_lake(settings_of(home, bbox=OTHER_BOX, bands=("red",), fill_max_age_days=30))
    refuse_lost_limits(found)
    assert [(one.variable, one.here, one.lake) for one in found] == [
        ("CHIPLAKE_BANDS", "red", "red,nir"),
        ("CHIPLAKE_BBOX", "1.0,2.0,3.0,4.0", "16.24,45.76,16.31,45.79"),
        ("CHIPLAKE_FILL_MAX_AGE_DAYS", "30", "60"),
    ]
    assert found[0].line == (
        "CHIPLAKE_BANDS is red here; the lake was made with red,nir: set CHIPLAKE_BANDS=red,nir, or accept the change "
        "with `chiplake settings --record`"
    )


def test_dbt_variables_are_meant_and_stand_for_the_settings(home: Path) -> None:
    shell = settings_of(home, bands=("red", "nir"))
    given = {"bbox": list(OTHER_BOX), "fill_max_age_days": 30, "start_date": "2023-08-01", "bands": None}
    assert meet_lake(shell, variables=given) == ()
    assert [one.variable for one in meet_lake(shell, variables={"bands": ["red"]})] == ["CHIPLAKE_BBOX"]


def test_a_lost_box_of_the_embedding_is_refused_too(tmp_path: Path) -> None:
    made_with(tmp_path, embed_bbox=BOX)
    with pytest.raises(ChiplakeError, match=r"CHIPLAKE_EMBED_BBOX=.*chips of the whole lake would be embedded"):
        refuse_lost_limits(meet_lake(settings_of(tmp_path)))


def test_a_lake_without_chips_takes_new_settings_but_does_not_lose_its_box(tmp_path: Path) -> None:
    """Ingestion records, too: its shell may not have all settings of the run that follows."""
    made_with(tmp_path)
    made_with(tmp_path, bbox=BOX)
    made_with(tmp_path, bbox=BOX, bands=("red",))
    assert recorded(tmp_path)["bands"] == '["red"]'
    assert [one.is_lost_limit for one in meet_lake(settings_of(tmp_path, bands=("red",)))] == [True]


def test_an_accepted_change_replaces_the_record(tmp_path: Path) -> None:
    made_with(tmp_path, bbox=BOX)
    make_chips(tmp_path)
    settings = settings_of(tmp_path, change_history=5)
    write_record(ensure_sources(settings), settings)
    assert meet_lake(settings) == ()
    assert recorded(tmp_path)["bbox"] == "null"
    assert len(recorded(tmp_path)) == len(shaping_settings(settings))


def test_schemas_have_their_own_records_and_a_new_one_is_compared_with_the_main_one(tmp_path: Path) -> None:
    made_with(tmp_path, bbox=BOX)
    make_chips(tmp_path)
    assert [one.is_lost_limit for one in meet_lake(settings_of(tmp_path, target_schema="dev_ann"))] == [True]
    assert meet_lake(settings_of(tmp_path, target_schema="dev_ann", bbox=OTHER_BOX)) == ()
    assert recorded(tmp_path, "dev_ann")["bbox"] == "[1.0, 2.0, 3.0, 4.0]"
    assert recorded(tmp_path)["bbox"] == "[16.24, 45.76, 16.31, 45.79]"


def test_a_setting_of_a_later_release_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.lake_record._NAMES", ("bands", "bbox"))
    made_with(tmp_path)
    make_chips(tmp_path)
    monkeypatch.undo()
    assert meet_lake(settings_of(tmp_path, embed_int8=True)) == ()


@dataclass
class Server:
    """A server whose lake has chips of one schema and the recorded settings of it."""

    record: dict[str, str]
    schema: str = "chiplake"
    locked: str | None = None
    written: list[str] = field(default_factory=list)

    def run(self, statement: str) -> Sequence[Sequence[Any]]:
        if statement.startswith("select schema_name, setting, value from raw.lake_settings"):
            return [(self.schema, setting, value) for setting, value in self.record.items()]
        if statement.startswith("show"):
            return [(self.schema,)] if f"'{self.schema}'" in statement or "'fct_chips'" in statement else []
        assert self.locked == "raw.lake_settings"
        self.written.append(statement)
        return []

    @contextmanager
    def lock(self, table: str) -> Iterator[None]:
        self.locked = table
        yield
        self.locked = None

    @property
    def lake(self) -> ServedLake:
        return ServedLake(self.run, self.lock)


def test_a_client_of_a_server_is_told_of_the_settings_of_its_lake(home: Path, tmp_path: Path) -> None:
    """The client's own lake says nothing: here it does not exist."""
    server = Server(recorded(home))
    client = settings_of(tmp_path, bands=("red",))
    lines = [one.line for one in meet_lake(client, lake=server.lake)]
    assert lines == [
        "CHIPLAKE_BANDS is red here; the lake was made with red,nir: set CHIPLAKE_BANDS=red,nir, or accept the change "
        "with `chiplake settings --record` where the server runs",
        "the lake was made with CHIPLAKE_BBOX=16.24,45.76,16.31,45.79; none is set here, so whole tiles would be cut: "
        "set CHIPLAKE_BBOX=16.24,45.76,16.31,45.79, or accept the change with `chiplake settings --record` where the "
        "server runs",
    ]
    assert meet_lake(settings_of(tmp_path, bands=("red", "nir"), bbox=BOX), lake=server.lake) == ()
    assert server.written == []
    assert list(tmp_path.iterdir()) == []


def test_the_first_client_of_a_schema_records_its_settings_in_the_lake_of_the_server(
    home: Path, tmp_path: Path
) -> None:
    server = Server(recorded(home))
    client = settings_of(tmp_path, bands=("red", "nir"), bbox=OTHER_BOX, target_schema="dev_ann")
    assert meet_lake(client, lake=server.lake) == ()
    assert len(server.written) == 1
    assert "('bbox', '[1.0, 2.0, 3.0, 4.0]')" in server.written[0]
    assert list(tmp_path.iterdir()) == []
