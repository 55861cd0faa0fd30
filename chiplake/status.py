"""The state of the lake for its operator, read by PyIceberg without Spark."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from chiplake.numbers import CHIPS, Counter, LakeNumbers, read_columns, unreadable_error
from chiplake.stage_record import STATES
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.days import Days
from lakehouse.settings import Settings
from lakehouse.source_schemas import (
    CLAY_EMBEDDINGS,
    SOURCE_NAMESPACES,
    STAC_CHECKPOINTS,
    STAC_ITEMS,
    STAC_REJECTS,
    STAGES,
)

_NEWEST: Final = (  # label, table, column
    ("item acquired", STAC_ITEMS, "acquired_at"),
    ("item ingested", STAC_ITEMS, "ingested_at"),
    ("search complete until", STAC_CHECKPOINTS, "window_end"),
    ("embedding loaded", CLAY_EMBEDDINGS, "embedded_at"),
    ("stage recorded", STAGES, "started_at"),
)
_STAGE_COLUMNS: Final = ("attempt_id", "run_id", "stage", "state", "started_at", "ended_at", "error")


@dataclass(frozen=True)
class StageState:
    """The newest row of an attempt of a stage in ops.stages."""

    run_id: str
    stage: str
    state: str
    started_at: datetime
    ended_at: datetime | None  # None: it runs, or its process was killed
    error: str | None

    @property
    def seconds(self) -> float | None:
        """How long the attempt took."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Failure:
    """Rows of a table with the same reason."""

    table: str
    reason: str
    rows: int


@dataclass(frozen=True)
class TableSize:
    """What the current snapshot of a table holds."""

    table: str
    rows: int
    files: int
    size_bytes: int


@dataclass(frozen=True)
class Status:
    """The state of the lake.

    Attributes:
        stages: the last attempts of stages, the oldest first.
        numbers: chips of the days, in the lake.
        failures: what failed, the most frequent reason of a table first.
        newest: the latest moments, by what happened; None: never.
        tables: size of each table.
    """

    stages: tuple[StageState, ...]
    numbers: LakeNumbers
    failures: tuple[Failure, ...]
    newest: dict[str, datetime | None]
    tables: tuple[TableSize, ...]


def read_status(settings: Settings, days: Days, attempts: int, reasons: int) -> Status:
    """Read the state of the lake.

    Args:
        settings: where the lake is.
        days: days of acquisition of the numbers, and of the chips that failed.
        attempts: the number of attempts of stages to return.
        reasons: the number of reasons to return for each table.
    """
    catalog = ensure_sources(settings)
    chips = settings.lake.table(CHIPS)
    failures = (
        *failures_in(read_columns(catalog, chips, days.conditions("acquired_at"), "error"), chips, reasons),
        *failures_in(read_columns(catalog, CLAY_EMBEDDINGS, [], "error"), CLAY_EMBEDDINGS, reasons),
        *failures_in(read_columns(catalog, STAC_REJECTS, [], "reason"), STAC_REJECTS, reasons),
    )
    stages = read_columns(catalog, STAGES, [f"schema_name == '{settings.lake.target_schema}'"], *_STAGE_COLUMNS)
    return Status(
        stages=last_attempts([] if stages is None else stages.to_pylist())[-attempts:],
        numbers=Counter.start(settings).numbers("nightly", days),
        failures=failures,
        newest={label: _newest(catalog, table, column) for label, table, column in _NEWEST},
        tables=tuple(_sizes(catalog, (*SOURCE_NAMESPACES, settings.lake.target_schema))),
    )


def raise_if_unreadable(settings: Settings, days: Days) -> None:
    """Report the chips of some days that could not be read, in one line.

    Raises:
        IncompleteError: a chip could not be read.
        AttentionError: more of the chips than CHIPLAKE_MAX_UNREADABLE_FRACTION could not be read.
    """
    chips = read_columns(open_catalog(settings), settings.lake.table(CHIPS), days.conditions("acquired_at"), "error")
    if chips is None:
        return
    readable = chips["error"].null_count
    first = pc.min(chips["error"]).as_py() or ""  # in alphabetical order
    largest_share = settings.jobs.max_unreadable_fraction
    if error := unreadable_error(len(chips) - readable, readable, largest_share, first):
        raise error


def last_attempts(rows: list[dict[str, Any]]) -> tuple[StageState, ...]:
    """Return the newest row of each attempt, in the order of their starts.

    Args:
        rows: of ops.stages.
    """
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["ended_at"] is not None):
        newest[row.pop("attempt_id")] = row
    return tuple(StageState(**row) for row in sorted(newest.values(), key=lambda row: row["started_at"]))


def failures_in(rows: pa.Table | None, table: str, reasons: int) -> list[Failure]:
    """Count the rows of a table by reason, and return the most frequent ones.

    Args:
        rows: one column, the reason; null: no failure. None: there is no such table.
        table: its name.
        reasons: the number of reasons to return.
    """
    counts = Count() if rows is None else Count(rows.column(0).drop_null().to_pylist())
    return [Failure(table, reason, count) for reason, count in counts.most_common(reasons)]


def openmetrics(status: Status) -> str:
    """Return the numbers in OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/)."""
    return "\n".join([*_metric_lines(status), "# EOF"])


def _metric_lines(status: Status) -> Iterator[str]:
    for name, value in _gauges(status.numbers).items():
        yield f"# TYPE chiplake_{name} gauge"
        yield f"chiplake_{name} {value}"
    newest = [("what", label, at.timestamp()) for label, at in status.newest.items() if at]
    labelled: dict[str, Sequence[tuple[str, str, float]]] = {
        "newest_timestamp_seconds": newest,
        "table_rows": [("table", one.table, one.rows) for one in status.tables],
        "table_size_bytes": [("table", one.table, one.size_bytes) for one in status.tables],
    }
    for name, samples in labelled.items():
        yield f"# TYPE chiplake_{name} gauge"
        for label, text, value in samples:
            yield f'chiplake_{name}{{{label}="{text}"}} {value}'
    yield "# TYPE chiplake_stage stateset"
    for one in {stage.stage: stage for stage in status.stages}.values():  # the last attempt of each
        for state in STATES:
            is_state = int(one.state == state)
            yield f'chiplake_stage{{stage="{_escaped(one.stage)}",chiplake_stage="{state}"}} {is_state}'


def _gauges(numbers: LakeNumbers) -> dict[str, float]:
    gauges: dict[str, float | None] = {}
    if cut := numbers.cut:
        gauges |= {"scenes": cut.scenes, "chips_cut": cut.chips, "chips_unreadable": cut.unreadable}
    if filled := numbers.filled:
        gauges |= {"chips_filled": filled.chips, "complete_ratio": filled.complete_fraction}
    if embedded := numbers.embedded:
        gauges |= {"chips_embedded": embedded.chips, "chips_not_embedded": sum(embedded.not_embedded.values())}
    if changed := numbers.changed:
        gauges["changes"] = changed.changes
    return {name: value for name, value in gauges.items() if value is not None}


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _newest(catalog: Catalog, name: str, column: str) -> datetime | None:
    rows = read_columns(catalog, name, [], column)
    newest: datetime | None = None if rows is None else pc.max(rows[column]).as_py()
    return newest


def _sizes(catalog: Catalog, namespaces: tuple[str, ...]) -> Iterator[TableSize]:
    for namespace in namespaces:
        for identifier in sorted(catalog.list_tables(namespace)):
            yield size_of(".".join(identifier), catalog.load_table(identifier))


def size_of(name: str, table: Table) -> TableSize:
    """Return what the current snapshot of a table holds, by its summary."""
    snapshot = table.current_snapshot()
    totals = snapshot.summary.additional_properties if snapshot is not None and snapshot.summary is not None else {}
    rows, files, size = (int(totals.get(f"total-{what}", 0)) for what in ("records", "data-files", "files-size"))
    return TableSize(name, rows, files, size)
