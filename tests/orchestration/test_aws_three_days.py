"""Three days of the DAG on the double of AWS, each with a fault; the lake then equals one that met none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.airflow_home import MANAGED_BINS, NEWEST_BIN, OLDEST_BIN
from support.faulty_stac_server import Faults, FaultyServer, serving
from support.lake_on_aws import (
    CELLS,
    SCENES,
    SMALL,
    LakeOnAws,
    broken_raster,
    deploy,
    inbox_of_notices,
    keys,
    managed_at,
    put_settings,
    put_variable,
    upload_scenes,
)
from support.servers.aws import AwsServer, aws_server, point_environment

from chiplake.synthetic import Overpass, TileWindow

pytestmark = [pytest.mark.airflow, pytest.mark.aws, pytest.mark.java, pytest.mark.long]

FIRST, SECOND, THIRD = "2023-08-13", "2023-08-14", "2023-08-15"
# Two tiles, so that the API reports two scenes of the third day; both have pixels of one of the two cells.
SCENES_OF_TWO_TILES = replace(
    SCENES,
    windows=(
        *SCENES.windows,
        TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_072_300, width=3_600, height=3_600),
    ),
    passes=(
        Overpass(date(2023, 8, 5), "A", cloud_share=0.02),
        Overpass(date(2023, 8, 10), "B", cloud_share=0.1),
        Overpass(date(2023, 8, 14), "A", cloud_share=0.05),
        Overpass(date(2023, 8, 15), "B", cloud_share=0.02),
    ),
)
EVERY_TEST = SMALL | {"CHIPLAKE_TESTS_EVERY_DAYS": "0"}
KEYS = {
    "int_scenes": ("scene_id",),
    "fct_chips": ("chip_id",),
    "fct_filled_chips": ("chip_id",),
    "fct_composites": ("composite_id",),
    "fct_chip_embeddings": ("chip_id", "model_id"),
    "fct_chip_changes": ("chip_id", "model_id"),
}
TIMES_OF_WRITING = {"embedded_at"}
BEFORE = ("ingest", "chip_extraction", "temporal_merge", "export")
AFTER = ("load", "change_detection", "tests", "freshness")

Rows = Mapping[tuple[Any, ...], Mapping[str, Any]]


@contextmanager
def lake_with_api(aws: AwsServer, folder: Path) -> Iterator[tuple[LakeOnAws, FaultyServer, list[dict[str, Any]]]]:
    """Deploy, and yield the empty lake, an API with the scenes that counts them, and their items."""
    deploy(aws)
    aws.run_processing_jobs = True
    put_settings(aws, EVERY_TEST)
    items = upload_scenes(aws, SCENES_OF_TWO_TILES, folder / "scenes")
    with serving(items, Faults(matched="right")) as api:
        put_variable(aws, "chiplake_stac_api", api.url)
        yield LakeOnAws(aws), api, items


def tables(lake: LakeOnAws) -> dict[str, Rows]:
    """Return the rows of each table by their key, without times of writing."""
    found: dict[str, Rows] = {}
    for name, key in KEYS.items():
        rows = lake.rows(name)
        found[name] = {
            tuple(row[column] for column in key): {
                column: value for column, value in row.items() if column not in TIMES_OF_WRITING
            }
            for row in rows
        }
        assert len(found[name]) == len(rows) > 0, name
    return found


def assert_equal(found: Mapping[str, Rows], expected: Mapping[str, Rows]) -> None:
    for name in KEYS:
        assert found[name].keys() == expected[name].keys(), name
        for key, row in expected[name].items():
            differing = [column for column, value in row.items() if found[name][key][column] != value]
            assert not differing, (name, key)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """The tables after one run of the third day, which covers all scenes, that met no fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with aws_server(folder / "aws") as aws, pytest.MonkeyPatch.context() as patch:
        point_environment(patch, aws)
        with lake_with_api(aws, folder) as (lake, _, _):
            airflow = managed_at(folder / "airflow", NEWEST_BIN)
            airflow.set_up()
            lake.run(airflow, THIRD)
            return tables(lake)


def story(lake: LakeOnAws) -> list[list[tuple[str, str]]]:
    """Return the stages of each run with their states, all in the order in which they started."""
    runs: dict[str, list[tuple[str, str]]] = {}
    for row in lake.stages():
        runs.setdefault(row["run_id"], []).append((row["stage"], row["state"]))
    return list(runs.values())


def with_state(found: Mapping[str, str], state: str) -> set[str]:
    return {task for task, one in found.items() if one == state}


@pytest.mark.parametrize(
    "version", [version for version, bin in MANAGED_BINS.items() if bin in (OLDEST_BIN, NEWEST_BIN)]
)
def test_three_days_with_faults_end_like_days_without(
    undisturbed: dict[str, Rows], aws: AwsServer, tmp_path: Path, version: str
) -> None:
    airflow = managed_at(tmp_path / "airflow", MANAGED_BINS[version])
    airflow.set_up()
    with lake_with_api(aws, tmp_path) as (lake, api, items):
        read_notice = inbox_of_notices(aws)

        # The first day: a raster is truncated. Its chips are rows with an error, and the run is green.
        with broken_raster(aws, items, "20230805", is_truncated=True):
            lake.run(airflow, FIRST)
        lake.check({5, 10}, unreadable={5})
        written = lake.snapshots()

        # The second day: the API answers 500 to every search. The run is red where it stopped, and wrote nothing.
        api.faults = Faults(error_rate=1)
        found = lake.fail(airflow, SECOND)
        assert with_state(found, "failed") == {"before_encoder.job", "before_encoder.ingest"}
        assert with_state(found, "upstream_failed") == {"batch_transform", "after_encoder.job"}
        notice = read_notice()
        assert notice["Subject"].endswith("before_encoder.job failed")
        assert api.url in notice["Message"]
        assert lake.snapshots() == written

        # The same day again: the API answers, and the inference server does not. Its chips stay without an embedding.
        api.faults = Faults(matched="right")
        aws.servers_answer_500 = True
        found = lake.fail(airflow, SECOND)
        assert with_state(found, "failed") == {"batch_transform"}
        assert "after_encoder.job" in with_state(found, "upstream_failed")
        failed_job = list(aws.jobs)[-1]
        cause = f"{failed_job} failed: ClientError: See job logs for more information"
        notice = read_notice()
        assert notice["Subject"].endswith("batch_transform failed")
        assert cause in notice["Message"]
        assert len([key for key in keys(aws) if "/unrecorded/" in key]) == 1
        aws.servers_answer_500 = False

        # The third day: no fault, and two scenes for instances that take one each.
        put_variable(aws, "chiplake_spark_max_instances", "2")
        put_variable(aws, "chiplake_scenes_per_instance", "1")
        put_settings(aws, {name: value for name, value in EVERY_TEST.items() if name != "CHIPLAKE_SPARK_MASTER"})
        lake.run(airflow, THIRD)

    before, after = (aws.processing_jobs[name] for name in list(aws.processing_jobs)[-2:])
    assert [len(run.hosts) for run in (before, after)] == [2, 1]
    assert "all 2 hosts have joined" in before.log
    assert "the work of this host" in before.log
    lake.check({5, 10, 14, 15}, unreadable=set())
    assert_equal(tables(lake), undisturbed)
    extraction = ("chip_extraction", "incomplete")
    done = [(stage, "done") for stage in (*BEFORE, "batch_transform", *AFTER)]
    assert story(lake) == [
        [extraction if stage == extraction[0] else (stage, state) for stage, state in done],
        [("ingest", "failed")],
        [*done[: len(BEFORE)], ("batch_transform", "failed")],
        done,
    ]
    (of_failed_job,) = (row for row in lake.stages() if row["stage"] == "batch_transform" and row["error"])
    assert of_failed_job["error"] == cause
    runs = sorted(lake.rows("fct_pipeline_runs"), key=lambda run: run["started_at"])
    assert [(run["state"], run["failed_stage"]) for run in runs] == [
        ("incomplete", None),
        ("failed", "ingest"),
        ("failed", "batch_transform"),
        ("done", None),
    ]
    assert runs[0]["error"].startswith(f"{len(CELLS)} chips could not be read")
    assert {run["image"] for run in runs} == {runs[0]["image"]}
