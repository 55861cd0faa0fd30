"""The chips that chip_extraction would cut."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import shapely
from pyiceberg.catalog import Catalog
from support.estimate_lakes import (
    CELL,
    COLUMNS,
    DAY_5,
    DAY_10,
    INGESTED,
    NORTH,
    TAKE_5,
    WEST,
    add,
    add_items,
    add_source,
    add_three_scenes,
    cut_all,
    item,
    only,
    plan_item,
    to_cut,
)

from chiplake.estimate import Certainty, estimate_job
from chiplake.estimate.grid import cells_in_box, cells_of_raster
from chiplake.estimate.scenes import Scene, chips_of_scenes
from chiplake.jobs import Window
from lakehouse.settings import Settings


def test_days_limit_the_scenes(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    assert to_cut(settings, Window(end=date(2023, 8, 5))) == (10, "about", 2)
    assert to_cut(settings, Window(start=date(2023, 8, 10), end=date(2023, 8, 10))) == (6, "about", 1)
    assert to_cut(settings, Window(start=date(2023, 8, 11))) == (0, "exactly", 0)


def test_a_box_limits_the_chips_to_those_whose_centre_lies_in_it(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    # At 46.2 degrees north a degree of longitude has 77.0 km. Centres of columns: 200 lies 13.3 km east of 15 degrees
    # (15.172), 201 at 15.206.
    column_200 = settings.replace(bbox=(15.16, 45, 15.19, 47))
    assert to_cut(column_200) == (4, "about", 2)  # two rows on two days; scene b is not there
    assert to_cut(settings.replace(bbox=(15.16, 45, 15.22, 47))) == (8, "about", 2)
    assert to_cut(settings.replace(bbox=(16, 45, 17, 47))) == (0, "exactly", 0)


def test_a_planned_and_cut_item_has_nothing_to_do(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row)
    plan_item(catalog, row)
    assert to_cut(settings) == (6, "exactly", 1)  # planned, and not cut yet
    cut_all(catalog, row)
    estimate = estimate_job(settings, "chip_extraction", Window())
    assert (only(estimate).number, only(estimate).certainty) == (0, Certainty.EXACTLY)
    assert estimate.message == "no chip and no pair is to be computed"


def test_the_chips_of_a_scene_are_joined_with_those_of_its_datatake(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row, item("b", west=WEST + 2 * CELL, mgrs_tile="33TXL"))
    plan_item(catalog, row)
    cut_all(catalog, row, chip_0="red: no such file")
    # The new tile has six cells, of which column 202 is cut again; the chip with an error is another one.
    assert to_cut(settings) == (7, "about", 2)


def test_another_version_of_an_item_counts_if_chips_depend_on_the_difference(
    settings: Settings, catalog: Catalog
) -> None:
    row = item("a")
    add_items(catalog, row)
    plan_item(catalog, row)
    cut_all(catalog, row)
    later = INGESTED + timedelta(days=1)
    add_items(catalog, item("a", "2", ingested_at=later, updated_at=later))
    assert to_cut(settings) == (0, "exactly", 0)
    add_items(catalog, item("a", "3", ingested_at=later, updated_at=later, processing_baseline="05.10"))
    assert to_cut(settings) == (6, "about", 1)


def test_only_the_newest_baseline_of_a_product_counts(settings: Settings, catalog: Catalog) -> None:
    old, new = item("old", processing_baseline="05.09"), item("new", processing_baseline="05.10")
    add_items(catalog, old, new)
    assert to_cut(settings) == (6, "about", 1)
    plan_item(catalog, new)
    cut_all(catalog, new)
    assert to_cut(settings) == (0, "exactly", 0)  # the old one came late, and changes nothing
    add_items(catalog, item("newest", processing_baseline="05.11"))
    assert to_cut(settings) == (6, "about", 1)


def test_a_product_of_a_user_does_not_replace_that_of_the_provider(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row, item("own", processing_baseline="99.99"))
    plan_item(catalog, row)
    cut_all(catalog, row)
    assert to_cut(settings) == (0, "exactly", 0)


def test_what_a_withdrawn_item_hid_is_cut(settings: Settings, catalog: Catalog) -> None:
    old, new = item("old", processing_baseline="05.09"), item("new", processing_baseline="05.10")
    add_items(catalog, old, new)
    plan_item(catalog, new)
    cut_all(catalog, new)
    add_items(catalog, new | {"content_hash": "2", "ingested_at": INGESTED + timedelta(1), "is_deprecated": True})
    assert to_cut(settings) == (6, "about", 1)


def test_two_parts_of_a_pass_are_two_scenes_of_the_same_chips(settings: Settings, catalog: Catalog) -> None:
    starts = [DAY_5 - timedelta(minutes=2), DAY_5 - timedelta(minutes=1)]
    add_items(catalog, *(item(f"part-{start.minute}", datastrip_started_at=start) for start in starts))
    assert to_cut(settings) == (6, "about", 2)


def test_a_line_of_offsets_cuts_the_chips_whose_offset_it_changes(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row)
    plan_item(catalog, row, offset=-1000, reason="processing baseline")
    cut_all(catalog, row)
    table = "raw.boa_offset_overrides"
    add_source(catalog, table, {"position": 0, "collection": "sentinel-2-l2a", "boa_offset": -1000})
    assert to_cut(settings) == (0, "exactly", 0)
    add_source(catalog, table, {"position": 1, "item_id": "a", "boa_offset": 0, "start_date": date(2023, 8, 6)})
    assert to_cut(settings) == (0, "exactly", 0)  # not its day
    add_source(catalog, table, {"position": 2, "item_id": "a", "boa_offset": 0})
    assert to_cut(settings) == (6, "about", 1)


def test_a_line_of_offsets_that_is_gone_counts(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row)
    plan_item(catalog, row, offset=0, reason="override")
    cut_all(catalog, row)
    assert to_cut(settings) == (6, "about", 1)


def test_without_a_grid_the_footprint_bounds_the_raster(settings: Settings, catalog: Catalog) -> None:
    # 0.05 by 0.03 degrees at 15 east (E = 500,000) and 46 north (N = 5,094,000): 3.87 by 3.33 km, from column 195.3 to
    # 196.8 and row 1989.8 to 1991.1.
    asset = {"href": "/a.tif"}
    add_items(catalog, item("a", assets={"red": asset}, geometry=shapely.box(15.0, 46.0, 15.05, 46.03).wkb))
    assert to_cut(settings) == (6, "about", 1)


def test_recomputing_counts_the_chips_of_other_rules_in_the_window(settings: Settings, catalog: Catalog) -> None:
    rows = item("a"), item("c", at=DAY_10)
    add_items(catalog, *rows)
    for row in rows:
        plan_item(catalog, row)
        cut_all(catalog, row)
    assert to_cut(settings, Window(recompute=True)) == (0, "exactly", 0)
    other = settings.replace(valid_scl_classes=(4, 5))
    assert to_cut(other) == (0, "exactly", 0)
    assert to_cut(other, Window(recompute=True)) == (12, "exactly", 2)
    assert to_cut(other, Window(start=date(2023, 8, 6), recompute=True)) == (6, "exactly", 1)
    assert to_cut(settings.replace(probabilities=True), Window(recompute=True)) == (12, "exactly", 2)


def test_a_whole_tile_touches_1936_cells() -> None:
    # docs/benchmarks.md counts 1,936 chips of a date of a tile, by the models.
    assert len(cells_of_raster(32633, (499_980, 4_990_200, 609_780, 5_100_000), None)) == 1936


def test_a_box_across_180_degrees_has_cells_on_both_sides() -> None:
    # At the equator a degree has 111.3 km. Column 295 of zone 60 lies 256 km east of 177 E, at 179.3 E; column 66 of
    # zone 1 lies 330 km west of 177 W, at 179.96 W, and its column 195 at 177 W.
    cell_ids = pa.array(["32660_295_10", "32601_66_10", "32601_195_10"])
    east_of_179 = (179.0, -10.0, -179.0, 10.0)
    assert cells_in_box(cell_ids, east_of_179).tolist() == [True, True, False]


def test_rows_on_both_sides_of_the_equator_are_counted_apart(settings: Settings, catalog: Catalog) -> None:
    # 7.68 km by 5.12 km with the equator in the middle: columns 200 to 202, rows -1 and 0.
    asset = {"href": "/a.tif", "transform": [10, 0, WEST, 0, -10, CELL], "shape": [512, 768]}
    add_items(catalog, item("a", assets={"red": asset}), item("b", assets={"red": asset}, mgrs_tile="33NWA"))
    assert to_cut(settings) == (6, "about", 2)


def test_a_run_that_ended_before_its_chips_were_planned_goes_on(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    add_items(catalog, row)
    plan_item(catalog, row)
    catalog.drop_table("chiplake.int_chip_inputs")
    assert to_cut(settings) == (6, "about", 1)


def test_a_run_that_ended_before_its_scenes_goes_on(settings: Settings, catalog: Catalog) -> None:
    row = item("a")
    plan_item(catalog, row)
    cut_all(catalog, row)
    new = item("a", "2", processing_baseline="05.10")
    add_items(catalog, row, new | {"ingested_at": INGESTED + timedelta(days=1)})
    catalog.load_table("chiplake.stg_stac__items").delete("content_hash == '1'")
    add(catalog, "stg_stac__items", {name: new[name] for name in COLUMNS["stg_stac__items"].split()})
    assert to_cut(settings) == (6, "about", 1)


def test_a_chip_of_two_scenes_has_the_time_of_the_earlier_one() -> None:
    bounds = (WEST, NORTH - CELL, WEST + CELL, NORTH)
    scenes = [Scene(f"scene {at}", TAKE_5, 32633, at, bounds) for at in (DAY_5 + timedelta(seconds=9), DAY_5)]
    chips = chips_of_scenes(scenes, None).to_pylist()
    assert chips == [{"chip_id": f"32633_200_1999_{TAKE_5}", "cell_id": "32633_200_1999", "acquired_at": DAY_5}]
