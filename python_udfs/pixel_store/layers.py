"""The layers of chips, read from the data files that a plan names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

import pyarrow as pa
from pyiceberg.io import FileIO

from lakehouse.bands import CHIP_LAYERS
from python_udfs.pixel_store.reader import read_rows

Layers = dict[str, Any]  # frame of each layer of a row of fct_chips, None if it is null

_COLUMNS: Final = pa.schema([pa.field(name, pa.large_binary()) for name in CHIP_LAYERS])


class Placed(Protocol):
    """Something that needs a row of a data file."""

    @property
    def file(self) -> str:
        """Address of the file, as `_file` has it."""

    @property
    def position(self) -> int:
        """Number of the row in the file, as `_pos` has it."""


Wanted = TypeVar("Wanted", bound=Placed)


def read_layers(wanted: Sequence[Wanted], io: FileIO) -> Iterator[tuple[Wanted, Layers]]:
    """Yield each item with the layers of its row, in the order of the file.

    Frames are buffers over the memory of their row group; `own_layers` copies them.

    Args:
        wanted: all of one file; several may need the same row.
        io: that of the table.

    Raises:
        MissingFileError: the file is gone, because the table was maintained since the plan was made.
    """
    at: dict[int, list[Wanted]] = {}
    for one in wanted:
        at.setdefault(one.position, []).append(one)
    positions = sorted(at)
    number = 0
    for batch in read_rows(wanted[0].file, positions, _COLUMNS, io):
        for index in range(batch.num_rows):
            # A missing layer is null, and has no buffer.
            layers = {name: batch.column(place)[index].as_buffer() for place, name in enumerate(_COLUMNS.names)}
            yield from ((one, layers) for one in at[positions[number]])
            number += 1


def own_layers(layers: Layers) -> Layers:
    """Copy frames, so that they do not keep the memory of their row group."""
    return {name: None if frame is None else bytes(frame) for name, frame in layers.items()}
