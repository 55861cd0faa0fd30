"""Writes a small synthetic archive of Sentinel-2 scenes: COGs and Earth Search items, with one planted change.

The scenes are windows of true MGRS tiles. Their items repeat the traps of the real thing: an offset that
is declared on every asset although it is mostly applied already, tiles of one datatake that overlap, a
swath that ends inside a tile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio import Affine
from shapely import Polygon, box, segmentize, transform
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from chiplake.demo import landscape
from chiplake.demo.landscape import Grid, Ground, Sky, Sun
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_SIZE_M, SCL

TILE_SIDE_M: Final = 109_800
LATTICE_M: Final = 20  # windows start on multiples of this, as true tiles do
COLLECTION: Final = "sentinel-2-l2a"
BASELINE: Final = "05.09"
BOA_OFFSET: Final = 1000  # added to reflectance x 10,000 where the product's offset is not applied yet
MIN_CHANGED_SHARE: Final = 0.25  # a cell counts as changed from this share of its area on

_FIRST_SECOND: Final = timedelta(hours=9, minutes=58, seconds=11, milliseconds=590)
_DATATAKE_START: Final = timedelta(hours=9, minutes=45, seconds=49)
_DATASTRIP_START: Final = timedelta(hours=9, minutes=56, seconds=51)
_BETWEEN_TILES: Final = timedelta(seconds=2, milliseconds=430)
_PROCESSED: Final = timedelta(hours=13, minutes=1, seconds=4)
_PUBLISHED: Final = timedelta(hours=18, minutes=18, seconds=57)
_RELATIVE_ORBIT: Final = 79
_ORBIT_ON: Final = {"A": (date(2023, 8, 15), 42547), "B": (date(2023, 8, 10), 33567)}  # 143 orbits take ten days
_COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_EXTENSIONS: Final = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("raster/v1.1.0", "mgrs/v1.0.0", "grid/v1.0.0", "projection/v1.1.0", "eo/v1.1.0", "view/v1.0.0")
]


@dataclass(frozen=True)
class TileWindow:
    """A rectangle of an MGRS tile; scenes of the archive hold nothing else of the tile."""

    tile: str  # without T, such as 33TWL
    tile_west: int  # west edge of the whole tile, metres
    tile_north: int  # north edge of the whole tile, metres
    west: int  # west edge of the window, metres
    north: int  # north edge of the window, metres
    width: int  # metres
    height: int  # metres

    def __post_init__(self) -> None:
        """Refuse windows that no crop of the tile could be."""
        east, south = self.west + self.width, self.north - self.height
        inside = self.tile_west <= self.west < east <= self.tile_west + TILE_SIDE_M
        inside &= self.tile_north >= self.north > south >= self.tile_north - TILE_SIDE_M
        if not inside:
            raise ValueError(f"the window reaches out of tile {self.tile}")
        if any(edge % LATTICE_M for edge in (self.west, self.north, self.width, self.height)):
            raise ValueError(f"the window of tile {self.tile} is off the {LATTICE_M} m lattice")

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """West, south, east, north, metres."""
        return self.west, self.north - self.height, self.west + self.width, self.north


@dataclass(frozen=True)
class SwathEdge:
    """The east edge of the swath, a straight line; there is nodata east of it."""

    easting: float  # where it crosses the middle northing of the archive, metres
    tilt: float = 14.0  # clockwise from north, degrees: Sentinel-2 descends to the south-south-west


@dataclass(frozen=True)
class Overpass:
    """One datatake over all tiles."""

    day: date
    satellite: str  # A or B
    cloud_share: float  # of the archive's extent, 0 to 1
    cirrus_share: float = 0.0  # the same for thin cirrus
    clear_site: bool = True  # whether clouds keep away from the planted change
    swath_edge: SwathEdge | None = None  # None: all of the tiles lie inside the swath
    offset_pending: tuple[str, ...] = ()  # tiles delivered with +1000 still in their pixels

    @property
    def platform(self) -> str:
        """As STAC has it."""
        return f"sentinel-2{self.satellite.lower()}"

    def at(self, time_of_day: timedelta) -> datetime:
        """A moment of this day, UTC."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) + time_of_day


def _default_windows() -> tuple[TileWindow, ...]:
    return (
        TileWindow("33TWL", 499_980, 5_100_000, west=587_160, north=5_079_640, width=17_600, height=14_000),
        TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_079_640, width=16_900, height=14_000),
    )


def _default_passes() -> tuple[Overpass, ...]:
    return (
        Overpass(date(2023, 8, 5), "A", cloud_share=0.03),
        Overpass(date(2023, 8, 10), "B", cloud_share=0.17),
        Overpass(date(2023, 8, 15), "A", cloud_share=0.34, clear_site=False, offset_pending=("33TXL",)),
        Overpass(date(2023, 8, 20), "B", cloud_share=0.1, cirrus_share=0.05, swath_edge=SwathEdge(615_300)),
        Overpass(date(2023, 8, 25), "A", cloud_share=0.14),
    )


@dataclass(frozen=True)
class ArchiveSpec:
    """What an archive shall hold. Equal specs give equal pixels."""

    seed: int = 7
    epsg: int = 32633
    windows: tuple[TileWindow, ...] = field(default_factory=_default_windows)
    passes: tuple[Overpass, ...] = field(default_factory=_default_passes)  # oldest first
    bands: tuple[str, ...] = BAND_NAMES
    block_size: int = 512  # of the COGs, pixels
    flooded_cell: tuple[int, int] | None = (231, 1981)  # col, row of the planted change; None: nothing changes
    flood_from: int = -1  # index of the first pass that sees it

    @classmethod
    def small(cls, seed: int = 7) -> ArchiveSpec:
        """Two tiles of some 4 x 3 cells, all five dates, all bands: seconds through the whole pipeline."""
        passes = _default_passes()
        return cls(
            seed=seed,
            windows=(
                TileWindow("33TWL", 499_980, 5_100_000, west=594_480, north=5_074_980, width=9_000, height=6_600),
                TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_074_980, width=6_600, height=6_600),
            ),
            passes=(*passes[:3], _with_edge(passes[3], 605_400), passes[4]),
            block_size=256,
            flooded_cell=(233, 1980),
        )

    @classmethod
    def tiny(cls, seed: int = 7) -> ArchiveSpec:
        """Two tiles of some 2 x 2 cells, three nearly clear dates, three bands: for tests of single steps."""
        return cls(
            seed=seed,
            windows=(
                TileWindow("33TWL", 499_980, 5_100_000, west=596_400, north=5_072_300, width=5_000, height=3_600),
                TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_072_300, width=3_600, height=3_600),
            ),
            passes=(
                Overpass(date(2023, 8, 5), "A", cloud_share=0.02),
                Overpass(date(2023, 8, 10), "B", cloud_share=0.15, offset_pending=("33TXL",), clear_site=False),
                Overpass(date(2023, 8, 15), "A", cloud_share=0.05, swath_edge=SwathEdge(602_900)),
            ),
            bands=("red", "nir", "swir16"),
            block_size=128,
            flooded_cell=(233, 1980),
        )

    def __post_init__(self) -> None:
        """Refuse what could not be written or would not be true."""
        if unknown := [band for band in self.bands if band not in BAND_BY_NAME]:
            raise ValueError(f"unknown bands {unknown}")
        if sorted(self.passes, key=lambda overpass: overpass.day) != list(self.passes):
            raise ValueError("the passes are not in order of time")
        if self.flooded_cell is not None:
            west, south, east, north = self.extent
            col, row = (index * CHIP_SIZE_M for index in self.flooded_cell)
            if not (west <= col and col + 2 * CHIP_SIZE_M <= east and south <= row and row + CHIP_SIZE_M <= north):
                raise ValueError(f"cell {self.flooded_cell} and its eastern neighbour are not inside the archive")

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """West, south, east, north of all windows together, metres."""
        west, south, east, north = zip(*(window.extent for window in self.windows), strict=True)
        return min(west), min(south), max(east), max(north)

    @property
    def grid(self) -> Grid:
        """The 10 m pixel grid over all windows."""
        west, south, east, north = self.extent
        return Grid(west, north, 10, rows=(north - south) // 10, cols=(east - west) // 10)

    @property
    def change_day(self) -> date | None:
        """The day of the first pass that sees the planted change."""
        return None if self.flooded_cell is None else self.passes[self.flood_from].day

    def is_flooded(self, overpass: Overpass) -> bool:
        """Whether this pass sees the planted change."""
        return self.change_day is not None and overpass.day >= self.change_day

    def cell_ids(self) -> tuple[str, ...]:
        """The grid cells that the windows touch, sorted."""
        cells = set()
        for window in self.windows:
            west, south, east, north = window.extent
            for col in range(west // CHIP_SIZE_M, -(-east // CHIP_SIZE_M)):
                for row in range(south // CHIP_SIZE_M, -(-north // CHIP_SIZE_M)):
                    cells.add(f"{self.epsg}_{col}_{row}")
        return tuple(sorted(cells))


def _with_edge(overpass: Overpass, easting: float) -> Overpass:
    return Overpass(**{**vars(overpass), "swath_edge": SwathEdge(easting)})


@dataclass(frozen=True)
class PlantedChange:
    """The one true change in an archive: a flood."""

    day: date  # of the first pass that sees it
    easting: float  # of its middle, metres
    northing: float  # of its middle, metres
    shares: Mapping[str, float]  # changed share of each cell it touches, by cell_id

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The cells that count as changed, sorted."""
        return tuple(sorted(cell for cell, share in self.shares.items() if share >= MIN_CHANGED_SHARE))


@dataclass(frozen=True)
class Scene:
    """One written scene."""

    item_id: str
    tile: str  # without T
    day: date
    item_path: Path  # item JSON with hrefs relative to itself
    rasters: Mapping[str, Path]  # COG by band name, and scl
    offset: int  # what the pixels carry on top of reflectance x 10,000


@dataclass(frozen=True)
class Archive:
    """A written archive."""

    root: Path
    items_path: Path  # ItemCollection with absolute hrefs
    scenes: tuple[Scene, ...]  # by day, then tile
    cell_ids: tuple[str, ...]  # every grid cell that a scene touches
    change: PlantedChange | None


@dataclass(frozen=True)
class _View:
    """What one pass sees of the whole archive: shared by its tiles, so that they agree where they overlap."""

    ground: Mapping[int, Ground]  # by pixel side, 10 and 20 m
    sky: Sky
    scl: NDArray[np.uint8]  # 20 m, 0 outside the swath
    colours: NDArray[np.float32]
    flooded: bool


def write_archive(spec: ArchiveSpec, out_dir: Path, on_scene: Callable[[str], None] = lambda item_id: None) -> Archive:
    """Write every scene of the archive, one folder each, and `items.json`; what is there is replaced.

    Args:
        spec: what to write.
        out_dir: made if it is not there.
        on_scene: called with the item id after each scene, for a progress bar.
    """
    root = out_dir.resolve()
    root.mkdir(parents=True, exist_ok=True)
    middle = (spec.extent[1] + spec.extent[3]) / 2
    river = middle if spec.flooded_cell is None else landscape.site_centre(spec.flooded_cell)[1]
    fine = landscape.make_ground(spec.grid, spec.seed, river, spec.flooded_cell)
    ground = {10: fine, 20: landscape.coarsen(fine)}
    scenes = []
    items = []
    for overpass in spec.passes:
        view = _look(spec, overpass, ground)
        images = {band: _image(view, band) for band in spec.bands} | {SCL: view.scl}
        for number, window in enumerate(spec.windows):
            scene, item = _write_scene(spec, overpass, number, window, images, root)
            scenes.append(scene)
            items.append(_with_absolute_hrefs(item, scene.item_path.parent))
            on_scene(scene.item_id)
    items_path = root / "items.json"
    _write_json(items_path, {"type": "FeatureCollection", "features": items})
    return Archive(root, items_path, tuple(scenes), spec.cell_ids(), _planted_change(spec, fine))


def _look(spec: ArchiveSpec, overpass: Overpass, ground: Mapping[int, Ground]) -> _View:
    number = spec.passes.index(overpass)
    grid = spec.grid.coarsened()
    clear_site = spec.flooded_cell is not None and overpass.clear_site
    sky = landscape.make_sky(
        grid,
        seed=spec.seed * 1000 + 100 * number + 500,
        cloud_share=overpass.cloud_share,
        cirrus_share=overpass.cirrus_share,
        sun=_sun(overpass),
        clear_site=landscape.site_centre(spec.flooded_cell) if clear_site and spec.flooded_cell else None,
    )
    flooded = spec.is_flooded(overpass)
    scl = landscape.classify(ground[20], sky, flooded)
    if overpass.swath_edge is not None:
        scl[_beyond(overpass.swath_edge, spec, grid)] = landscape.SCL_NODATA
    gain = 1 + 0.008 * float(np.sin(1.7 * number))  # what the atmospheric correction left over
    days = (overpass.day - spec.passes[0].day).days
    return _View(ground, sky, scl, landscape.palette(days, gain), flooded)


def _beyond(edge: SwathEdge, spec: ArchiveSpec, grid: Grid) -> NDArray[np.bool_]:
    middle = (spec.extent[1] + spec.extent[3]) / 2
    line = edge.easting + np.tan(np.radians(edge.tilt)) * (grid.northings - middle)
    return np.asarray(grid.eastings > line, dtype=np.bool_)


def _image(view: _View, band: str) -> NDArray[np.uint16]:
    """Reflectance x 10,000 of one band over the whole archive, 0 where SCL has no data."""
    gsd = BAND_BY_NAME[band].gsd
    image = landscape.reflectance(view.ground[gsd], view.sky, view.colours, band, view.flooded)
    has_data = view.scl != landscape.SCL_NODATA
    times = 20 // gsd
    image *= has_data.repeat(times, axis=0).repeat(times, axis=1)
    return image


def _write_scene(
    spec: ArchiveSpec,
    overpass: Overpass,
    number: int,
    window: TileWindow,
    images: Mapping[str, NDArray[Any]],
    root: Path,
) -> tuple[Scene, dict[str, Any]]:
    """Cut a tile's window out of a pass and write it; returns the item as written, with relative hrefs."""
    item_id = f"S2{overpass.satellite}_{window.tile}_{overpass.day:%Y%m%d}_0_L2A"
    folder = root / item_id
    folder.mkdir(exist_ok=True)
    offset = BOA_OFFSET if window.tile in overpass.offset_pending else 0
    rasters = {}
    for name, image in images.items():
        pixels = _cut(spec, window, image)
        if name != SCL and offset:
            pixels = np.where(pixels > 0, pixels + np.uint16(offset), pixels)
        rasters[name] = folder / _file_name(name)
        write_cog(rasters[name], pixels, spec.epsg, (window.west, window.north), _gsd(name), spec.block_size)
    item_path = folder / f"{item_id}.json"
    item = _item(spec, overpass, number, window, item_id, _cut(spec, window, images[SCL]))
    _write_json(item_path, item)
    return Scene(item_id, window.tile, overpass.day, item_path, rasters, offset), item


def _gsd(name: str) -> int:
    return 20 if name == SCL else BAND_BY_NAME[name].gsd


def _file_name(name: str) -> str:
    return "SCL.tif" if name == SCL else f"{BAND_BY_NAME[name].code}.tif"


def _cut(spec: ArchiveSpec, window: TileWindow, image: NDArray[Any]) -> NDArray[Any]:
    gsd = spec.grid.gsd * spec.grid.rows // image.shape[0]
    top, left = (spec.grid.north - window.north) // gsd, (window.west - spec.grid.west) // gsd
    return image[top : top + window.height // gsd, left : left + window.width // gsd]


def write_cog(path: Path, pixels: NDArray[Any], epsg: int, corner: tuple[int, int], gsd: int, block_size: int) -> None:
    """Write a COG as Earth Search has them: DEFLATE with a predictor, 0 is nodata.

    Args:
        path: of the file; what is there is replaced.
        pixels: (height, width), north up.
        epsg: its zone.
        corner: easting and northing of the north-west corner, metres.
        gsd: side of a pixel, metres.
        block_size: side of a block, pixels.
    """
    with rasterio.open(
        path,
        "w",
        driver="COG",
        dtype=pixels.dtype,
        count=1,
        height=pixels.shape[0],
        width=pixels.shape[1],
        crs=f"EPSG:{epsg}",
        transform=Affine(gsd, 0, corner[0], 0, -gsd, corner[1]),
        nodata=0,
        compress="DEFLATE",
        predictor="STANDARD",
        level=6,
        blocksize=block_size,
        overviews="NONE",
    ) as dataset:
        dataset.write(pixels, 1)


def _sun(overpass: Overpass) -> Sun:
    """The sun over the archive at the time of passage, near enough for August."""
    days = (overpass.day - date(overpass.day.year, 8, 10)).days
    return Sun(azimuth=150.52 + 0.26 * days, elevation=57.11 - 0.27 * days)


def _footprint(spec: ArchiveSpec, overpass: Overpass, window: TileWindow) -> BaseGeometry:
    """Where the scene has data, EPSG:4326."""
    footprint: BaseGeometry = box(*window.extent)
    if overpass.swath_edge is not None:
        west, south, _, north = spec.extent
        half_width = np.tan(np.radians(overpass.swath_edge.tilt)) * (north - south) / 2
        top, bottom = overpass.swath_edge.easting + half_width, overpass.swath_edge.easting - half_width
        swath = Polygon([(west, south), (max(bottom, west), south), (max(top, west), north), (west, north)])
        footprint = footprint.intersection(swath)
    if footprint.is_empty:
        raise ValueError(f"tile {window.tile} lies outside the swath of {overpass.day}")
    to_degrees = Transformer.from_crs(spec.epsg, 4326, always_xy=True)
    # A straight line in UTM is none in degrees: more vertices keep the difference below a pixel.
    return transform(
        segmentize(footprint, 4000.0),
        lambda points: np.column_stack(to_degrees.transform(points[:, 0], points[:, 1])),
    )


def _item(
    spec: ArchiveSpec,
    overpass: Overpass,
    number: int,
    window: TileWindow,
    item_id: str,
    scl: NDArray[np.uint8],
) -> dict[str, Any]:
    """The STAC item of a scene, in the manner of Earth Search v1."""
    footprint = _footprint(spec, overpass, window)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": _EXTENSIONS,
        "id": item_id,
        "collection": COLLECTION,
        "bbox": list(footprint.bounds),
        "geometry": mapping(footprint),
        "properties": {
            **_acquisition(overpass, number, window),
            **_cover_shares(scl),
            "proj:epsg": spec.epsg,
            "mgrs:utm_zone": int(window.tile[:2]),
            "mgrs:latitude_band": window.tile[2],
            "mgrs:grid_square": window.tile[3:],
            "grid:code": f"MGRS-{window.tile}",
            "earthsearch:boa_offset_applied": window.tile not in overpass.offset_pending,
            "description": f"Synthetic scene of the Chiplake demo, seed {spec.seed}: no satellite saw this.",
            "processing:software": {"chiplake-demo": "1"},
        },
        "links": [],
        "assets": {name: _asset(name, window) for name in (*spec.bands, SCL)},
    }


def _acquisition(overpass: Overpass, number: int, window: TileWindow) -> dict[str, Any]:
    """Who saw the scene and when, under the names of the product."""
    satellite = f"S2{overpass.satellite}"
    reference, orbit_then = _ORBIT_ON[overpass.satellite]
    orbit = orbit_then + round(14.3 * (overpass.day - reference).days)
    compact = "%Y%m%dT%H%M%S"
    start = overpass.at(_DATATAKE_START).strftime(compact)
    strip = overpass.at(_DATASTRIP_START).strftime(compact)
    processed = overpass.at(_PROCESSED).strftime(compact)
    short_baseline = BASELINE.replace(".", "")
    sun = _sun(overpass)
    return {
        "datetime": _iso(overpass.at(_FIRST_SECOND + number * _BETWEEN_TILES)),
        "created": _iso(overpass.at(_PUBLISHED)),
        "updated": _iso(overpass.at(_PUBLISHED)),
        "platform": overpass.platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "view:sun_azimuth": sun.azimuth,
        "view:sun_elevation": sun.elevation,
        "s2:sequence": "0",
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": BASELINE,
        "s2:product_uri": (
            f"{satellite}_MSIL2A_{start}_N{short_baseline}_R{_RELATIVE_ORBIT:03}_T{window.tile}_{processed}.SAFE"
        ),
        "s2:generation_time": _iso(overpass.at(_PROCESSED)),
        "s2:datatake_id": f"G{satellite}_{start}_{orbit:06}_N{BASELINE}",
        "s2:datatake_type": "INS-NOBS",
        "s2:datastrip_id": f"{satellite}_OPER_MSI_L2A_DS_2{overpass.satellite}PS_{processed}_S{strip}_N{BASELINE}",
        "s2:granule_id": (
            f"{satellite}_OPER_MSI_L2A_TL_2{overpass.satellite}PS_{processed}_A{orbit:06}_T{window.tile}_N{BASELINE}"
        ),
    }


def _cover_shares(scl: NDArray[np.uint8]) -> dict[str, float]:
    """Percentages as in a product: nodata of all pixels, classes of the pixels with data."""
    counts = np.bincount(scl.ravel(), minlength=12)
    with_data = max(1, scl.size - int(counts[landscape.SCL_NODATA]))

    def percent(*classes: int) -> float:
        return round(100 * float(counts[list(classes)].sum()) / with_data, 6)

    return {
        "eo:cloud_cover": percent(*landscape.SCL_CLOUDS),
        "s2:nodata_pixel_percentage": round(100 * float(counts[landscape.SCL_NODATA]) / scl.size, 6),
        "s2:cloud_shadow_percentage": percent(landscape.SCL_SHADOW),
        "s2:vegetation_percentage": percent(landscape.SCL_VEGETATION),
        "s2:not_vegetated_percentage": percent(landscape.SCL_SOIL),
        "s2:water_percentage": percent(landscape.SCL_WATER),
        "s2:unclassified_percentage": percent(landscape.SCL_UNCLASSIFIED),
        "s2:medium_proba_clouds_percentage": percent(landscape.SCL_CLOUD_MEDIUM),
        "s2:high_proba_clouds_percentage": percent(landscape.SCL_CLOUD_HIGH),
        "s2:thin_cirrus_percentage": percent(landscape.SCL_CIRRUS),
    }


def _asset(name: str, window: TileWindow) -> dict[str, Any]:
    gsd = _gsd(name)
    asset: dict[str, Any] = {
        "href": f"./{_file_name(name)}",
        "type": _COG,
        "proj:shape": [window.height // gsd, window.width // gsd],
        "proj:transform": [gsd, 0, window.west, 0, -gsd, window.north],
        "roles": ["data", "reflectance"],
    }
    if name == SCL:
        return asset | {
            "title": "Scene classification map (SCL)",
            "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": gsd}],
        }
    band = BAND_BY_NAME[name]
    raster = {"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "spatial_resolution": gsd}
    return asset | {
        "title": f"{name} ({band.code}) - {gsd}m",
        "gsd": gsd,
        "eo:bands": [{"name": name, "common_name": name, "center_wavelength": band.wavelength}],
        # Earth Search declares the offset also where the pixels have it applied already.
        "raster:bands": [raster | {"scale": 0.0001, "offset": -0.1}],
    }


def _with_absolute_hrefs(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    assets = {name: asset | {"href": str(folder / asset["href"])} for name, asset in item["assets"].items()}
    return item | {"assets": assets}


def _planted_change(spec: ArchiveSpec, ground: Ground) -> PlantedChange | None:
    if spec.flooded_cell is None or spec.change_day is None:
        return None
    rows, cols = np.nonzero(ground.flood)
    col = (spec.grid.west + 10 * cols) // CHIP_SIZE_M
    row = (spec.grid.north - 10 * rows - 10) // CHIP_SIZE_M
    cells, counts = np.unique(np.stack([col, row]), axis=1, return_counts=True)
    shares = {
        f"{spec.epsg}_{cell[0]}_{cell[1]}": float(count) / (CHIP_SIZE_M // 10) ** 2
        for cell, count in zip(cells.T, counts, strict=True)
    }
    return PlantedChange(spec.change_day, *landscape.site_centre(spec.flooded_cell), shares=shares)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
