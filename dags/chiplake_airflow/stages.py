"""The stages that dbt builds, with the marts that each of them makes and publishes as assets.

A stage is the selector of its name in selectors.yml. On AWS, Airflow has no dbt manifest to read the marts from, so
this module lists them; a test compares the list with the project. Another DAG follows a mart with
`schedule=[Asset("chiplake.fct_chips")]`, where `chiplake` is the schema of the models.
"""

from __future__ import annotations

from typing import Final

from airflow.sdk import Asset

MARTS_OF_DBT_STAGES: Final[dict[str, tuple[str, ...]]] = {
    "chip_extraction": ("dim_grid_cells", "fct_chips"),
    "temporal_merge": ("fct_filled_chips", "fct_chip_statistics", "fct_composites"),
    "change_detection": ("fct_chip_embeddings", "fct_chip_changes"),
    "operations": ("fct_lake_quality", "fct_pipeline_runs"),
}
# The tests on the whole lake. The record of runs is built, with its tests, after this stage, because it includes it.
ALL_TESTS: Final = ("--exclude-resource-type", "unit_test", "--exclude", "path:models/operations")


def assets_of(stage: str, schema: str) -> list[Asset]:
    """Return the assets that a stage publishes; a stage that dbt does not build publishes none.

    Args:
        stage: name of the stage.
        schema: schema of the models.
    """
    return [
        Asset(name=f"{schema}.{mart}", uri=f"x-iceberg://lake/{schema}/{mart}", group="chiplake")
        for mart in MARTS_OF_DBT_STAGES.get(stage, ())
    ]
