"""fct_chip_statistics against plain numpy, and every SQL example of the documentation."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs import blosc
from PIL import Image
from pyspark.errors import PythonException
from pyspark.sql import Row, SparkSession
from support.ingests import write_items
from support.lakes import compared_always, compiled, data_files, dbt, empty_lake_of, ingest_file, rows, snapshots

from chiplake.synthetic import ArchiveSpec, write_archive
from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS
from python_udfs.registry import FUNCTIONS

SELECT = ("--select", "+fct_chip_statistics")
OVERVIEW = re.sub(r"{% (end)?raw %}", "", (PROJECT_DIR / "models" / "_overview.md").read_text())
EXAMPLES = re.findall(r"```sql\n(.*?)```", OVERVIEW, re.DOTALL)
TABLE_FUNCTIONS = {function.name for function in FUNCTIONS if function.kind == "table"}


class Lake:
    """Three dates of two small tiles; the middle date arrives late."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path) -> None:
        self.spark, self.settings, self.folder = spark, settings, folder
        spec = replace(ArchiveSpec.tiny(), bands=("blue", "green", "red", "nir", "swir16"))
        self.archive = write_archive(spec, folder / "archive")
        self.items = {item["id"]: item for item in json.loads(self.archive.items_path.read_text())["features"]}
        self.days = sorted({scene.day for scene in self.archive.scenes})

    def bring(self, *days: int) -> dict[str, str]:
        """Ingest the items of some days, and run the models."""
        ids = [scene.item_id for scene in self.archive.scenes for day in days if scene.day == self.days[day]]
        ingest_file(write_items(self.folder / "items.json", [self.items[one] for one in ids]), self.settings)
        return dbt("run", *SELECT)

    def files(self) -> dict[str, str]:
        """Return the data file that has the statistics of each chip."""
        return data_files(self.spark, "fct_chip_statistics")


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with empty_lake_of(("blue", "green", "red", "nir", "swir16"), spark, settings):
        lake = Lake(spark, settings, tmp_path_factory.mktemp("statistics"))
        lake.bring(0, 2)
        spark.sql(
            f"""
            insert into {CLAY_EMBEDDINGS}
            select
                chip_id,
                'clay-seeded-none' as model_id,
                input_hash,
                transform(sequence(1, 8), number -> float(sin(number * hash(chip_id)))) as embedding,
                string(null) as error,
                'run' as run_id,
                current_timestamp() as embedded_at
            from {MODEL_NAMESPACE}.fct_filled_chips
            """
        )
        dbt("run", "--select", "fct_chip_embeddings")
        yield lake


def pixels(frame: bytes | None) -> np.ndarray[Any, Any]:
    """Decode a band on the 10 m grid, NaN for nodata."""
    values = np.frombuffer(blosc.decompress(frame), "<u2").astype(float)
    side = int(values.size**0.5)
    values = np.kron(values.reshape(side, side), np.ones((256 // side, 256 // side)))
    return np.where(values == 0, np.nan, values)


def mean_difference(chip: Row, first: str, second: str) -> float | None:
    a, b = pixels(chip[first]), pixels(chip[second])
    ratio = (a - b) / (a + b)
    return None if np.isnan(ratio).all() else float(np.nanmean(ratio))


def test_a_late_date_recomputes_only_chips_that_it_changes(lake: Lake) -> None:
    spark = lake.spark
    before, old = lake.files(), rows(spark, "fct_filled_chips")
    assert set(before) == set(old)

    lake.bring(1)
    filled, after = rows(spark, "fct_filled_chips"), lake.files()
    changed = {chip_id for chip_id, chip in filled.items() if chip_id not in old or chip != old[chip_id]}
    assert set(old) - changed, "the first date does not change"
    assert changed & set(old), "the last date is filled again"
    assert set(after) == set(filled)
    found = rows(spark, "fct_chip_statistics")
    assert {chip_id: row.input_hash for chip_id, row in found.items()} == {
        chip_id: chip.input_hash for chip_id, chip in filled.items()
    }

    # Nothing is new: no snapshot, and the model does not run.
    counted = snapshots()
    with compared_always():
        assert dbt("run", "--select", "fct_chip_statistics") == {"fct_chip_statistics": "nothing pending"}
    assert snapshots() == counted

    # Statistics of deleted chips disappear; no chip of the other dates has suspect pixels.
    spark.sql(f"delete from {MODEL_NAMESPACE}.fct_filled_chips where date(acquired_at) = '{lake.days[2]}'")
    dbt("run", "--select", "fct_chip_statistics")
    left = rows(spark, "fct_chip_statistics")
    assert set(left) == set(rows(spark, "fct_filled_chips")) < set(found)

    dbt("run", "--full-refresh", "--select", "fct_chip_statistics")
    assert rows(spark, "fct_chip_statistics") == left
    dbt("test", "--select", "fct_chip_statistics")


def test_statistics_are_those_of_numpy(lake: Lake) -> None:
    chips, found = rows(lake.spark, "fct_filled_chips"), rows(lake.spark, "fct_chip_statistics")
    assert set(found) == set(chips)
    for chip_id, row in found.items():
        chip = chips[chip_id]
        assert (row.complete_fraction, row.base_valid_fraction) == (chip.complete_fraction, chip.base_valid_fraction)
        assert set(row.band_statistics) == {"blue", "green", "red", "nir", "swir16"}
        for band, of_band in row.band_statistics.items():
            raw = np.frombuffer(blosc.decompress(chip[band]), "<u2").astype(float)
            values = raw[raw > 0]
            assert of_band.pixel_count == values.size
            if not values.size:
                assert set(of_band.asDict().values()) == {0, None}
                continue
            expected = [values.mean(), values.std(), values.min(), values.max()]
            expected += [np.quantile(values, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
            assert list(of_band)[1:] == pytest.approx(expected)
        assert row.ndvi == pytest.approx(mean_difference(chip, "nir", "red"))
        assert row.ndwi == pytest.approx(mean_difference(chip, "green", "nir"))
        assert row.mndwi == pytest.approx(mean_difference(chip, "green", "swir16"))
        assert row.ndmi == pytest.approx(mean_difference(chip, "nir", "swir16"))
        assert row.nbr is None
    assert any(row.ndvi is not None for row in found.values())


def test_missing_pixels_of_a_filled_chip_need_no_mask(lake: Lake) -> None:
    (differing,) = lake.spark.sql(
        f"""
        select count_if(not chip_statistics(red) <=> chip_statistics(red, mask)) as red,
            count_if(not chip_statistics(swir16) <=> chip_statistics(swir16, mask)) as swir16,
            count_if(complete_fraction between 0.01 and 0.99) as partly_missing
        from (
            select *, chip_mask(source_index, sequence(0, 254)) as mask from {MODEL_NAMESPACE}.fct_filled_chips
        )
        """
    ).collect()
    assert (differing.red, differing.swir16) == (0, 0)
    assert differing.partly_missing > 0


def test_a_null_argument_gives_null_in_that_row_of_a_batch_only(lake: Lake) -> None:
    null, given = lake.spark.sql(
        f"""
        select
            chip_pixel(red, if(id = 0, null, 3), 5),
            chip_geotiff(if(id = 0, null, cell_id), struct(red)),
            chip_geotiff(cell_id, if(id = 0, null, struct(red))),
            chip_index(if(id = 0, null, 'ndvi'), struct(red, nir)),
            chip_index('ndvi', struct(if(id = 0, null, red) as red, nir)),
            chip_rgb_png(red, red, red, if(id = 0, null, 0.5)),
            chip_mask(scl, if(id = 0, null, array(4))),
            chip_valid(if(id = 0, null, scl), array(4), struct(red)),
            chip_mean(red, valid => if(id = 0, null, chip_mask(scl, sequence(0, 11)))),
            chip_statistics(if(id = 0, null, red)),
            chip_fraction(if(id = 0, null, source_index))
        from (select * from {MODEL_NAMESPACE}.fct_filled_chips where complete_fraction = 1 order by chip_id limit 1)
        cross join range(0, 2, 1, 1)
        order by id
        """
    ).collect()
    assert all(value is None for value in null)
    assert all(value is not None for value in given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("chip_index('nvdi', struct(red, nir))", "unknown index 'nvdi'; choose from ndvi"),
        ("chip_index('ndvi', struct(green, nir))", "the struct has no red"),
        ("chip_geotiff('here', struct(red))", "'here' is not a cell_id"),
        ("chip_geotiff(cell_id, struct(source_index))", "not source_index"),
    ],
)
def test_the_error_of_a_wrong_call_states_the_reason(lake: Lake, call: str, message: str) -> None:
    with pytest.raises(PythonException, match=message):
        lake.spark.sql(f"select {call} from {MODEL_NAMESPACE}.fct_filled_chips limit 1").collect()


def test_sedona_opens_the_geotiff(lake: Lake) -> None:
    found = lake.spark.sql(
        f"""
        select
            cell_col, cell_row, red, swir16, rs_numbands(raster) as bands, rs_srid(raster) as srid,
            rs_width(raster) as width, rs_height(raster) as height, rs_scalex(raster) as gsd,
            rs_upperleftx(raster) as west, rs_upperlefty(raster) as north,
            rs_bandnodatavalue(raster, 1) as nodata,
            rs_bandasarray(raster, 1) as band_1, rs_bandasarray(raster, 2) as band_2
        from (
            select *, rs_fromgeotiff(chip_geotiff(cell_id, struct(red, swir16))) as raster
            from {MODEL_NAMESPACE}.fct_filled_chips
            inner join {MODEL_NAMESPACE}.dim_grid_cells using (cell_id)
            order by chip_id limit 3
        )
        """
    ).collect()
    assert len(found) == 3
    for row in found:
        assert (row.bands, row.srid, row.width, row.height, row.gsd) == (2, 32633, 256, 256, 10)
        assert (row.west, row.north) == (row.cell_col * 2560, (row.cell_row + 1) * 2560)
        assert row.nodata == 0
        for frame, band in ((row.red, row.band_1), (row.swir16, row.band_2)):
            np.testing.assert_array_equal(np.array(band).reshape(256, 256), np.nan_to_num(pixels(frame)))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_of_the_documentation_return_rows(lake: Lake, number: int) -> None:
    example = EXAMPLES[number]
    found = lake.spark.sql(compiled(example) if "{{" in example else example).collect()
    assert found, example
    for name in found[0].asDict():
        assert any(row[name] is not None for row in found), name
    for row in found:
        if "share_of_mask" in row:
            assert row.share_of_mask == row.valid_fraction
        if "true_colour" in row:
            assert Image.open(io.BytesIO(row.true_colour)).size == (256, 256)


def test_the_documentation_names_every_function() -> None:
    assert len(EXAMPLES) >= 8
    assert [function.name for function in FUNCTIONS if f"`{function.name}" not in OVERVIEW] == []
    in_table = set(re.findall(r"^\| `(\w+)\(", OVERVIEW, re.MULTILINE))
    assert in_table == {function.name for function in FUNCTIONS} - TABLE_FUNCTIONS
