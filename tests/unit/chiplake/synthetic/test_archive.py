"""A synthetic archive has the pixels that its items and its specification describe."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from numpy.typing import NDArray
from shapely import box
from shapely.geometry import shape

from chiplake.synthetic import Archive, ArchiveSpec, Overpass, Scene, TileWindow, write_archive
from chiplake.synthetic.ground import coarsen, make_ground
from chiplake.synthetic.noise import Grid

SPEC = ArchiveSpec.tiny()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return write_archive(SPEC, tmp_path_factory.mktemp("archive"))


def read(scene: Scene, name: str) -> NDArray[Any]:
    with rasterio.open(scene.rasters[name]) as dataset:
        pixels: NDArray[Any] = dataset.read(1)
    return pixels


def reflectance(scene: Scene, name: str) -> NDArray[np.int32]:
    """Return reflectance x 10,000 without the offset of the scene; 0 is nodata."""
    pixels = read(scene, name).astype(np.int32)
    return np.where(pixels > 0, pixels - scene.offset, 0)


def item_of(scene: Scene) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(scene.item_path.read_text())
    return item


def on_day(archive: Archive, day: date) -> list[Scene]:
    return [scene for scene in archive.scenes if scene.day == day]


def window_of(scene: Scene) -> TileWindow:
    return next(window for window in SPEC.windows if window.tile == scene.tile)


def test_the_same_seed_gives_the_same_bytes(archive: Archive, tmp_path: Path) -> None:
    again = write_archive(SPEC, tmp_path)
    for first, second in zip(archive.scenes, again.scenes, strict=True):
        assert first.item_path.read_bytes() == second.item_path.read_bytes()
        for name, path in first.rasters.items():
            assert path.read_bytes() == second.rasters[name].read_bytes()


def test_another_seed_gives_another_landscape(archive: Archive, tmp_path: Path) -> None:
    one_date = replace(SPEC, seed=8, passes=SPEC.passes[:1], flooded_cell=None)
    other = write_archive(one_date, tmp_path)
    assert other.change is None
    assert (read(archive.scenes[0], "red") != read(other.scenes[0], "red")).mean() > 0.5


def test_a_second_archive_in_one_folder_replaces_the_first(tmp_path: Path) -> None:
    one_date = replace(SPEC, passes=SPEC.passes[:1], bands=("red",), flooded_cell=None)
    first = write_archive(one_date, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert write_archive(one_date, tmp_path) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", [*SPEC.bands, "scl"])
def test_tiles_of_one_datatake_agree_where_they_overlap(archive: Archive, name: str) -> None:
    for overpass in SPEC.passes:
        west, east = on_day(archive, overpass.day)
        assert item_of(west)["properties"]["s2:datatake_id"] == item_of(east)["properties"]["s2:datatake_id"]
        left = read(west, name) if name == "scl" else reflectance(west, name)
        right = read(east, name) if name == "scl" else reflectance(east, name)
        gsd = 5000 // left.shape[1]
        overlap = 1400 // gsd  # the western window ends 1,400 m east of where the other begins
        np.testing.assert_array_equal(left[:, -overlap:], right[:, :overlap])


def test_a_smaller_window_has_the_same_ground() -> None:
    large = make_ground(Grid(598_000, 5_072_000, 10, 240, 300), 3, 5_071_000, None)
    small = make_ground(Grid(598_700, 5_071_400, 10, 100, 120), 3, 5_071_000, None)
    np.testing.assert_array_equal(large.index[60:160, 70:190], small.index)
    np.testing.assert_array_equal(large.texture[60:160, 70:190], small.texture)


def test_rasters_are_tiled_cogs_on_the_pixel_lattice_of_the_tile(archive: Archive) -> None:
    for scene in archive.scenes:
        window = window_of(scene)
        for name, path in scene.rasters.items():
            with rasterio.open(path) as dataset:
                gsd = 20 if name in ("swir16", "scl") else 10
                assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert dataset.compression.value == "DEFLATE"
                assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
                assert dataset.block_shapes == [(128, 128)]
                assert dataset.overviews(1) == []
                assert (dataset.crs.to_epsg(), dataset.nodata) == (32633, 0)
                assert dataset.dtypes == ("uint8",) if name == "scl" else ("uint16",)
                assert tuple(dataset.transform)[:6] == (gsd, 0, window.west, 0, -gsd, window.north)
                assert (window.west - window.tile_west) % 20 == (window.tile_north - window.north) % 20 == 0
                asset = item_of(scene)["assets"][name]
                assert asset["proj:transform"] == list(dataset.transform)[:6]
                assert asset["proj:shape"] == list(dataset.shape)


def test_items_state_the_cloud_and_nodata_percentages_of_the_pixels(archive: Archive) -> None:
    for scene in archive.scenes:
        scl = read(scene, "scl")
        properties = item_of(scene)["properties"]
        cloudy = np.isin(scl, (8, 9, 10)).sum() / (scl > 0).sum()
        assert properties["eo:cloud_cover"] == pytest.approx(100 * cloudy, abs=1e-4)
        assert properties["s2:nodata_pixel_percentage"] == pytest.approx(100 * (scl == 0).mean(), abs=1e-4)
        for band in SPEC.bands:
            times = read(scene, band).shape[0] // scl.shape[0]
            np.testing.assert_array_equal(read(scene, band) == 0, np.kron(scl == 0, np.ones((times, times))) == 1)


def test_the_footprint_covers_the_pixels_with_data(archive: Archive) -> None:
    for scene in archive.scenes:
        item = item_of(scene)
        footprint = shape(item["geometry"])
        assert item["bbox"] == pytest.approx(footprint.bounds)
        window = window_of(scene)
        whole = box(*rasterio.warp.transform_bounds(32633, 4326, *window.extent))
        data = 1 - item["properties"]["s2:nodata_pixel_percentage"] / 100
        # The rectangle is rotated by the meridian convergence, so its bounds are a little larger.
        assert footprint.area / whole.area == pytest.approx(data, abs=0.05)
        assert whole.buffer(1e-6).covers(footprint)


def test_pixels_have_the_offset_exactly_where_the_flag_is_false(archive: Archive) -> None:
    flags = {}
    for scene in archive.scenes:
        item = item_of(scene)
        is_applied = item["properties"]["earthsearch:boa_offset_applied"]
        flags[scene.tile, scene.day] = is_applied
        assert item["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
        assert scene.offset == (0 if is_applied else 1000)
        darkest = np.where(read(scene, "red") > 0, read(scene, "red"), 65535).min()
        assert (darkest > 1000) == (not is_applied)
    assert [key for key, is_applied in flags.items() if not is_applied] == [("33TXL", date(2023, 8, 10))]


def test_the_change_begins_on_its_day_and_only_in_its_place(archive: Archive) -> None:
    change = archive.change
    assert change is not None
    assert change.day == SPEC.passes[-1].day
    assert change.cell_ids == ("32633_233_1980", "32633_234_1980")
    assert sum(change.shares.values()) == pytest.approx(1.05, abs=0.3)
    before, after = on_day(archive, SPEC.passes[0].day)[0], on_day(archive, change.day)[0]
    clear = np.isin(read(before, "scl"), (4, 5, 6, 7)) & np.isin(read(after, "scl"), (4, 5, 6, 7))
    moved = np.abs(reflectance(after, "swir16") - reflectance(before, "swir16"))
    fine = make_ground(SPEC.grid, SPEC.seed, change.northing, SPEC.flooded_cell)
    flood = coarsen(fine).flood[:, : clear.shape[1]]
    assert np.median(moved[flood & clear]) > 1000
    assert np.percentile(moved[~flood & clear], 99) < 250
    assert (read(after, "scl")[flood & clear] == 6).all()


def test_the_planted_cells_are_clear_on_the_day_and_on_three_earlier_dates(tmp_path: Path) -> None:
    spec = ArchiveSpec.small()
    archive = write_archive(replace(spec, bands=("red",)), tmp_path)
    assert archive.change is not None
    for cell_id in archive.change.cell_ids:
        col, row = (int(part) for part in cell_id.split("_")[1:])
        shares = []
        for overpass in spec.passes:
            scene = on_day(archive, overpass.day)[0]  # the western tile contains both cells except for a strip
            scl = read(scene, "scl")
            left, top = (col * 2560 - 594_480) // 20, (5_074_980 - (row + 1) * 2560) // 20
            shares.append(np.isin(scl[max(top, 0) : top + 128, left : left + 128], (4, 5, 6, 7)).mean())
        assert shares[-1] > 0.9
        assert shares[-2] > 0.9
        assert sum(share >= 0.5 for share in shares[:-1]) >= 3


def test_the_collection_names_every_raster_by_its_absolute_path(archive: Archive) -> None:
    collection = json.loads(archive.items_path.read_text())
    assert [item["id"] for item in collection["features"]] == [scene.item_id for scene in archive.scenes]
    for item, scene in zip(collection["features"], archive.scenes, strict=True):
        assert {name: Path(asset["href"]) for name, asset in item["assets"].items()} == scene.rasters
        for name, asset in item_of(scene)["assets"].items():
            assert scene.item_path.parent / asset["href"] == scene.rasters[name]
            assert asset["href"].startswith("./")


def test_items_are_named_and_dated_like_earth_search(archive: Archive) -> None:
    first, second = (item_of(scene) for scene in on_day(archive, date(2023, 8, 15)))
    assert first["id"] == "S2A_33TWL_20230815_0_L2A"
    assert first["properties"]["s2:datatake_id"] == "GS2A_20230815T094549_042547_N05.09"
    assert first["properties"]["s2:product_uri"] == (
        "S2A_MSIL2A_20230815T094549_N0509_R079_T33TWL_20230815T130104.SAFE"
    )
    assert first["properties"]["datetime"] == "2023-08-15T09:58:11.590Z"
    assert second["properties"]["datetime"] == "2023-08-15T09:58:14.020Z"


def test_cell_ids_are_the_cells_that_the_windows_touch(archive: Archive) -> None:
    # 596,400 to 603,600 m east are columns 232.97 to 235.8; 5,068,700 to 5,072,300 m north rows 1979.96 to 1981.4.
    expected = {f"32633_{col}_{row}" for col in (232, 233, 234, 235) for row in (1979, 1980, 1981)}
    assert set(archive.cell_ids) == expected


def test_a_window_off_the_tile_or_its_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match="lattice"):
        TileWindow("33TWL", 499_980, 5_100_000, west=500_010, north=5_090_000, width=2000, height=2000)
    with pytest.raises(ValueError, match="reaches out"):
        TileWindow("33TWL", 499_980, 5_100_000, west=609_000, north=5_090_000, width=2000, height=2000)


def test_passes_out_of_order_are_refused() -> None:
    late, early = Overpass(date(2023, 8, 10), "B", 0.1), Overpass(date(2023, 8, 5), "A", 0.1)
    with pytest.raises(ValueError, match="order of time"):
        replace(SPEC, passes=(late, early))
