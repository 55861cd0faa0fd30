"""What `chiplake run JOB --dry-run` prints, and that it writes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from support.estimate_lakes import add_items, add_three_scenes, cut_all, item, only, plan_item
from typer.testing import CliRunner, Result

from chiplake.cli.main import app
from chiplake.cli.run import print_estimate
from chiplake.estimate import Certainty, Estimate, StageEstimate, estimate_job
from chiplake.jobs import Window
from chiplake.night_record import record_complete_night
from lakehouse.catalog import open_catalog
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings, get_settings


def run(*arguments: str, **environment: str) -> Result:
    get_settings.cache_clear()
    return CliRunner().invoke(app, ["run", *arguments, "--dry-run"], env=environment)


def test_a_night_on_new_items_computes_the_chips_of_their_cells(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    estimate = estimate_job(settings, "nightly", Window())
    assert [(stage.job, stage.number, stage.certainty, stage.scenes) for stage in estimate.stages] == [
        ("chip_extraction", 16, Certainty.ABOUT, 3),
        ("temporal_merge", 16, Certainty.ABOUT, None),
        ("embedding_generation", 16, Certainty.AT_MOST, None),
        ("change_detection", 6, Certainty.AT_MOST, None),  # six cells are seen twice
    ]


def test_chips_with_an_error_are_tried_again(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row)
    plan_item(catalog, row)
    cut_all(catalog, row, chip_2="red: no such file")
    stage = only(estimate_job(settings, "chip_extraction", Window()))
    assert (stage.number, stage.retried, stage.certainty) == (1, 1, Certainty.EXACTLY)
    assert "chips of chip_extraction that have an error and are tried again: 1" in run("chip_extraction").stdout


def test_without_a_lake_it_says_so_and_makes_none(settings: Settings) -> None:
    done = run("nightly")
    assert (done.exit_code, done.stdout) == (
        0,
        f"there is no lake in {settings.lake.home} yet: `chiplake ingest` makes one\n",
    )
    assert not settings.lake.home.exists()


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the files of a lake. SQLite marks its readers in catalog.db-shm."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return {path: path.read_bytes() for path in files}


def test_nothing_is_written(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    before = contents(settings.lake.home)
    assert run("nightly").exit_code == 0
    after = contents(settings.lake.home)
    assert after == before


def test_a_complete_night_has_nothing_to_do(settings: Settings, catalog: Catalog) -> None:
    record_complete_night(settings, Days())
    assert run("nightly").stdout == "nothing has changed since the last complete night\n"
    assert json.loads(run("nightly", "--json").stdout)["stages"] == []
    assert run("nightly", CHIPLAKE_INSTANCE_PRICE_PER_HOUR="1").stdout.startswith("nothing has changed")
    assert run("nightly", CHIPLAKE_COMPARE_ALWAYS="true").stdout.startswith("no chip and no pair")
    add_three_scenes(catalog)
    assert "about 16" in run("nightly").stdout


def test_a_table_or_json_is_printed(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    lines = run("nightly").stdout.splitlines()
    assert lines[0] == "Dry run: nothing is started or written"
    assert lines[2].split("  ")[0] == "chip_extraction"
    assert "chips to cut        about 16       3" in lines[2]
    assert lines[6].startswith("in all")
    assert "more than" in lines[6]  # the time of change_detection is not known
    printed = json.loads(run("chip_extraction", "--json").stdout)
    assert printed["job"] == "chip_extraction"
    assert [(one["rows"], one["number"], one["certainty"]) for one in printed["stages"]] == [
        ("chips to cut", 16, "about")
    ]
    assert printed["total"]["bytes_written"] == 16 * 447_000


def test_the_job_operations_has_nothing_to_estimate(settings: Settings) -> None:
    assert run("operations").stdout == "operations computes no chips: there is nothing to estimate\n"


def test_wrong_usage_is_reported_as_by_the_run_itself(settings: Settings, catalog: Catalog) -> None:
    assert run("weekly").exit_code == 2
    assert run("change_detection", "--recompute").exit_code == 2
    box = {"CHIPLAKE_BBOX": "16.24,45.76,16.31,45.79"}
    get_settings.cache_clear()
    assert CliRunner().invoke(app, ["settings", "--record"], env=box).exit_code == 0
    refused = run("nightly")
    assert isinstance(refused.exception, ChiplakeError)
    assert "whole tiles would be cut" in str(refused.exception)
    assert run("nightly", **box).exit_code == 0


def test_opening_creates_no_table(settings: Settings) -> None:
    catalog = open_catalog(settings)  # an empty catalog
    assert run("nightly").stdout.startswith("there is no lake in")
    assert catalog.list_namespaces() == []


def test_the_cost_is_a_column_or_names_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    cutting = StageEstimate(
        job="chip_extraction",
        rows="chips to cut",
        number=1000,
        certainty=Certainty.EXACTLY,
        scenes=2,
        retried=0,
        bytes_read=447_000_000,
        bytes_written=447_000_000,
        seconds=5400,
        speed="as fast as the last run of this lake",
        cost=1.38,
    )
    comparing = replace(cutting, job="change_detection", rows="pairs to compare", scenes=None, seconds=None, cost=None)
    print_estimate(Estimate("nightly", (cutting, comparing)), "")
    cells = [[cell for cell in line.split("  ") if cell] for line in capsys.readouterr().out.splitlines()]
    assert [line[-1].strip() for line in cells[1:5]] == ["about cost", "1.38", "not known", "more than 1.38"]
    assert [line[-2].strip() for line in cells[2:5]] == ["1.5 h", "not known", "more than 1.5 h"]
    print_estimate(Estimate("chip_extraction", (replace(cutting, cost=None),)), "CHIPLAKE_INSTANCE_PRICE_PER_HOUR")
    output = capsys.readouterr().out
    assert "cost" not in output.splitlines()[1]
    assert output.endswith("set CHIPLAKE_INSTANCE_PRICE_PER_HOUR for the cost\n")
