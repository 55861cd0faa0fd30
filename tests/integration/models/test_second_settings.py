"""`dbt build` with all of its tests passes under other settings than the defaults, in another schema.

`tests/integration/chiplake/test_thrift_clients.py` does the same over Thrift.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from support.lakes import dbt, drop_target_schema, empty_lake, ingest_file, settings_from
from support.second_settings import (
    BANDS,
    BUILD,
    CELL,
    MAX_AGE_DAYS,
    second_settings,
    valid_pixels,
    write_small_archive,
)

from chiplake.synthetic import Archive
from lakehouse.bands import BAND_NAMES
from lakehouse.settings import Settings, get_settings

pytestmark = [pytest.mark.java, pytest.mark.slow]

SCHEMA = "second"


@pytest.fixture(scope="module")
def archive(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Three dates of two small tiles in an empty lake, under the second settings."""
    archive = write_small_archive(tmp_path_factory.mktemp("archive"))
    empty_lake(spark, settings)
    with settings_from(second_settings(SCHEMA)):
        ingest_file(archive.items_path, get_settings())
        yield archive
        drop_target_schema(SCHEMA)


def test_build_passes_and_follows_the_settings(spark: SparkSession, archive: Archive) -> None:
    dbt(*BUILD)

    chips = spark.table(f"{SCHEMA}.fct_chips").collect()
    assert {chip.cell_id for chip in chips} == {CELL}
    assert len(chips) == len({scene.day for scene in archive.scenes})
    for chip in chips:
        assert {band for band in BAND_NAMES if chip[band] is not None} == set(BANDS)
    assert {chip.snow_probability for chip in chips} == {None}
    filled = (
        spark.table(f"{SCHEMA}.fct_filled_chips").select("chip_id", "rule_version", "base_valid_fraction").collect()
    )
    shares = {chip.chip_id: valid_pixels(chip.asDict()).mean() for chip in chips}
    assert {row.chip_id: row.base_valid_fraction for row in filled} == shares
    assert {json.loads(row.rule_version)["max_age_days"] for row in filled} == {MAX_AGE_DAYS}
    composites = spark.table(f"{SCHEMA}.fct_composites").select("composite_id", "rule_version").collect()
    assert [(row.composite_id, json.loads(row.rule_version)["method"]) for row in composites] == [
        (f"{CELL}_season_2023-06", "medoid-v1")
    ]
    assert spark.sql("show tables in chiplake").collect() == []
    assert dbt("run") != {}
    assert spark.sql(f"select * from {SCHEMA}.fct_chips.snapshots").count() == 1
