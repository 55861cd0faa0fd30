"""Filling all cells of a partition of the table, from data files that the task reads itself.

A plan says for each chip in which file and at which position its pixels are. Files are read one after the other, oldest
first, so all cells advance date by date. A chip that is read before an earlier one of its cell waits in memory: files
that maintenance has rewritten hold several dates. If too much waits, the chips that wait are dropped and read again
later, one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from pyiceberg.io import FileIO

from python_udfs.fill.cell_fold import CellFold
from python_udfs.fill.plan import CARRIED, PENDING, Step
from python_udfs.pixel_store.layers import Layers, own_layers, read_layers

MAX_WAITING_BYTES: Final = 384 * 1024 * 1024


@dataclass
class _Fold:
    """A fold, and the steps that are still to do."""

    fold: CellFold
    steps: deque[Step] = field(default_factory=deque)


class PartitionFold:
    """The folds of a partition."""

    def __init__(self, steps: Sequence[Step], io: FileIO, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        """Prepare the folds.

        Args:
            steps: their chips, in any order.
            io: of the lake.
            max_waiting_bytes: bytes of frames that may wait in memory.
        """
        self._io, self._max_waiting = io, max_waiting_bytes
        self._folds: dict[tuple[str, str], _Fold] = {}
        self._by_file: dict[str, list[Step]] = {}
        for step in sorted(steps, key=lambda step: (step.acquired_at, step.chip_id)):
            if step.fold not in self._folds:
                self._folds[step.fold] = _Fold(CellFold(step.fold[1]))
            self._folds[step.fold].steps.append(step)
            self._by_file.setdefault(step.file, []).append(step)
        self._waiting: dict[Step, Layers] = {}
        self._waiting_bytes = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the pending chips.

        Raises:
            MissingFileError: a file is gone, because the table was maintained since the plan was made.
            ValueError: a frame is damaged, or a chip has too many sources.
        """
        # The files are in order of their oldest step, as `_by_file` was filled in order of time.
        for steps in self._by_file.values():
            for step, frames in read_layers(steps, self._io):
                if self._folds[step.fold].steps[0] is not step:
                    self._wait(step, frames)
                    continue
                yield from self._advance(step, frames)
        for fold in list(self._folds.values()):
            while fold.steps:
                ((step, frames),) = read_layers([fold.steps[0]], self._io)
                yield from self._advance(step, frames)

    def _advance(self, step: Step, frames: Layers | None) -> Iterator[dict[str, Any]]:
        """Do a step of a fold, and the next ones that wait."""
        fold = self._folds[step.fold]
        while frames is not None:
            fold.steps.popleft()
            row = {**frames, "chip_id": step.chip_id, "acquired_at": step.acquired_at}
            if step.role == CARRIED:
                fold.fold.add_judged(row, step.suspect)
            else:
                fold.fold.add(row)
            if step.role == PENDING:
                yield fold.fold.filled(step.chip or {})
            if not fold.steps:
                del self._folds[step.fold]  # its pixels are not needed any more
                return
            step = fold.steps[0]
            frames = self._waiting.pop(step, None)
            if frames is not None:
                self._waiting_bytes -= _size(frames)

    def _wait(self, step: Step, frames: Layers) -> None:
        self._waiting[step] = own_layers(frames)
        self._waiting_bytes += _size(frames)
        if self._waiting_bytes > self._max_waiting:
            self._waiting.clear()
            self._waiting_bytes = 0


def _size(frames: Layers) -> int:
    return sum(len(value) for value in frames.values() if isinstance(value, bytes | pa.Buffer))
