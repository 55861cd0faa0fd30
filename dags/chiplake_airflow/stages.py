"""The stages that dbt builds, with the marts that each of them makes and publishes as assets.

A stage is the selector of its name in selectors.yml. On AWS, Airflow has no dbt manifest to read the marts from, so
this module lists them; a test compares the list with the project. Another DAG follows a mart with
`schedule=[Asset("chiplake.fct_chips")]`, where `chiplake` is the schema of the models.
"""

from __future__ import annotations

from typing import Final

from airflow.sdk import Asset, AssetAlias

MARTS_OF_DBT_STAGES: Final[dict[str, tuple[str, ...]]] = {
    "chip_extraction": ("dim_grid_cells", "fct_chips"),
    "temporal_merge": ("fct_filled_chips", "fct_chip_statistics", "fct_composites"),
    "change_detection": (
        "fct_chip_embeddings",
        "fct_chip_patches",
        "fct_chip_anomalies",
        "fct_chip_changes",
        "fct_change_events",
    ),
    "operations": ("fct_lake_quality", "fct_pipeline_runs"),
}


def asset_of(mart: str, schema: str) -> Asset:
    """Return the asset of a mart."""
    return Asset(name=f"{schema}.{mart}", uri=f"x-iceberg://lake/{schema}/{mart}", group="chiplake")


def all_assets(schema: str) -> list[Asset]:
    """Return the assets of all marts, the inlets of the tests on the whole lake.

    Airflow shows, and schedules by, only assets that a DAG names.
    """
    return [asset_of(mart, schema) for marts in MARTS_OF_DBT_STAGES.values() for mart in marts]


def alias_of(stage: str, schema: str) -> AssetAlias:
    """Return the alias under which a stage publishes its marts.

    A task publishes all assets among its outlets whenever it succeeds. Those of an alias are added when the task runs,
    so only a mart with a new snapshot has an event.
    """
    return AssetAlias(name=f"{schema}.{stage}", group="chiplake")


def outlets_of(stage: str, schema: str) -> list[AssetAlias]:
    """Return the outlets of the task that publishes a stage's marts; a stage that dbt does not build has none.

    Args:
        stage: name of the stage.
        schema: schema of the models.
    """
    return [alias_of(stage, schema)] if stage in MARTS_OF_DBT_STAGES else []
