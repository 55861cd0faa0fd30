"""The rules of the dbt project, checked in its manifest. These tests start no JVM."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyiceberg.schema import Schema

from ingestion.model import Reason
from lakehouse.bands import BAND_NAMES, BANDS
from lakehouse.settings import PROJECT_DIR, get_settings
from lakehouse.settings.listing import list_settings
from lakehouse.source_schemas import (
    BOA_OFFSET_OVERRIDES_SCHEMA,
    CLAY_EMBEDDINGS_SCHEMA,
    LAKE_SETTINGS_SCHEMA,
    STAC_CHECKPOINTS_SCHEMA,
    STAC_ITEMS_SCHEMA,
    STAC_REJECTS_SCHEMA,
)

# Folders of models, from left to right.
STAGES = ("staging", "scenes", "chips", "filling", "composites", "embeddings", "anomalies", "changes", "operations")
MARTS = ("dim_", "fct_")
ACCESS = {True: ("public",), False: ("protected", "private")}
RUN_VARIABLES = {"start_date", "end_date", "recompute"}  # variables that are not settings
MAX_LINE = 120
KEYWORDS = re.compile(
    r"\b(SELECT|FROM|WHERE|JOIN|ON|AND|OR|NOT|CASE|WHEN|THEN|ELSE|END|AS|GROUP|ORDER|BY|UNION|VALUES)\b"
)
UNIQUENESS_TESTS = {"unique", "unique_together"}

Node = dict[str, Any]


def run_without_java(command: list[str], folder: Path) -> None:
    """Run a program of the environment; fail if the program fails or starts Java."""
    java = folder / "java_home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\ntouch {folder}/java_was_started\nexit 1\n")
    java.chmod(0o755)
    environment = os.environ | {
        "JAVA_HOME": str(java.parent.parent),
        "PATH": f"{java.parent}{os.pathsep}{os.environ['PATH']}",
        "CHIPLAKE_HOME": str(folder / "home"),
    }
    command[0] = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "java_was_started").exists()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The manifest of `dbt parse`, which fails on any warning or deprecation."""
    folder = tmp_path_factory.mktemp("dbt")
    target = folder / "target"
    options = ["--show-all-deprecations", "--target-path", str(target), "--log-path", str(folder / "logs")]
    run_without_java(["dbt", "--warn-error", "parse", *options], folder)
    written: Node = json.loads((target / "manifest.json").read_text())
    return written


@pytest.fixture(scope="module")
def models(manifest: Node) -> list[Node]:
    """The models of the pipeline; own models of a user are in other folders."""
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == "model" and stage(node) in STAGES]
    assert found
    return found


@pytest.fixture(scope="module")
def macros(manifest: Node) -> list[Node]:
    found = [macro for macro in manifest["macros"].values() if macro["package_name"] == "chiplake"]
    assert found
    return found


def stage(model: Node) -> str:
    return str(model["fqn"][1])


def is_mart(model: Node) -> bool:
    return str(model["name"]).startswith(MARTS)


def test_every_model_describes_its_rows(models: list[Node]) -> None:
    assert [model["name"] for model in models if not model["description"].startswith("One row per ")] == []


def test_every_column_is_described_and_typed(models: list[Node], manifest: Node) -> None:
    incomplete = [
        (table["name"], name)
        for table in [*models, *manifest["sources"].values()]
        for name, column in table["columns"].items()
        if not column["description"] or not column["data_type"]
    ]
    assert incomplete == []
    assert [model["name"] for model in models if not model["columns"]] == []


def test_meta_of_columns_is_units_dtype_and_shape(models: list[Node], manifest: Node) -> None:
    columns = {
        (node["name"], column["name"]): column["config"]["meta"]
        for node in [*models, *manifest["sources"].values()]
        for column in node["columns"].values()
    }
    assert {key for meta in columns.values() for key in meta} == {"units", "dtype", "shape"}
    for table in ("fct_chips", "fct_filled_chips", "fct_composites"):
        for band in BANDS:
            meta = columns[table, band.name]
            assert (meta["dtype"], meta["shape"]) == ("uint16", f"{band.pixels} x {band.pixels}")
    assert not any(node["config"]["meta"] for node in models)


def test_models_have_the_prefix_of_their_kind(models: list[Node]) -> None:
    for model in models:
        prefixes = ("stg_",) if stage(model) == "staging" else ("stg_", "int_", *MARTS)
        assert model["name"].startswith(prefixes), model["name"]


def test_models_flow_one_way(models: list[Node], manifest: Node) -> None:
    """A model reads models of its own folder, or of one to the left."""
    backwards = [
        (model["name"], manifest["nodes"][node]["name"])
        for model in models
        for node in model["depends_on"]["nodes"]
        if node in manifest["nodes"] and stage(manifest["nodes"][node]) not in STAGES[: STAGES.index(stage(model)) + 1]
    ]
    assert backwards == []


def test_only_the_pipeline_has_the_materialization_of_the_project(models: list[Node], manifest: Node) -> None:
    assert {model["config"]["materialized"] for model in models} == {"exact_incremental", "ephemeral"}
    assert [macro for macro in manifest["macros"] if macro.startswith("macro.chiplake.materialization_")] == [
        "macro.chiplake.materialization_exact_incremental_spark"
    ]
    # dbt docs show `meta` first; it is no place for the configuration of a materialization.
    assert [model["name"] for model in models if model["config"]["meta"]] == []


def test_marts_are_public_and_other_models_are_not(models: list[Node]) -> None:
    for model in models:
        assert model["access"] in ACCESS[is_mart(model)], model["name"]
        assert model["group"], model["name"]


def test_marts_enforce_their_contracts(models: list[Node]) -> None:
    marts = [model for model in models if is_mart(model)]
    assert marts
    assert [model["name"] for model in marts if not model["config"]["contract"]["enforced"]] == []


def test_a_staging_model_reads_one_source_and_no_other_model_reads_any(models: list[Node]) -> None:
    for model in models:
        sources = [node for node in model["depends_on"]["nodes"] if node.startswith("source.")]
        assert len(sources) == model["name"].startswith("stg_"), model["name"]


def test_stages_of_the_night_are_folders_from_left_to_right(manifest: Node, models: list[Node]) -> None:
    """A selector names folders or files of models; together they are all models."""
    paths = [
        part["value"]
        for selector in manifest["selectors"].values()
        for part in selector["definition"]["union"]
        if part.get("method") == "path"
    ]
    folders = [path.split("/")[1] for path in paths]
    assert list(dict.fromkeys(folders)) == list(STAGES)
    assert [model["name"] for model in models if not model["original_file_path"].startswith(tuple(paths))] == []


def test_every_table_has_a_tested_key(models: list[Node], manifest: Node) -> None:
    tested = {
        parent
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") in UNIQUENESS_TESTS
        for parent in ([node["attached_node"]] if node["attached_node"] else node["depends_on"]["nodes"])
    }
    tables = [model for model in models if model["config"]["materialized"] != "ephemeral"]
    assert {table["unique_id"] for table in [*tables, *manifest["sources"].values()]} - tested == set()


def test_every_macro_is_documented(macros: list[Node]) -> None:
    assert [macro["name"] for macro in macros if not macro["description"]] == []
    callable_in_sql = [macro for macro in macros if not macro["name"].startswith(("materialization_", "test_"))]
    assert [
        (macro["name"], argument["name"])
        for macro in callable_in_sql
        for argument in macro["arguments"]
        if not argument["description"] or not argument["type"]
    ] == []


@pytest.mark.parametrize("folder", ["macros", "tests/dbt/generic"])
def test_a_file_of_macros_defines_the_macro_of_its_name_only(folder: str) -> None:
    definition = re.compile(r"\{%-?\s*(?:macro|materialization|test)\s+(\w+)")
    files = list((PROJECT_DIR / folder).rglob("*.sql"))
    assert files
    assert {path.stem: definition.findall(path.read_text()) for path in files} == {
        path.stem: [path.stem] for path in files
    }


def test_macros_are_described_in_their_own_folder(macros: list[Node]) -> None:
    elsewhere = [
        (macro["name"], macro["patch_path"])
        for macro in macros
        if macro["patch_path"] and Path(macro["patch_path"].split("//")[1]).parent != Path(macro["path"]).parent
    ]
    assert elsewhere == []


def test_models_end_with_their_last_step(models: list[Node]) -> None:
    """They read from top to bottom: import CTEs, named steps, `select * from final`."""
    assert [model["name"] for model in models if not model["raw_code"].endswith("\nselect * from final")] == []


def sql_of_macros() -> list[Path]:
    """Return the SQL that sqlfluff does not lint, because dbt renders macros only where they are called."""
    folders = ("macros", "tests/dbt/generic", "tests/integration/models/macros")
    return [path for folder in folders for path in sorted((PROJECT_DIR / folder).rglob("*.sql"))]


@pytest.mark.parametrize("path", sql_of_macros(), ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_macros_are_laid_out_like_models(path: Path) -> None:
    """Lines of 120 characters, keywords in lower case, commas at the end of a line."""
    text = path.read_text()
    assert [line for line in text.splitlines() if len(line) > MAX_LINE] == []
    code = re.sub(r"\{#.*?#\}|--[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", "''", text, flags=re.DOTALL)
    assert KEYWORDS.findall(code) == []
    assert [line for line in code.splitlines() if line.strip().startswith(",")] == []
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_the_project_file_lists_every_variable() -> None:
    """The file lists variables with a comment each; a null leaves the value to the setting."""
    listed = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]["chiplake"]
    sql = [
        path.read_text()
        for folder in ("macros", "models", "tests/dbt")
        for path in (PROJECT_DIR / folder).rglob("*.sql")
    ]
    read = {name for text in sql for name in re.findall(r"(?:setting|limit)\('(\w+)'\)", text)}
    assert read | RUN_VARIABLES <= set(listed)
    assert set(listed) - RUN_VARIABLES <= {setting.name for setting in list_settings(get_settings())}
    assert {value for name, value in listed.items() if name != "recompute"} == {None}


def variables_of(model: Node, macros: dict[str, Node], overridden: set[str]) -> set[str]:
    """Return the variables and settings that a model reads, itself or in macros, except in overridden macros."""
    plans = model["config"].get("plans") or (["pending_inputs"] if model["config"].get("inputs") else [])
    waiting = [*model["depends_on"]["macros"], *(f"macro.chiplake.{plan}" for plan in plans)]
    sql, seen = [model["raw_code"]], {"macro.chiplake.setting"}
    while waiting:
        macro = waiting.pop()
        if macro in seen or not macro.startswith("macro.chiplake.") or macros[macro]["name"] in overridden:
            continue
        seen.add(macro)
        sql.append(macros[macro]["macro_sql"])
        waiting += macros[macro]["depends_on"]["macros"]
    return {name for text in sql for name in re.findall(r"\b(?:setting|limit|var)\('(\w+)'", text)}


def test_the_nightly_dag_depends_on_every_mart(models: list[Node], manifest: Node) -> None:
    exposure = manifest["exposures"]["exposure.chiplake.sentinel_chip_processing"]
    assert set(exposure["depends_on"]["nodes"]) == {model["unique_id"] for model in models if is_mart(model)}


@pytest.mark.parametrize("table", ["fct_chips", "fct_filled_chips", "fct_composites"])
def test_tables_of_chips_have_the_bands_in_the_order_of_the_code(manifest: Node, table: str) -> None:
    columns = manifest["nodes"][f"model.chiplake.{table}"]["columns"]
    assert [name for name in columns if name in BAND_NAMES] == list(BAND_NAMES)


def test_a_unit_test_pins_every_variable_that_its_model_reads(manifest: Node) -> None:
    """Otherwise it would fail with a user's settings: `bbox: []` is no box, and null would be the setting."""
    found = {
        test["name"]: variables_of(
            manifest["nodes"][f"model.chiplake.{test['model']}"],
            manifest["macros"],
            set((test["overrides"] or {}).get("macros", {})),
        )
        for test in manifest["unit_tests"].values()
    }
    assert found["recompute_gives_the_current_rule_to_filled_chips_of_its_window"] == {
        *("fill_max_age_days", "fill_suspects", "bbox", "start_date", "end_date", "recompute")
    }
    unpinned = {
        test["name"]: found[test["name"]] - set((test["overrides"] or {}).get("vars", {}))
        for test in manifest["unit_tests"].values()
    }
    assert {name: variables for name, variables in unpinned.items() if variables} == {}
    settings_by_null = [
        (test["name"], name)
        for test in manifest["unit_tests"].values()
        for name, value in (test["overrides"] or {}).get("vars", {}).items()
        if value is None and name not in RUN_VARIABLES
    ]
    assert settings_by_null == []


def test_every_singular_test_starts_with_its_promise(manifest: Node) -> None:
    singular = [
        node for node in manifest["nodes"].values() if node["resource_type"] == "test" and not node.get("test_metadata")
    ]
    assert singular
    assert [node["name"] for node in singular if not node["raw_code"].startswith("-- ")] == []


@pytest.mark.parametrize(
    ("table", "schema", "loaded_at"),
    [
        ("stac_items", STAC_ITEMS_SCHEMA, "ingested_at"),
        ("stac_rejects", STAC_REJECTS_SCHEMA, "rejected_at"),
        ("stac_checkpoints", STAC_CHECKPOINTS_SCHEMA, "completed_at"),
        ("boa_offset_overrides", BOA_OFFSET_OVERRIDES_SCHEMA, None),
        ("clay_embeddings", CLAY_EMBEDDINGS_SCHEMA, "embedded_at"),
        ("lake_settings", LAKE_SETTINGS_SCHEMA, None),
    ],
)
def test_sources_are_described_as_python_writes_them(
    manifest: Node, table: str, schema: Schema, loaded_at: str | None
) -> None:
    source = manifest["sources"][f"source.chiplake.raw.{table}"]
    assert list(source["columns"]) == [field.name for field in schema.fields]
    assert source["description"].startswith("One row per ")
    assert source["loaded_at_field"] == loaded_at


def test_every_reject_reason_of_ingestion_is_an_accepted_value(manifest: Node) -> None:
    (test,) = [node for node in manifest["nodes"].values() if node["name"] == "accepted_values_raw_stac_rejects_reason"]
    assert test["test_metadata"]["kwargs"]["values"] == [reason.value for reason in Reason]


@pytest.mark.slow  # `make lint` lints every model
def test_sql_is_linted_without_java(tmp_path: Path) -> None:
    run_without_java(["sqlfluff", "lint", "models/scenes/int_datatakes.sql"], tmp_path)
