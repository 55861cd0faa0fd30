"""The embedding job as a process that is killed repeatedly, or runs on a full disk, and is then run again.

The test process has no Spark session: it writes and reads lakes with PyIceberg.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from support.embeddings import make_chip, make_request, write_export

from chiplake.cli.main import main
from embedding.runs.export import chips_per_object
from embedding.runs.files import OUT_SUFFIX, Run, new_run
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, read_table, write_table
from lakehouse.bands import BAND_NAMES
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.files import write_atomically
from lakehouse.settings import Settings, get_settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS
from python_udfs.codec import encode_array

BANDS = ("blue", "nir")
CHIPS = 60  # one in each object, so that kills happen between many answers
OF_THE_RUN = {"run_id", "embedded_at"}  # columns that depend on the run
TOO_LARGE = "File too large"  # the system's error at the limit; "No space left on device" is handled in the same way

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Kills:
    """The number of kills of the job, in total and in each stage."""

    total: int
    by_the_clock: int  # maximum at random times while the job starts and exports; later kills follow the job's files
    of_the_transform: int  # maximum
    least_of_the_transform: int
    least_of_the_load: int = 1


FIVE = Kills(total=5, by_the_clock=1, of_the_transform=3, least_of_the_transform=1)
MANY = Kills(total=20, by_the_clock=5, of_the_transform=10, least_of_the_transform=5)


@dataclass(frozen=True)
class Lake:
    """A lake with filled chips, and processes of the job on it."""

    home: Path

    @property
    def settings(self) -> Settings:
        return Settings().replace(home=self.home)

    @property
    def log(self) -> Path:
        return self.home / "job.log"

    def start(self, *command: str, largest_file: int | None = None, **settings: str) -> BaseProcess:
        """Start a command as the leader of a process group that can write files of at most `largest_file` bytes."""
        environment = {
            "CHIPLAKE_HOME": str(self.home),
            "CHIPLAKE_SPARK_MASTER": "local[2]",
            "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g",
            "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
            "CHIPLAKE_EMBED_CHIPS_PER_OBJECT": "1",
            "DBT_TARGET_PATH": str(self.home / "dbt"),
            "DBT_LOG_PATH": str(self.home / "dbt"),
            **settings,
        }
        # Forked from a process that has imported the slow packages: 20 imports would take most of the test's time.
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload(["chiplake.cli.main", "embedding.pipeline"])
        process = processes.Process(target=work, args=(command, environment, self.log, largest_file))
        process.start()
        return process

    def run(self, *command: str, largest_file: int | None = None, **settings: str) -> tuple[int | None, str]:
        """Run a command to its end; return its exit code and its output."""
        code = ended(self.start(*command, largest_file=largest_file, **settings))
        return code, self.log.read_text()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of raw.clay_embeddings, without the columns that depend on the run."""
        found = open_catalog(self.settings).load_table(CLAY_EMBEDDINGS).scan().to_arrow().to_pylist()
        return [{name: value for name, value in row.items() if name not in OF_THE_RUN} for row in found]

    def commits(self) -> list[int]:
        """Return the number of rows that each commit to raw.clay_embeddings added."""
        snapshots = open_catalog(self.settings).load_table(CLAY_EMBEDDINGS).snapshots()
        summaries = [snapshot.summary.additional_properties for snapshot in snapshots if snapshot.summary]
        return [int(summary.get("added-records", 0)) for summary in summaries]

    def files(self, pattern: str) -> list[Path]:
        """Return files of the transform."""
        return sorted(self.settings.lake.transform_dir.glob(pattern))

    def answers(self) -> int:
        return len(self.files("*/output/*.out"))

    def has_more_answers(self, count: int) -> bool:
        return self.answers() > count

    def has_more_data_files(self, count: int) -> bool:
        return self.data_files() > count

    def data_files(self) -> int:
        """Count the data files of raw.clay_embeddings, committed or not."""
        return len(list((self.home / "warehouse").glob("raw/clay_embeddings/data/**/*.parquet")))


def is_due(lake: Lake, until: float, exported: int) -> bool:
    """Return whether the time is reached or the export has ended, which may be earlier on a faster machine."""
    return time.monotonic() >= until or len(lake.files("*/manifest.json")) > exported


def work(command: tuple[str, ...], environment: dict[str, str], log: Path, largest_file: int | None) -> None:
    """Run one call of `chiplake` in a process."""
    os.setsid()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in os.environ.keys() - {"CHIPLAKE_JARS_DIR"}:
        if name.startswith("CHIPLAKE_"):
            del os.environ[name]
    os.environ.update(environment)
    get_settings.cache_clear()
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["chiplake", *command]
    main()


def ended(process: BaseProcess) -> int | None:
    """Wait for the end of a process; return its exit code."""
    process.join(300)
    return process.exitcode


def said(words: str, start: str) -> int:
    """Count the lines that start with this text; the JVM and Spark may print other lines."""
    return sum(line.startswith(start) for line in words.splitlines())


def make_lake(home: Path, chips: list[dict[str, Any]]) -> Lake:
    """Make a lake with these filled chips, each in its own cell, and without embeddings."""
    catalog = ensure_sources(Settings().replace(home=home))
    request = make_request(chips, BAND_NAMES)
    cell_ids = pa.array([f"32633_{number}_0" for number in range(len(chips))])
    filled = request.drop_columns(["longitude", "latitude"]).append_column("cell_id", cell_ids)
    filled = filled.append_column("complete_fraction", pa.array([1.0] * len(chips)))
    cells = request.select(["longitude", "latitude"]).append_column("cell_id", cell_ids)
    for name, content in (("fct_filled_chips", filled), ("dim_grid_cells", cells)):
        catalog.create_table(f"chiplake.{name}", content.schema).append(content)
    return Lake(home)


def by_chip(rows: list[dict[str, Any]]) -> Rows:
    return {row["chip_id"]: row for row in rows}


def kill(process: BaseProcess) -> bool:
    """Kill the job's process group with server and JVM; Spark's workers, which have their own groups, end with them.

    Returns False if the job ended by itself just before.
    """
    assert process.pid is not None
    try:
        while os.getpgid(process.pid) != process.pid:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    process.join()
    until = time.monotonic() + 30
    while session(process.pid):
        assert time.monotonic() < until, "nothing of a killed job lives on"
        time.sleep(0.02)
    return process.exitcode == -signal.SIGKILL


def session(leader: int) -> list[int]:
    """Return the processes of a session, of any group; they stay in it after their leader has ended."""
    members = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it ended meanwhile
    return members


def wait_until(process: BaseProcess, condition: Callable[[], bool]) -> bool:
    """Wait until the condition is true; return False if the process ended before."""
    while not condition():
        if not process.is_alive():
            return False
        time.sleep(0.005)
    return process.is_alive()


def pause(process: BaseProcess, seconds: float) -> bool:
    """Wait for some seconds; return False if the process ended before."""
    until = time.monotonic() + seconds
    return wait_until(process, lambda: time.monotonic() >= until)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(FIVE, id="five", marks=pytest.mark.slow), pytest.param(MANY, id="many", marks=pytest.mark.long)],
)
def test_a_repeatedly_killed_job_ends_like_an_undisturbed_one(tmp_path: Path, kills: Kills) -> None:
    chips = [make_chip(number, BANDS) for number in range(CHIPS)]
    undisturbed = make_lake(tmp_path / "undisturbed", chips)
    process = undisturbed.start("run", "embedding_generation")
    started = time.monotonic()
    assert wait_until(process, lambda: bool(undisturbed.files("*/manifest.json"))), undisturbed.log.read_text()
    until_exported = time.monotonic() - started
    assert ended(process) == 0, undisturbed.log.read_text()
    expected = by_chip(undisturbed.rows())
    assert len(expected) == CHIPS
    assert {row["error"] for row in expected.values()} == {None}

    lake = make_lake(tmp_path / "killed", chips)
    chance = random.Random(20)
    reached: Counter[str] = Counter()
    ended_alone = 0
    while reached.total() < kills.total:
        answers, data_files, known = lake.answers(), lake.data_files(), len(lake.rows())
        process = lake.start("run", "embedding_generation")
        exported = len(lake.files("*/manifest.json"))
        if (reached.total() < kills.by_the_clock and not exported) or known == CHIPS:
            until = time.monotonic() + chance.uniform(0, until_exported if known < CHIPS else until_exported / 2)
            is_running = wait_until(process, partial(is_due, lake, until, exported))
            stage = "start, export" if known < CHIPS else "after all"
        elif answers < CHIPS and reached["transform"] < kills.of_the_transform:
            is_running = wait_until(process, partial(lake.has_more_answers, answers))
            is_running = is_running and pause(process, chance.uniform(0, 0.02))
            stage = "transform"
        else:
            is_running = wait_until(process, partial(lake.has_more_data_files, data_files))
            is_running = is_running and pause(process, chance.uniform(0, 0.5))
            stage = "load"
        if not (is_running and kill(process)):
            assert ended(process) == 0, lake.log.read_text()
            assert len(lake.rows()) == CHIPS, "it only ends on its own when all is done"
            ended_alone += 1
            assert ended_alone < kills.total
            continue
        reached[stage] += 1

        for path in lake.files("*/output/*.out"):
            assert read_table(path.read_bytes(), ARROW_STREAM).num_rows == 1, "an answer that is there is whole"
        found = lake.rows()
        assert len(found) == len(by_chip(found)), "no chip occurs twice"
        assert found == [expected[row["chip_id"]] for row in found]
    assert reached["transform"] >= kills.least_of_the_transform, reached
    assert reached["load"] >= kills.least_of_the_load, reached

    code, words = lake.run("run", "embedding_generation")
    assert code == 0, words
    found = lake.rows()
    assert Counter(map(str, found)) == Counter(map(str, expected.values()))
    assert sum(lake.commits()) == CHIPS, "each was loaded once"

    runs, commits = lake.files("*"), lake.commits()
    logs = {path: path.read_bytes() for path in lake.files("*/server.log")}
    code, words = lake.run("run", "embedding_generation")
    assert (code, said(words, "0 embeddings by ")) == (0, 1), words
    assert (lake.files("*"), lake.commits()) == (runs, commits), "nothing new: no run, no commit"
    assert {path: path.read_bytes() for path in lake.files("*/server.log")} == logs, "and no server"


def noisy_chip(number: int) -> dict[str, Any]:
    """Make a chip of noise, which cannot be compressed."""
    noise = np.random.default_rng(number).integers(1, 1 << 16, (256, 256), dtype=np.uint16)
    return make_chip(number, BANDS) | {"blue": encode_array(noise)}


def test_a_job_on_a_full_disk_fails_and_the_next_one_completes(tmp_path: Path) -> None:
    chips = chips_per_object(40, BAND_NAMES)  # all in one object
    lake = make_lake(tmp_path / "lake", [noisy_chip(number) for number in range(chips)])
    per_object: dict[str, Any] = {"CHIPLAKE_EMBED_CHIPS_PER_OBJECT": str(chips)}

    # The limit is enough for dbt's manifest, but not for the object.
    code, words = lake.run("run", "embedding_generation", largest_file=4 << 20, **per_object)

    assert code == 1
    assert said(words, "chiplake: ") == 1, "one line"
    assert TOO_LARGE in words.partition("chiplake: ")[2], words
    assert lake.files("*/manifest.json") == [], "an incomplete export has no manifest"
    assert lake.files("*/input/*") == [], "and no part of an object is there"
    assert lake.rows() == []

    code, words = lake.run("run", "embedding_generation", **per_object)
    assert (code, said(words, f"{chips} embeddings by clay-seeded-")) == (0, 1), words
    assert (len(by_chip(lake.rows())), sum(lake.commits())) == (chips, chips)
    assert [run.manifest_path.is_file() for run in map(Run, lake.files("2*"))] == [True]


def exported_run(lake: Lake, sizes: list[int]) -> Run:
    """Write a run as the export does, with objects of so many chips."""
    run = new_run(lake.settings.lake.transform_dir)
    write_export(run, [[make_chip(number, BANDS) for number in range(size)] for size in sizes], BANDS)
    return run


def test_a_full_disk_leaves_no_partial_answer_and_keeps_the_others(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run = exported_run(lake, [1, 40, 2])

    code, words = lake.run("embed", "transform", largest_file=12_000)

    assert code == 3
    assert said(words, f"chiplake: 1 objects failed, first {run.run_id}/chips-00001.arrow: ") == 1, words
    assert TOO_LARGE in words
    there = {"chips-00000.arrow.out": 1, "chips-00002.arrow.out": 2}
    assert {
        path.name: read_table(path.read_bytes(), ARROW_STREAM).num_rows for path in run.output_dir.iterdir()
    } == there

    code, words = lake.run("embed", "transform")
    assert code == 0, words
    assert "Completed, 1 transformed, 2 done before" in words
    answers = read_table((run.output_dir / "chips-00001.arrow.out").read_bytes(), ARROW_STREAM)
    assert (answers.num_rows, answers["error"].null_count) == (40, 40)


def test_a_load_on_a_full_disk_writes_nothing_and_the_next_one_completes(tmp_path: Path) -> None:
    lake, chips = Lake(tmp_path), 12_000
    ensure_sources(lake.settings)
    run = exported_run(lake, [1])
    manifest = run.manifest()
    (entry,) = manifest.objects
    asked = {"chip_id": [f"chip-{number}" for number in range(chips)], "input_hash": ["hash"] * chips}
    noise = np.random.default_rng(0).normal(size=(chips, manifest.dimension)).astype(np.float32)
    answer = pa.table(
        {**asked, "model_id": [manifest.model_id] * chips, "embedding": list(noise), "error": pa.nulls(chips)},
        schema=ANSWER_SCHEMA,
    )
    # A load reads no pixels.
    write_atomically(run.input_dir / entry.name, write_table(pa.table(asked), ARROW_STREAM))
    write_atomically(run.output_dir / f"{entry.name}{OUT_SUFFIX}", write_table(answer, ARROW_STREAM))
    room = 1_200_000  # enough for SQLite's library, which its driver unpacks

    code, words = lake.run("embed", "load", largest_file=room)

    assert noise.nbytes > 2 * room
    assert code == 1
    assert said(words, "chiplake: ") == 1, words
    assert TOO_LARGE in words.partition("chiplake: ")[2], words
    assert (lake.rows(), lake.commits(), run.loaded_path.exists()) == ([], [], False)

    code, words = lake.run("embed", "load")
    assert code == 0, words
    assert (len(by_chip(lake.rows())), lake.commits()) == (chips, [chips])


def test_a_transform_without_a_single_answer_is_a_failure(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run = exported_run(lake, [1])
    (run.input_dir / "chips-00000.arrow").write_bytes(b"damaged")
    code, words = lake.run("embed", "transform")
    assert (code, said(words, f"chiplake: all 1 objects failed, first {run.run_id}/chips-00000.arrow: ")) == (1, 1), (
        words
    )
