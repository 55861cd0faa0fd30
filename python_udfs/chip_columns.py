"""The columns that both tables of chips have besides pixels, as Spark DDL.

Table functions take them as struct `chip` and return them unchanged: joining them to the pixels afterwards would send
the pixels over the network. Macro `chip_columns` lists the same names.
"""

from __future__ import annotations

from typing import Final

CHIP_COLUMNS: Final = (
    "chip_id: string, cell_id: string, geohash: string, acquired_at: timestamp, datatake_id: string, "
    "platform: string, item_ids: array<string>, processing_baseline: string, boa_offsets: array<int>, "
    "grid_version: string"
)
