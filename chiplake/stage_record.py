"""The record of stages in `ops.stages`: a row when an attempt of a stage starts, and one when it ends.

A schedule's commands record themselves, plain dbt does not: a second `dbt build` writes nothing. A record that cannot
be written does not stop the stage.
"""

from __future__ import annotations

import json
import os
from collections import Counter as Count
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import schema_to_pyarrow

from chiplake.numbers import CHANGES, CHIPS, FILLED, SCENES, Counter, LakeNumbers, unreadable_error
from chiplake.version import project_version
from lakehouse.catalog import ensure_sources
from lakehouse.causes import root_cause
from lakehouse.code_digest import code_digest
from lakehouse.commits import commit
from lakehouse.days import Days
from lakehouse.errors import only_some_failed
from lakehouse.notices import notice
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS, STAC_ITEMS, STAC_REJECTS, STAGES, STAGES_SCHEMA

RUNNING: Final = "running"
DONE: Final = "done"
UNCHANGED: Final = "unchanged"  # a night that found nothing to do
INCOMPLETE: Final = "incomplete"  # everything was done except for some chips
FAILED: Final = "failed"
OPERATIONS: Final = "operations"  # this stage reads the record, so it has no rows in it, only a report
STATES: Final = (RUNNING, DONE, UNCHANGED, INCOMPLETE, FAILED)

_MART_PREFIXES: Final = ("dim_", "fct_")
# The job whose numbers a stage of the schedule has, where the names differ.
_JOB_OF_STAGE: Final = {"load": "embedding_generation"}
_COLUMNS_OF_TABLES: Final = {
    STAC_ITEMS: "items_written",
    STAC_REJECTS: "items_rejected",
    SCENES: "scenes_written",
    CHIPS: "chips_written",
    FILLED: "filled_chips_written",
    CLAY_EMBEDDINGS: "embeddings_written",
    CHANGES: "changes_written",
}
# States of dbt's results: https://docs.getdbt.com/reference/artifacts/run-results-json
_STATES_OF_TESTS: Final = {
    "pass": "tests_passed",
    "warn": "tests_warned",
    "fail": "tests_failed",
    "error": "tests_failed",
}


def state_of(error: BaseException | str) -> str:
    """Return the state of a stage that ended with an error."""
    return INCOMPLETE if only_some_failed(error) else FAILED


def new_run_id() -> str:
    """Return an id for a run that no schedule has named; ids sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"


@dataclass
class Attempt:
    """One attempt of a stage.

    Attributes:
        state: the state with which it ends if nothing fails.
    """

    settings: Settings
    catalog: Catalog
    counter: Counter
    run_id: str
    stage: str
    days: Days
    is_recompute: bool
    marts_before: dict[str, int] = field(default_factory=dict)  # newest snapshot by name, when the attempt started
    attempt_id: str = field(default_factory=lambda: uuid4().hex)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: str = DONE

    @cached_property
    def _row(self) -> dict[str, Any]:
        """The columns that both rows have."""
        return columns_of_lake(self.settings) | {
            "run_id": self.run_id,
            "stage": self.stage,
            "attempt_id": self.attempt_id,
            "started_at": self.started_at,
            "start_date": self.days.start,
            "end_date": self.days.end,
            "is_recompute": self.is_recompute,
            "image": self.settings.jobs.schedule_image or None,
        }

    @classmethod
    def start(
        cls,
        settings: Settings,
        run_id: str,
        stage: str,
        days: Days,
        is_recompute: bool = False,
    ) -> Attempt:
        """Write the row of the start."""
        catalog = ensure_sources(settings)
        attempt = cls(settings, catalog, Counter.start(settings), run_id, stage, days, is_recompute)
        attempt.marts_before = attempt._marts_before()
        attempt._write(state=RUNNING)
        return attempt

    def end(self, error: BaseException | str | None = None) -> None:
        """Write the row of the end, and keep dbt's results beside the table.

        Args:
            error: why the stage is incomplete or failed; None: it ended well.
        """
        numbers = self.counter.numbers(_JOB_OF_STAGE.get(self.stage, self.stage), self.days)
        if error is None and numbers.cut:  # for dbt, a chip that could not be read is a row like any other
            largest_share = self.settings.jobs.max_unreadable_fraction
            error = unreadable_error(numbers.cut.unreadable, numbers.cut.chips, largest_share)
        state = self.state if error is None else state_of(error)
        results = results_of_dbt(self.started_at)
        self._write(
            state=state,
            ended_at=datetime.now(UTC),
            error=None if error is None else root_cause(error),
            **columns_of_numbers(numbers),
            **({} if results is None else count_tests(json.loads(results)) | {"dbt_results": self._keep(results)}),
        )

    def _write(self, **values: Any) -> None:
        row = self._row | values
        if self.stage != OPERATIONS:
            append_rows(self.catalog, [row])
        if folder := self.settings.jobs.schedule_report:
            marts = self._marts() if row["state"] != RUNNING else {}
            written = sorted(name for name, snapshot in marts.items() if self.marts_before.get(name) != snapshot)
            report = row | {"marts_written": written, "marts_before": self.marts_before}
            self._put(report_address(folder, self.stage), json.dumps(report, default=str).encode())

    def _marts(self) -> dict[str, int]:
        """Return the newest snapshot of each mart of the schema; empty if nobody wants a report."""
        if not self.settings.jobs.schedule_report:
            return {}
        names = [name for *_, name in self.catalog.list_tables(self.settings.lake.target_schema)]
        marts = [name for name in names if name.startswith(_MART_PREFIXES)]
        snapshots = {name: self.catalog.load_table(self.settings.lake.table(name)).current_snapshot() for name in marts}
        return {name: snapshot.snapshot_id for name, snapshot in snapshots.items() if snapshot is not None}

    def _marts_before(self) -> dict[str, int]:
        """Return the newest snapshot of each mart before the first attempt of the stage in this run."""
        if folder := self.settings.jobs.schedule_report:
            file = self.catalog.load_table(STAGES).io.new_input(report_address(folder, self.stage))
            if file.exists():
                with file.open() as stream:
                    earlier = json.loads(stream.read())
                if earlier["run_id"] == self.run_id:
                    return dict(earlier["marts_before"])
        return self._marts()

    def _put(self, address: str, content: bytes) -> None:
        with self.catalog.load_table(STAGES).io.new_output(address).create(overwrite=True) as file:
            file.write(content)

    def _keep(self, results: bytes) -> str:
        """Write dbt's results to the warehouse, and return the address."""
        warehouse = self.settings.lake.warehouse_location.rstrip("/")
        # Airflow's ids of runs have characters that are no part of a file name.
        folder = f"{warehouse}/ops_dbt_results/{quote(self.run_id, safe='')}"
        address = f"{folder}/{quote(self.stage, safe='')}-{self.attempt_id}.json"
        self._put(address, results)
        return address


def report_address(folder: str, stage: str) -> str:
    """Return where a stage reports its state and numbers for the schedule: JSON, with the columns of ops.stages."""
    return f"{folder.rstrip('/')}/{quote(stage, safe='')}.json"


@contextmanager
def recorded_stage(
    settings: Settings,
    run_id: str,
    stage: str,
    days: Days,
    is_recompute: bool = False,
) -> Iterator[Attempt | None]:
    """Record the stage that runs in this context, also if it fails. A stage without a run's id is not recorded.

    Args:
        settings: where the lake is.
        run_id: id of the run; empty: nothing is recorded.
        stage: name of the stage.
        days: days of acquisition that the stage is limited to.
        is_recompute: whether chips of older settings are computed again.

    Returns:
        The attempt; None if it is not recorded.
    """
    attempt = start_attempt(settings, run_id, stage, days, is_recompute) if run_id else None
    error: BaseException | None = None
    try:
        yield attempt
    except BaseException as raised:  # an interrupt, too
        error = raised
        raise
    finally:
        if attempt is not None:
            end_attempt(attempt, error)


def start_attempt(settings: Settings, run_id: str, stage: str, days: Days, is_recompute: bool) -> Attempt | None:
    """Write the start of an attempt; a notice says if that is not possible."""
    try:
        return Attempt.start(settings, run_id, stage, days, is_recompute)
    except Exception as error:  # the stage matters more than its record, and fails itself if the lake is gone
        _say_not_recorded(stage, error)
        return None


def end_attempt(attempt: Attempt, error: BaseException | str | None) -> None:
    """Write the end of an attempt; a notice says if that is not possible."""
    try:
        attempt.end(error)
    except Exception as not_written:  # see start_attempt
        _say_not_recorded(attempt.stage, not_written)


def append_rows(catalog: Catalog, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to ops.stages in one commit.

    Args:
        catalog: of the lake.
        rows: values by column; a column that a row lacks is null.
    """
    table_of_rows = pa.Table.from_pylist(list(rows), schema=schema_to_pyarrow(STAGES_SCHEMA, include_field_ids=False))
    commit(catalog, STAGES, lambda table: table.append(table_of_rows))


def columns_of_lake(settings: Settings) -> dict[str, Any]:
    """Return the columns of ops.stages that say for which schema and by which code a row was written."""
    return {
        "schema_name": settings.lake.target_schema,
        "code_version": project_version(),
        "code_digest": code_digest(PROJECT_DIR, settings.runtime.function_names),
    }


def columns_of_numbers(numbers: LakeNumbers) -> dict[str, Any]:
    """Return the columns of ops.stages that hold numbers of a lake; parts that were not counted are left out."""
    columns: dict[str, Any] = {column: numbers.written.get(table, 0) for table, column in _COLUMNS_OF_TABLES.items()}
    columns["bytes_written"] = numbers.bytes_written
    if cut := numbers.cut:
        columns |= {"scenes": cut.scenes, "chips_cut": cut.chips, "chips_unreadable": cut.unreadable}
    if filled := numbers.filled:
        columns |= {"chips_filled": filled.chips, "chips_complete": filled.complete}
        columns["complete_fraction"] = filled.complete_fraction
    if embedded := numbers.embedded:
        columns |= {"chips_embedded": embedded.chips, "chips_not_embedded": sum(embedded.not_embedded.values())}
        columns["not_embedded_reasons"] = json.dumps(dict(embedded.not_embedded))
    if changed := numbers.changed:
        columns |= {"pairs_compared": changed.pairs, "changes": changed.changes}
    return columns


def results_of_dbt(since: datetime) -> bytes | None:
    """Return the content of dbt's run_results.json; None if dbt has not written the file since a moment."""
    folder = Path(os.environ.get("DBT_TARGET_PATH") or "target")
    path = (folder if folder.is_absolute() else PROJECT_DIR / folder) / "run_results.json"
    if not path.is_file() or datetime.fromtimestamp(path.stat().st_mtime, UTC) < since:
        return None
    return path.read_bytes()


def count_tests(results: dict[str, Any]) -> dict[str, int]:
    """Return the numbers of tests in dbt's results that passed, warned and failed, by column of ops.stages."""
    states = (one["status"] for one in results["results"] if one["unique_id"].startswith("test."))
    counts = Count(_STATES_OF_TESTS[state] for state in states if state in _STATES_OF_TESTS)
    return {column: counts[column] for column in _STATES_OF_TESTS.values()}


def _say_not_recorded(stage: str, error: Exception) -> None:
    notice(f"the stage {stage} is not recorded in {STAGES}: {root_cause(error)}")
