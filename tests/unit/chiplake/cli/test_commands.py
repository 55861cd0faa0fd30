"""What commands print: JSON for machines, numbers at the end of a run, a word about settings, one line for an error."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from chiplake import jobs
from chiplake.cli.main import app
from chiplake.maintain import Outcome, TableReport, TableState
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.lake_record import read_records
from lakehouse.notices import forget_notices
from lakehouse.settings import Settings, get_settings

BOX = "16.24,45.76,16.31,45.79"
CHIPS = pa.schema([("chip_id", pa.string()), ("error", pa.string()), ("acquired_at", pa.timestamp("us", tz="UTC"))])
SCENES = pa.schema([("scene_id", pa.string()), ("acquired_at", pa.timestamp("us", tz="UTC"))])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of an empty lake, in the environment."""
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    get_settings.cache_clear()
    forget_notices()
    yield tmp_path / "lake"
    get_settings.cache_clear()


def chiplake(*arguments: str, **environment: str) -> Result:
    get_settings.cache_clear()
    return CliRunner().invoke(app, list(arguments), env=environment)


def made_with_a_box_and_chips(home: Path) -> None:
    """Make a lake with a box; one of its two chips could not be read."""
    assert chiplake("settings", "--record", CHIPLAKE_BBOX=BOX).exit_code == 0
    catalog = open_catalog(Settings().replace(home=home))
    rows = [{"chip_id": "a"}, {"chip_id": "b", "error": "red: no such file"}]
    catalog.create_table("chiplake.fct_chips", CHIPS).append(pa.Table.from_pylist(rows, schema=CHIPS))
    catalog.create_table("chiplake.int_scenes", SCENES)


def let_jobs(monkeypatch: pytest.MonkeyPatch, error: ChiplakeError | None = None) -> list[str]:
    """Replace the jobs by one that prints a line and ends with an error; return the names of those that ran."""
    ran: list[str] = []

    def replaced(name: str) -> Any:
        def job(_window: jobs.Window, on_line: jobs.OnLine) -> None:
            ran.append(name)
            on_line("fct_chips: OK, 1.0 s")
            if error:
                raise error

        return job

    for name in jobs.JOBS:
        monkeypatch.setitem(jobs.JOBS, name, replaced(name))
    return ran


def test_a_run_ends_with_numbers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_with_a_box_and_chips(home)
    let_jobs(monkeypatch, IncompleteError("1 chips could not be read"))
    done = chiplake("run", "chip_extraction", CHIPLAKE_BBOX=BOX)
    assert isinstance(done.exception, IncompleteError)
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["fct_chips: OK, 1.0 s"],
        ["in the lake", "written"],
        ["scenes", "0", "0"],
        ["chips cut", "1", "0"],
        ["chips unreadable", "1"],
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "done"), (IncompleteError("1 chip failed"), "incomplete"), (ChiplakeError("no Java"), "failed")],
)
def test_a_run_gives_json(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: ChiplakeError | None, outcome: str
) -> None:
    made_with_a_box_and_chips(home)
    let_jobs(monkeypatch, error)
    done = chiplake("run", "chip_extraction", "--json", CHIPLAKE_BBOX=BOX)
    printed = json.loads(done.stdout)
    assert {name: printed[name] for name in ("job", "outcome", "error", "cut", "filled")} == {
        "job": "chip_extraction",
        "outcome": outcome,
        "error": str(error) if error else None,
        "cut": {"scenes": 0, "chips": 1, "unreadable": 1},
        "filled": None,
    }
    assert "fct_chips: OK, 1.0 s" in done.stderr
    assert done.exception is error


@pytest.mark.parametrize("job", ["chip_extraction", "temporal_merge", "embedding_generation", "nightly"])
def test_a_run_without_the_box_of_the_lake_does_nothing(home: Path, monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    made_with_a_box_and_chips(home)
    ran = let_jobs(monkeypatch)
    done = chiplake("run", job)
    assert str(done.exception).startswith(f"the lake was made with CHIPLAKE_BBOX={BOX}; none is set here")
    assert ran == []
    assert chiplake("run", job, CHIPLAKE_BBOX=BOX).exit_code == 0
    assert ran == [job]


def test_ingestion_says_that_the_box_is_missing_and_goes_on(home: Path, tmp_path: Path) -> None:
    made_with_a_box_and_chips(home)
    items = tmp_path / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    done = chiplake("ingest", "--items", str(items))
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith(f"warning: the lake was made with CHIPLAKE_BBOX={BOX}; none is set here")
    assert done.stdout.splitlines() == ["Ingest", "items      count", *done.stdout.splitlines()[2:]]


def test_the_first_ingestion_records_the_settings(home: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert chiplake("ingest", "--items", str(items), CHIPLAKE_BBOX=BOX).exit_code == 0
    assert (
        read_records(open_catalog(Settings().replace(home=home)))["chiplake"]["bbox"] == "[16.24, 45.76, 16.31, 45.79]"
    )
    refused = chiplake("run", "nightly")
    assert "so whole tiles would be cut" in str(refused.exception)


def test_the_doctor_shows_the_settings_of_the_lake_beside_those_of_the_shell(home: Path) -> None:
    made_with_a_box_and_chips(home)
    done = chiplake("doctor", "--json", CHIPLAKE_BANDS="red,nir", CHIPLAKE_BBOX=BOX, CHIPLAKE_SHUFFLE_PARTITIONS="6")
    printed = json.loads(done.stdout)
    settings = {one["variable"]: (one["value"], one["lake"]) for one in printed["settings"]}
    assert settings["CHIPLAKE_BBOX"] == ("[16.24, 45.76, 16.31, 45.79]", "[16.24, 45.76, 16.31, 45.79]")
    assert settings["CHIPLAKE_BANDS"][0] == '["red", "nir"]'
    assert settings["CHIPLAKE_BANDS"][1].startswith('["blue", "green"')
    assert settings["CHIPLAKE_SHUFFLE_PARTITIONS"] == ("6", None)
    findings = {one["subject"]: one for one in printed["findings"]}
    assert findings["lake settings"]["detail"] == (
        "the lake was made with other values of CHIPLAKE_BANDS; see `chiplake settings`"
    )
    assert {one["name"] for one in printed["functions"]} >= {"raster_header", "chip_index"}


def test_the_doctor_fails_where_the_box_of_the_lake_is_not_set(home: Path) -> None:
    made_with_a_box_and_chips(home)
    done = chiplake("doctor")
    assert isinstance(done.exception, ChiplakeError)
    line = next(line for line in done.stdout.splitlines() if line.startswith("lake settings"))
    assert line.split()[2] == "bad"
    assert f"set CHIPLAKE_BBOX={BOX}" in line


def test_the_settings_of_the_lake_and_the_shell_are_compared(home: Path) -> None:
    made_with_a_box_and_chips(home)
    done = chiplake("settings", CHIPLAKE_BBOX=BOX, CHIPLAKE_CHANGE_HISTORY="5")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[2:]}
    assert rows["CHIPLAKE_CHANGE_HISTORY"] == ["5", "24", "differs"]
    assert rows["CHIPLAKE_BBOX"][-1] == "same"
    listed = json.loads(chiplake("settings", "--json").stdout)
    assert {"setting": "CHIPLAKE_BBOX", "here": "null", "lake": "[16.24, 45.76, 16.31, 45.79]"} in listed


def test_maintenance_gives_json(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = TableState(9, 9, 1, 2, 1000, 7), TableState(1, 0, 0, 0, 900, 5)
    report = TableReport("raw.stac_items", Outcome.DONE, before, after, expired=2, orphans=("file:/lost",))
    monkeypatch.setattr("chiplake.maintain.maintain", lambda *_: [report])
    (printed,) = json.loads(chiplake("maintain", "--json").stdout)
    assert printed["outcome"] == "done"
    assert (printed["before"]["data_files"], printed["after"]["data_files"]) == (9, 1)
    assert printed["orphans"] == ["file:/lost"]


def test_a_taken_port_is_one_line_before_spark_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chiplake.serve.get_spark", lambda *_: pytest.fail("Spark was started"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = chiplake("serve", "--port", str(port))
    assert str(done.exception) == (f"cannot listen on 127.0.0.1:{port} (Address already in use); choose another --port")
    assert done.stdout == ""
