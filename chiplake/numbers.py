"""The numbers with which a job ends, read from narrow columns of the tables by PyIceberg, without Spark."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression

from chiplake.keys import with_key_of, without_key_of
from lakehouse.catalog import open_catalog
from lakehouse.days import Days
from lakehouse.errors import AttentionError, IncompleteError
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS, STAC_ITEMS, STAC_REJECTS

SCENES: Final = "int_scenes"
CHIPS: Final = "fct_chips"
FILLED: Final = "fct_filled_chips"
_TO_EMBED: Final = "int_embedding_inputs"
CHANGES: Final = "fct_chip_changes"
EVENTS: Final = "fct_change_events"
_TABLES: Final = (STAC_ITEMS, STAC_REJECTS, SCENES, CHIPS, FILLED, CHANGES, EVENTS, CLAY_EMBEDDINGS)
_KEY: Final = ("chip_id", "input_hash")


def unreadable_error(unreadable: int, readable: int, largest_share: float, example: str = "") -> IncompleteError | None:
    """Return the error that says how many chips could not be read; None if all could.

    Args:
        unreadable: number of chips that could not be read.
        readable: number of the other chips.
        largest_share: share of unreadable chips that a run may have, 0 to 1.
        example: why one of them could not be read.
    """
    if not unreadable:
        return None
    where = "see column error of fct_chips" + (f": {example}" if example else "")
    if unreadable <= largest_share * (unreadable + readable):
        return IncompleteError(f"{unreadable} chips could not be read, {where}")
    share = unreadable / (unreadable + readable)
    return AttentionError(
        f"{unreadable} chips could not be read ({share:.1%}, more than "
        f"CHIPLAKE_MAX_UNREADABLE_FRACTION={largest_share:g}), {where}"
    )


@dataclass(frozen=True)
class CutNumbers:
    """Scenes and the chips that were cut from them."""

    scenes: int
    chips: int  # cut, without unreadable ones
    unreadable: int  # rows with an error


@dataclass(frozen=True)
class FilledNumbers:
    """Filled chips."""

    chips: int
    complete: int  # chips that are complete (is_complete)
    complete_fraction: float | None  # mean share of valid or filled pixels, 0 to 1; None without chips


@dataclass(frozen=True)
class EmbeddedNumbers:
    """Filled chips with an embedding by any model, and the others by reason."""

    chips: int
    not_embedded: Mapping[str, int]  # number of chips by reason; reasons without a chip are left out


@dataclass(frozen=True)
class ChangeNumbers:
    """Compared pairs of chips, and change events."""

    pairs: int
    changes: int
    events: Mapping[str, int]  # number of events last seen in these days, by state


@dataclass(frozen=True)
class LakeNumbers:
    """The numbers of a lake, or of some days of acquisition. A part is None if its table does not exist yet.

    Attributes:
        written: rows that a run has written, by table.
        bytes_written: bytes of the data files with these rows.
    """

    cut: CutNumbers | None = None
    filled: FilledNumbers | None = None
    embedded: EmbeddedNumbers | None = None
    changed: ChangeNumbers | None = None
    written: Mapping[str, int] = field(default_factory=dict)
    bytes_written: int = 0

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield what is counted, its number, and the rows that the run wrote of it (empty if that is not counted)."""
        if self.cut:
            yield "scenes", f"{self.cut.scenes:,}", self._written(SCENES)
            yield "chips cut", f"{self.cut.chips:,}", self._written(CHIPS)
            yield "chips unreadable", f"{self.cut.unreadable:,}", ""
        if self.filled:
            yield "chips filled", f"{self.filled.chips:,}", self._written(FILLED)
            yield "chips complete", f"{self.filled.complete:,}", ""
            if self.filled.complete_fraction is not None:
                yield "completeness", f"{self.filled.complete_fraction:.1%}", ""
        if self.embedded:
            yield "chips embedded", f"{self.embedded.chips:,}", self._written(CLAY_EMBEDDINGS)
            for reason, chips in self.embedded.not_embedded.items():
                yield f"not embedded: {reason}", f"{chips:,}", ""
        if self.changed:
            yield "pairs compared", f"{self.changed.pairs:,}", self._written(CHANGES)
            yield "changes", f"{self.changed.changes:,}", ""
            for state, events in self.changed.events.items():
                yield f"events: {state}", f"{events:,}", ""

    def _written(self, table: str) -> str:
        return f"{self.written[table]:,}" if table in self.written else ""


@dataclass(frozen=True)
class Counter:
    """Counts what a run has written, and what is in the lake at its end."""

    catalog: Catalog
    settings: Settings
    before: Mapping[str, int]  # newest sequence number of each table when the run began

    @classmethod
    def start(cls, settings: Settings) -> Counter:
        """Remember the state of the tables before a run."""
        catalog = open_catalog(settings)
        return cls(catalog, settings, {name: _sequence_number(catalog, full_name(settings, name)) for name in _TABLES})

    def numbers(self, job: str, days: Days) -> LakeNumbers:
        """Return the numbers of a job.

        Args:
            job: name of a job; `nightly` has all numbers, and other names have only what was written.
            days: days of acquisition that are counted.
        """
        is_all = job == "nightly"
        added = {name: self._added(name) for name in _TABLES}
        return LakeNumbers(
            cut=self._cut(days) if is_all or job == "chip_extraction" else None,
            filled=self._filled(days) if is_all or job == "temporal_merge" else None,
            embedded=self._embedded(days) if is_all or job == "embedding_generation" else None,
            changed=self._changed(days) if is_all or job == "change_detection" else None,
            written={name: rows for name, (rows, _) in added.items()},
            bytes_written=sum(size for _, size in added.values()),
        )

    def _cut(self, days: Days) -> CutNumbers | None:
        scenes = self._columns(SCENES, days, "scene_id")
        chips = self._columns(CHIPS, days, "error")
        if scenes is None or chips is None:
            return None
        unreadable = len(chips) - chips["error"].null_count
        return CutNumbers(len(scenes), len(chips) - unreadable, unreadable)

    def _filled(self, days: Days) -> FilledNumbers | None:
        chips = self._columns(FILLED, days, "complete_fraction", "is_complete")
        if chips is None:
            return None
        mean = pc.mean(chips["complete_fraction"]).as_py()
        return FilledNumbers(len(chips), pc.sum(chips["is_complete"]).as_py() or 0, mean)

    def _embedded(self, days: Days) -> EmbeddedNumbers | None:
        filled = self._columns(FILLED, days, *_KEY, "complete_fraction")
        wanted = self._columns(_TO_EMBED, days, *_KEY)
        answers = self._columns(CLAY_EMBEDDINGS, Days(), *_KEY, "error")
        if filled is None or wanted is None or answers is None:
            return None
        least = self.settings.embedding.min_complete
        has_box = self.settings.embedding.bbox is not None
        wanted = with_key_of(wanted, filled, *_KEY)
        is_error = pc.is_valid(answers["error"])
        embedded = with_key_of(wanted, answers.filter(pc.invert(is_error)), *_KEY)
        failed = without_key_of(with_key_of(wanted, answers.filter(is_error), *_KEY), embedded, *_KEY)
        left_out = without_key_of(filled, wanted, *_KEY)
        too_open = with_key_of(left_out, filled.filter(pc.less(filled["complete_fraction"], least)), *_KEY)
        elsewhere = "outside of CHIPLAKE_EMBED_BBOX" if has_box else "filled since int_embedding_inputs was built"
        reasons = {
            f"less complete than CHIPLAKE_EMBED_MIN_COMPLETE={least:g}": len(too_open),
            elsewhere: len(left_out) - len(too_open),
            "an error, see column error of raw.clay_embeddings": len(failed),
            "not yet": len(wanted) - len(embedded) - len(failed),
        }
        return EmbeddedNumbers(len(embedded), {reason: chips for reason, chips in reasons.items() if chips})

    def _changed(self, days: Days) -> ChangeNumbers | None:
        pairs = self._columns(CHANGES, days, "is_change")
        if pairs is None:
            return None
        events = self._columns(EVENTS, days, "state", of_time="last_seen_at")
        states = Counts([] if events is None else events["state"].to_pylist())
        return ChangeNumbers(len(pairs), pc.sum(pairs["is_change"]).as_py() or 0, dict(sorted(states.items())))

    def _columns(self, name: str, days: Days, *columns: str, of_time: str = "acquired_at") -> pa.Table | None:
        """Read some columns of the rows of some days; None if there is no such table."""
        return read_columns(self.catalog, full_name(self.settings, name), days.conditions(of_time), *columns)

    def _added(self, name: str) -> tuple[int, int]:
        """Return the rows, and the bytes of their files, that were added to a table since the run began."""
        try:
            snapshots = self.catalog.load_table(full_name(self.settings, name)).metadata.snapshots
        except NoSuchTableError:
            return 0, 0
        summaries = [
            snapshot.summary.additional_properties
            for snapshot in snapshots
            if (snapshot.sequence_number or 0) > self.before[name] and snapshot.summary is not None
        ]
        rows, size = (
            sum(int(one.get(measure) or 0) for one in summaries) for measure in ("added-records", "added-files-size")
        )
        return rows, size


def read_columns(catalog: Catalog, name: str, conditions: Sequence[str], *columns: str) -> pa.Table | None:
    """Read some columns of the rows that meet all conditions; None if there is no such table."""
    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        return None
    rows: str | BooleanExpression = " and ".join(conditions) if conditions else AlwaysTrue()
    return table.scan(rows, selected_fields=columns).to_arrow()


def full_name(settings: Settings, name: str) -> str:
    """Return the name of a table with its schema; a name without one is a model's."""
    return name if "." in name else settings.lake.table(name)


def _sequence_number(catalog: Catalog, name: str) -> int:
    try:
        snapshots = catalog.load_table(name).metadata.snapshots
    except NoSuchTableError:
        return 0
    return max((snapshot.sequence_number or 0 for snapshot in snapshots), default=0)
