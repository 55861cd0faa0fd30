"""dbt and the commands agree on the schema of the models and on where Spark runs. These tests start no JVM."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner
from support.dbt_projects import DbtProject

from chiplake.jobs import Window, dbt_build
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR, get_settings


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings are read again in the test and after it; the fixture ends before the environment is restored."""
    monkeypatch.delenv("CHIPLAKE_TARGET_SCHEMA", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_models_and_sources_are_in_the_schemas_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPLAKE_TARGET_SCHEMA", "dev_ann")
    monkeypatch.setenv("CHIPLAKE_RAW_SCHEMA", "shared_raw")
    monkeypatch.setenv("CHIPLAKE_OPS_SCHEMA", "shared_ops")
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
    assert {source["schema"] for source in manifest["sources"].values()} == {"shared_raw", "shared_ops"}
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


PROFILE = """
chiplake:
  target: prod
  outputs:
    prod: {{type: spark, method: thrift, host: 127.0.0.1, port: {port}, schema: {schema}}}
    thrift: {{type: spark, method: session, host: localhost, schema: {schema}}}
"""


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens instead of a session of Spark in this process."""
    started: list[str] = []

    def get_spark() -> None:
        started.append("session")
        raise ChiplakeError("a session was started")

    monkeypatch.setattr("python_udfs.session.get_spark", get_spark)
    return started


def project_of_a_user(folder: Path, schema: str = "chiplake") -> DbtProject:
    """The project with a profile whose targets have other names, and no server at the port."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return DbtProject(folder / "project", {"profiles/profiles.yml": PROFILE.format(port=port, schema=schema)})


def test_the_method_of_the_connection_decides_where_spark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sessions: list[str]
) -> None:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "home"))
    project = project_of_a_user(tmp_path)
    for command in (("build",), ("run", "--target", "prod")):
        assert "start a server with `chiplake serve`, or correct dbt's profile" in project.failure(*command)
    assert sessions == []
    assert "a session was started" in project.failure("build", "--target", "thrift")
    assert sessions == ["session"]


def test_a_retry_uses_the_target_of_the_command_that_it_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sessions: list[str]
) -> None:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "home"))
    project = project_of_a_user(tmp_path)
    for target, line in (("thrift", "a session was started"), ("prod", "`chiplake serve`"), (None, "`chiplake serve`")):
        arguments: dict[str, Any] = {"which": "build", "target": target, "vars": {}}
        project.write("target/run_results.json", json.dumps({"args": arguments}))
        assert line in project.failure("retry")
    assert sessions == ["session"]


def test_a_profile_with_another_schema_than_the_commands_is_an_error(tmp_path: Path, sessions: list[str]) -> None:
    project = project_of_a_user(tmp_path, schema="analytics")
    for command in ("parse", "build"):
        assert project.failure(command).endswith(
            "dbt's profile has the schema analytics, and CHIPLAKE_TARGET_SCHEMA is chiplake, which the other commands "
            "read: export CHIPLAKE_TARGET_SCHEMA=analytics, or correct the profile"
        )
    assert sessions == []
