"""dbt and the commands agree on the schema of the models. These tests start no JVM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner
from support.dbt_projects import DbtProject

from chiplake.jobs import Window, dbt_build
from lakehouse.settings import PROJECT_DIR, get_settings


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings are read again in the test and after it; the fixture ends before the environment is restored."""
    monkeypatch.delenv("CHIPLAKE_TARGET_SCHEMA", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_models_are_in_the_schema_of_the_setting_and_sources_are_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIPLAKE_TARGET_SCHEMA", "dev_ann")
    own = {
        "models/own/mine.sql": "select 1 as id",
        "models/own/apart.sql": "{{ config(schema='marts') }} select 1 as id",
    }
    project = DbtProject(tmp_path / "project", own)
    project.run("--warn-error", "parse", "--vars", "{examples: true}")

    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    schemas: dict[str, set[str]] = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] in ("model", "seed", "snapshot"):
            schemas.setdefault(node["schema"], set()).add(node["name"])
    assert set(schemas) == {"dev_ann", "dev_ann_marts"}
    assert schemas["dev_ann_marts"] == {"apart"}
    assert {"fct_chips", "mine", "example_fields", "example_fields_history"} <= schemas["dev_ann"]
    assert {source["schema"] for source in manifest["sources"].values()} == {"raw"}
    kinds = {node["name"]: node["config"]["materialized"] for node in manifest["nodes"].values()}
    assert (kinds["mine"], kinds["example_field_ndvi"], kinds["fct_chips"]) == ("table", "table", "exact_incremental")


def test_a_schema_that_only_a_env_file_names_is_an_error_of_dbt_and_works_in_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """profiles.yml reads the environment, so dbt would build into the wrong schema."""
    (tmp_path / ".env").write_text("CHIPLAKE_TARGET_SCHEMA=dev_ann\n")
    monkeypatch.setenv("CHIPLAKE_ENV_FILE", str(tmp_path / ".env"))
    places = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    done: Any = dbtRunner().invoke(["--quiet", "--log-level-file", "none", "parse", *places])
    assert "export CHIPLAKE_TARGET_SCHEMA=dev_ann" in str(done.exception)

    schemas: list[str] = []
    parse = dbtRunner.invoke

    def invoke(runner: dbtRunner, arguments: list[str]) -> Any:
        parsed: Any = parse(runner, ["--quiet", "--log-level-file", "none", "parse", *places])
        schemas.extend(node.schema for node in parsed.result.nodes.values() if node.name == "fct_chips")
        return parsed

    monkeypatch.setattr(dbtRunner, "invoke", invoke)
    dbt_build("chip_extraction", Window(), lambda _line: None)
    assert schemas == ["dev_ann"]
