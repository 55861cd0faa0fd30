"""What `chiplake status` reads from a small lake of PyIceberg's."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from typer.testing import CliRunner

from chiplake.cli.main import app
from chiplake.numbers import LakeNumbers
from chiplake.stage_record import recorded_stage
from chiplake.status import (
    Failure,
    StageState,
    Status,
    TableSize,
    last_attempts,
    openmetrics,
    raise_if_unreadable,
    read_status,
)
from lakehouse.catalog import ensure_sources
from lakehouse.days import Days
from lakehouse.errors import AttentionError, ChiplakeError, IncompleteError
from lakehouse.settings import Settings, get_settings

EARLY, LATE = (datetime(2023, 8, day, 9, 50, tzinfo=UTC) for day in (5, 10))
CHIPS = pa.schema([("chip_id", pa.string()), ("acquired_at", pa.timestamp("us", tz="UTC")), ("error", pa.string())])
ERRORS = {"a": None, "b": "red: no such file", "c": "red: no such file", "d": "nir: no such file"}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def catalog(lake: Settings) -> Catalog:
    return ensure_sources(lake)


def add_chips(catalog: Catalog) -> None:
    rows = [
        {"chip_id": chip, "acquired_at": EARLY if chip < "d" else LATE, "error": error}
        for chip, error in ERRORS.items()
    ]
    catalog.create_table("chiplake.fct_chips", CHIPS).append(pa.Table.from_pylist(rows, schema=CHIPS))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["status", *arguments])


def test_a_new_lake_has_a_status(lake: Settings) -> None:
    done = run()
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "no stage is recorded: `chiplake run` and the DAG record theirs, plain dbt does not"
    assert [line.split()[-1] for line in lines if line.startswith(("item ", "embedding "))] == ["never"] * 3
    assert re.search(r"^ops\.stages +0 +0 +0 bytes$", done.stdout, re.MULTILINE)


def test_failures_are_counted_by_reason(lake: Settings, catalog: Catalog) -> None:
    add_chips(catalog)
    table = "chiplake.fct_chips"
    both = (Failure(table, "red: no such file", 2), Failure(table, "nir: no such file", 1))
    assert read_status(lake, Days(), attempts=9, reasons=5).failures == both
    assert read_status(lake, Days(), attempts=9, reasons=1).failures == both[:1]
    assert read_status(lake, Days(start=date(2023, 8, 10)), attempts=9, reasons=5).failures == both[1:]


def test_the_check_ends_with_the_number_of_unreadable_chips(lake: Settings, catalog: Catalog) -> None:
    raise_if_unreadable(lake, Days())  # there is no table yet
    add_chips(catalog)
    with pytest.raises(IncompleteError, match=r"^3 chips could not be read, see .*: nir: no such file$") as some:
        raise_if_unreadable(lake.replace(max_unreadable_fraction=0.75), Days())
    assert not isinstance(some.value, AttentionError)
    with pytest.raises(AttentionError, match=r"^3 chips could not be read \(75.0%, more than CHIPLAKE_MAX_"):
        raise_if_unreadable(lake, Days())
    raise_if_unreadable(lake, Days(start=date(2023, 8, 11)))
    assert isinstance(run("--check").exception, IncompleteError)
    assert run("--check", "--start-date=2023-08-11").stdout == "every chip could be read\n"


def test_stages_of_this_schema_are_shown_with_their_last_row(lake: Settings, catalog: Catalog) -> None:
    add_chips(catalog)
    with recorded_stage(lake, "night-1", "chip_extraction", Days()):
        pass
    with pytest.raises(ChiplakeError), recorded_stage(lake, "night-1", "temporal_merge", Days()):
        raise ChiplakeError("no server answers")
    with recorded_stage(lake.replace(target_schema="dev_ann"), "ann", "load", Days()):
        pass
    found = [(one.run_id, one.stage, one.state, one.error) for one in read_status(lake, Days(), 9, 5).stages]
    assert found == [
        ("night-1", "chip_extraction", "done", None),
        ("night-1", "temporal_merge", "failed", "no server answers"),
    ]
    assert [one.stage for one in read_status(lake, Days(), attempts=1, reasons=5).stages] == ["temporal_merge"]
    printed = json.loads(run("--json").stdout)
    assert [one["stage"] for one in printed["stages"]] == ["chip_extraction", "temporal_merge"]
    assert printed["stages"][0]["seconds"] >= 0
    assert {one["table"]: one["rows"] for one in printed["tables"]}["chiplake.fct_chips"] == 4


def test_an_attempt_without_an_end_is_running() -> None:
    row = {"attempt_id": "1", "run_id": "r", "stage": "load", "started_at": EARLY, "error": None}
    end = row | {"state": "done", "ended_at": EARLY + timedelta(minutes=2)}
    start = row | {"state": "running", "ended_at": None}
    (ended,) = last_attempts([dict(end), dict(start)])
    assert (ended.state, ended.seconds) == ("done", 120)
    (running,) = last_attempts([dict(start)])
    assert (running.state, running.seconds) == ("running", None)


def test_openmetrics_text_is_as_the_specification_says() -> None:
    stages = (
        StageState("r", "load", "failed", EARLY, LATE, "no server"),
        StageState("r", 'a "b"\\', "done", EARLY, LATE, None),
        StageState("s", "load", "done", LATE, LATE, None),
    )
    newest = {"item acquired": EARLY, "item ingested": None}
    text = openmetrics(Status(stages, LakeNumbers(), (), newest, (TableSize("raw.stac_items", 3, 1, 2048),)))
    lines = text.split("\n")
    assert lines[-1] == "# EOF"
    samples = [line for line in lines if not line.startswith("#")]
    # https://prometheus.io/docs/specs/om/open_metrics_spec/#abnf: name, labels, value
    grammar = r'[a-z_]+\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\} [0-9.e+-]+'
    assert [line for line in samples if not re.fullmatch(grammar, line)] == []
    assert f'chiplake_newest_timestamp_seconds{{what="item acquired"}} {EARLY.timestamp()}' in samples
    assert 'chiplake_table_size_bytes{table="raw.stac_items"} 2048' in samples
    assert 'chiplake_stage{stage="load",chiplake_stage="done"} 1' in samples, "the last attempt"
    assert 'chiplake_stage{stage="load",chiplake_stage="failed"} 0' in samples
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert types == list(dict.fromkeys(types)), "a family has its lines together"


def test_one_form_of_output_at_a_time() -> None:
    done = run("--json", "--openmetrics")
    assert done.exit_code == 2
    assert "--json / --openmetrics / --check" in done.stderr
