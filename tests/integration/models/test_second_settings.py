"""`dbt build` with all of its tests passes under other settings than the defaults, in another schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pyproj import Transformer
from pyspark.sql import SparkSession
from support.lakes import dbt, drop_target_schema, empty_lake, ingest_file

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from lakehouse.bands import BAND_NAMES
from lakehouse.settings import Settings, get_settings

pytestmark = [pytest.mark.java, pytest.mark.slow]

SCHEMA = "second"
CELL = "32633_233_1980"
BANDS = ("blue", "red", "nir", "swir16")
SETTINGS = {
    "CHIPLAKE_TARGET_SCHEMA": SCHEMA,
    "CHIPLAKE_BANDS": json.dumps(BANDS),
    "CHIPLAKE_VALID_SCL_CLASSES": "[4, 5, 6, 7, 11]",
    "CHIPLAKE_FILL_MAX_AGE_DAYS": "7",
    "CHIPLAKE_FILL_CLOUD_DILATION_PIXELS": "3",
    "CHIPLAKE_FILL_MIN_COMPLETE": "0.5",
    "CHIPLAKE_EMBED_MIN_COMPLETE": "0.25",
    "CHIPLAKE_EMBED_INT8": "true",
    "CHIPLAKE_CHANGE_HISTORY": "2",
    "CHIPLAKE_CHANGE_MIN_HISTORY": "1",
    "CHIPLAKE_CHANGE_MIN_DISTANCE": "0.3",
    "CHIPLAKE_CHANGE_MIN_SCORE": "2",
}


@pytest.fixture(scope="module")
def archive(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Three dates of two small tiles in an empty lake, under the second settings; the box holds one cell."""
    archive = write_archive(replace(ArchiveSpec.tiny(), bands=BANDS), tmp_path_factory.mktemp("archive"))
    longitude, latitude = centre(CELL)
    empty_lake(spark, settings)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in SETTINGS.items():
            patch.setenv(variable, value)
        box = [longitude - 0.01, latitude - 0.01, longitude + 0.01, latitude + 0.01]
        patch.setenv("CHIPLAKE_BBOX", json.dumps(box))
        get_settings.cache_clear()
        ingest_file(archive.items_path, get_settings())
        yield archive
        drop_target_schema(SCHEMA)
    get_settings.cache_clear()


def centre(cell_id: str) -> tuple[float, float]:
    """Longitude and latitude of the centre of a cell, degrees."""
    epsg, column, row = map(int, cell_id.split("_"))
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    x, y = to_degrees.transform((column + 0.5) * 2560, (row + 0.5) * 2560)
    return float(x), float(y)


def test_build_passes_and_follows_the_settings(spark: SparkSession, archive: Archive) -> None:
    dbt("build", "--warn-error-options", json.dumps({"error": ["LogTestResult"]}))

    chips = spark.table(f"{SCHEMA}.fct_chips").collect()
    assert {chip.cell_id for chip in chips} == {CELL}
    assert len(chips) == len({scene.day for scene in archive.scenes})
    for chip in chips:
        assert {band for band in BAND_NAMES if chip[band] is not None} == set(BANDS)
    filled = spark.table(f"{SCHEMA}.fct_filled_chips").select("chip_id", "rule_version").collect()
    assert {row.chip_id for row in filled} == {chip.chip_id for chip in chips}
    assert {json.loads(row.rule_version)["max_age_days"] for row in filled} == {7}
    assert spark.sql("show tables in chiplake").collect() == []
    assert dbt("run") != {}
    assert spark.sql(f"select * from {SCHEMA}.fct_chips.snapshots").count() == 1
