"""Patches, baselines, anomalies and events in SQL: against the functions on arrays, in any order of arrival.

Two cells side by side, 40 nights in two years. Ground is felled across their border; a field of the western cell is cut
for one night. The chips are put into fct_filled_chips, as filling has tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import lit
from shapely import from_wkb
from support.lakes import dbt, empty_lake_of, rows, snapshots

from lakehouse.bands import BAND_BY_NAME
from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import Settings
from python_udfs.change.anomaly import score_chip
from python_udfs.change.baseline import fit_baseline
from python_udfs.change.patches import PatchFeatures, patch_features
from python_udfs.change.rule import RULE
from python_udfs.codec import decode_array, encode_array

BANDS = ("blue", "red", "nir", "swir16")
CELLS = {"32633_195_1900": 0, "32633_196_1900": 1}  # and place in the picture, west to east
START = datetime(2021, 6, 3, 9, 50, tzinfo=UTC)
NIGHTS = 40
FELLED = 34  # from this night on
SELECT = ("--select", "path:models/anomalies", "int_event_inputs", "int_cell_events", "fct_change_events")
TABLES = ("fct_chip_patches", "fct_chip_anomalies", "fct_change_events")
Pixels = NDArray[np.uint16]


def moment(night: int) -> datetime:
    return START + timedelta(days=19 * night if night < 30 else 570 + 8 * (night - 30))


def picture(night: int) -> dict[str, Pixels]:
    """Return two cells of 256 x 256 pixels side by side: woods, with fields in the south."""
    chance = np.random.default_rng(night)
    green = np.sin(2 * np.pi * (moment(night).timetuple().tm_yday / 365 - 0.25))
    values = {"blue": 300, "red": 350, "nir": 2600 + 500 * green, "swir16": 1300 + 100 * green}
    ground = {name: np.full((256, 512), value) for name, value in values.items()}
    for name, value in {"blue": 500, "red": 700, "nir": 2500 + 900 * green, "swir16": 2000}.items():
        ground[name][160:] = value
    if night >= FELLED:
        for name, value in {"blue": 600, "red": 1300, "nir": 1900, "swir16": 2600}.items():
            ground[name][40:64, 240:280] = value
    light = chance.normal(1, 0.05)
    return {
        name: np.clip(image * light * chance.normal(1, 0.03, image.shape), 1, 65535).astype(np.uint16)
        for name, image in ground.items()
    }


def at_resolution(name: str, image: Pixels) -> Pixels:
    step = 256 // BAND_BY_NAME[name].pixels
    return np.ascontiguousarray(image[::step, ::step])


def chip_row(cell: str, night: int) -> dict[str, Any]:
    """Return a row of fct_filled_chips: some pixels are filled, some suspect."""
    chance = np.random.default_rng([night, CELLS[cell]])
    across = slice(CELLS[cell] * 256, CELLS[cell] * 256 + 256)
    bands = {name: image[:, across] for name, image in picture(night).items()}
    source_index = np.zeros((256, 256), np.uint8)
    source_index[: 16 * chance.integers(1, 3), :128] = 1
    suspect = np.zeros((128, 128), np.uint8)
    suspect[100:110, :10] = 1
    return {
        "chip_id": f"{cell}_{night:02}",
        "cell_id": cell,
        "geohash": "u2400000",
        "acquired_at": moment(night),
        "base_valid_fraction": float((source_index == 0).mean()),
        "input_hash": f"{night}",
        "source_index": encode_array(source_index),
        "suspect": encode_array(suspect),
        **{name: encode_array(at_resolution(name, image)) for name, image in bands.items()},
    }


def put(spark: SparkSession, table: str, found: Sequence[dict[str, Any]]) -> None:
    """Replace all rows of a table."""
    schema = spark.table(f"{MODEL_NAMESPACE}.{table}").schema
    data = [[row.get(field.name) for field in schema] for row in found]
    spark.createDataFrame(data, schema, verifySchema=False).writeTo(f"{MODEL_NAMESPACE}.{table}").overwrite(lit(True))


@pytest.fixture(scope="module")
def chips() -> list[dict[str, Any]]:
    return [chip_row(cell, night) for cell in CELLS for night in range(NIGHTS)]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings, chips: list[dict[str, Any]]) -> Iterator[SparkSession]:
    """Return a lake to which some chips came late."""
    with empty_lake_of(BANDS, spark, settings):
        dbt("run", "--empty", "--select", "+fct_change_events")
        cells = [
            {"cell_id": cell, "epsg": 32633, "cell_col": 195 + place, "cell_row": 1900, "geohash": "u2400000"}
            for cell, place in CELLS.items()
        ]
        put(spark, "dim_grid_cells", cells)
        late = chips[7::9]
        for part in ([one for one in chips if one not in late], chips):
            put(spark, "fct_filled_chips", part)
            dbt("run", *SELECT)
        yield spark


def frames(row: Row) -> PatchFeatures:
    return PatchFeatures.decode(row["patches"])


def test_patches_and_scores_are_those_of_the_functions(lake: SparkSession, chips: list[dict[str, Any]]) -> None:
    patches = rows(lake, "fct_chip_patches")
    anomalies = rows(lake, "fct_chip_anomalies")
    assert set(patches) == set(anomalies) == {chip["chip_id"] for chip in chips}
    for chip in chips[:: NIGHTS // 4]:
        bands = {name: decode_array(chip[name], "<u2", BAND_BY_NAME[name].pixels) for name in BANDS}
        suspect = decode_array(chip["suspect"], "u1", 128).repeat(2, 0).repeat(2, 1)
        counted = (decode_array(chip["source_index"], "u1", 256) == 0) & (suspect == 0)
        expected = patch_features(bands, counted)
        assert np.array_equal(frames(patches[chip["chip_id"]]).share, expected.share)
        assert patches[chip["chip_id"]]["observed_patches"] == (expected.share >= 0.75).sum()
    cell, night = "32633_195_1900", FELLED + 1
    judged = anomalies[f"{cell}_{night}"]
    month = datetime(moment(night).year, moment(night).month, 1, tzinfo=UTC)
    end = month - timedelta(days=25)
    known = [one for one in range(NIGHTS) if end - timedelta(days=730) <= moment(one) < end]
    assert judged["baseline_observations"] == len(known)
    days = np.array([moment(one).timestamp() / 86400 for one in known])
    baseline = fit_baseline(RULE, days, [frames(patches[f"{cell}_{one:02}"]) for one in known])
    assert baseline is not None
    day = moment(night).timestamp() / 86400
    anomaly = score_chip(RULE, baseline, day, frames(patches[f"{cell}_{night}"]))
    assert anomaly is not None
    scores = decode_array(judged["scores"], "<f2", 32).astype(float)
    assert scores == pytest.approx(anomaly.score.reshape(32, 32), rel=0.03, abs=0.02, nan_ok=True)
    assert judged["judged_patches"] == np.isfinite(scores).sum()
    assert judged["max_score"] == pytest.approx(np.nanmax(scores), rel=1e-3)
    assert (5, 30) <= (judged["patch_row"], judged["patch_col"]) <= (7, 31)
    first = anomalies[f"{cell}_00"]
    assert (first["scores"], first["evidence"], first["judged_patches"], first["baseline_observations"]) == (
        None,
        None,
        0,
        0,
    )


def test_the_felled_ground_is_one_event_of_both_cells(lake: SparkSession) -> None:
    events = [one for one in rows(lake, "fct_change_events", "event_id").values() if one["provisional_at"]]
    assert len(events) == 1
    event = events[0]
    assert event["cell_ids"] == list(CELLS)
    assert event["state"] == "confirmed"
    assert event["first_seen_at"].astimezone(UTC) == moment(FELLED)
    assert event["provisional_at"].astimezone(UTC) == moment(FELLED + 1)
    assert event["looks_like"].startswith("barer")
    assert event["evidence"] == "spectral"
    # Rows 5 to 7 and columns 30 to 34 are 15 patches.
    assert event["area_ha"] == pytest.approx(15 * 0.64)
    shape = from_wkb(bytes(event["geometry"]))
    assert shape.is_valid
    assert shape.geom_type == "Polygon", "neighbouring patches share their corners"
    assert shape.bounds == pytest.approx((event["xmin"], event["ymin"], event["xmax"], event["ymax"]))
    middle = shape.centroid
    size = 6_371_000 * np.pi / 180
    west, south, east, north = shape.bounds
    assert (east - west) * size * np.cos(np.radians(middle.y)) == pytest.approx(5 * 80, rel=0.05)
    assert (north - south) * size == pytest.approx(3 * 80, rel=0.05)


def test_a_second_run_writes_nothing_and_a_full_refresh_gives_the_same_rows(lake: SparkSession) -> None:
    before, written = {table: rows(lake, table, _key(table)) for table in TABLES}, snapshots()
    dbt("run", *SELECT)
    assert snapshots() == written
    dbt("run", "--full-refresh", *SELECT)
    assert {table: rows(lake, table, _key(table)) for table in TABLES} == before


def test_data_tests_hold(lake: SparkSession) -> None:
    dbt("test", "--resource-type", "test", *SELECT)


def _key(table: str) -> str:
    return "event_id" if table == "fct_change_events" else "chip_id"
