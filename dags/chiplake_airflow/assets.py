"""Assets that the DAG publishes: the marts. Another DAG follows one with `schedule=[Asset("chiplake.fct_chips")]`."""

from __future__ import annotations

from typing import Final

from airflow.sdk import Asset

MARTS: Final = {
    "chip_extraction": ("dim_grid_cells", "fct_chips"),
    "temporal_merge": ("fct_filled_chips", "fct_chip_statistics"),
    "change_detection": ("fct_chip_embeddings", "fct_chip_changes"),
}  # by the stage that makes them


def assets_of(stage: str) -> list[Asset]:
    """The assets of a stage; none if it makes no mart."""
    return [
        Asset(name=f"chiplake.{mart}", uri=f"x-iceberg://lake/chiplake/{mart}", group="chiplake")
        for mart in MARTS.get(stage, ())
    ]
