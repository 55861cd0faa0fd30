"""`chiplake boa-offsets`: the user's own BOA offsets, which come before those of the providers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chiplake.output import print_line, print_table
from lakehouse.settings import get_settings


def boa_offsets_command(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV file with the columns collection,item_id,start_date,end_date,boa_offset,note."),
    ] = None,
) -> None:
    """Replace your own BOA offsets by those of a file; without a file, print the current ones.

    A line is for an item, a collection, days of acquisition, or several of these. The most specific line counts. A
    file with only the header removes all offsets.
    """
    from ingestion.store.overrides import COLUMNS, read_boa_offsets, store_boa_offsets, stored_boa_offsets

    settings = get_settings()
    if file is not None:
        overrides = read_boa_offsets(file)
        state = "were stored" if store_boa_offsets(overrides, settings) else "were already stored"
        print_line(f"{len(overrides)} offsets {state}; the next chip_extraction cuts the chips that they change")
        return
    rows = [
        ["" if value is None else str(value) for value in override.model_dump().values()]
        for override in stored_boa_offsets(settings)
    ]
    print_table(COLUMNS, rows, title="Current BOA offsets", numbers=("boa_offset",))
