"""STAC items of the synthetic scenes, in the form of Earth Search v1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from shapely import Polygon, box, segmentize, transform
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from chiplake.synthetic import view
from chiplake.synthetic.sky import Sun
from chiplake.synthetic.spec import ArchiveSpec, Overpass, TileWindow
from lakehouse.bands import BAND_BY_NAME, LAYER_GSD_M, SCL

COLLECTION: Final = "sentinel-2-l2a"
BASELINE: Final = "05.09"

# Times of a day.
_FIRST_SECOND: Final = timedelta(hours=9, minutes=58, seconds=11, milliseconds=590)
_DATATAKE_START: Final = timedelta(hours=9, minutes=45, seconds=49)
_DATASTRIP_START: Final = timedelta(hours=9, minutes=56, seconds=51)
_BETWEEN_TILES: Final = timedelta(seconds=2, milliseconds=430)
_PROCESSED: Final = timedelta(hours=13, minutes=1, seconds=4)
_PUBLISHED: Final = timedelta(hours=18, minutes=18, seconds=57)

_RELATIVE_ORBIT: Final = 79
# A day and its absolute orbit number, by satellite; 143 orbits take ten days.
_ORBIT_ON: Final = {"A": (date(2023, 8, 15), 42547), "B": (date(2023, 8, 10), 33567)}
_COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_EXTENSIONS: Final = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("raster/v1.1.0", "mgrs/v1.0.0", "grid/v1.0.0", "projection/v1.1.0", "eo/v1.1.0", "view/v1.0.0")
]


@dataclass(frozen=True)
class TilePass:
    """One scene: a window of a tile in one pass."""

    spec: ArchiveSpec
    overpass: Overpass
    window: TileWindow
    number: int  # of the window in the archive

    @property
    def item_id(self) -> str:
        """The id in the form of Earth Search."""
        return f"S2{self.overpass.satellite}_{self.window.tile}_{self.overpass.day:%Y%m%d}_0_L2A"

    @property
    def has_offset(self) -> bool:
        """Return whether the pixels still have the BOA offset added."""
        return self.window.tile in self.overpass.offset_pending


def file_name(layer: str) -> str:
    """Return the file name of a band or of SCL in the scene's folder."""
    return "SCL.tif" if layer == SCL else f"{BAND_BY_NAME[layer].code}.tif"


def sun_of(overpass: Overpass) -> Sun:
    """Return the position of the sun at the time of the pass, a linear approximation for August."""
    days = (overpass.day - date(overpass.day.year, 8, 10)).days
    return Sun(azimuth=150.52 + 0.26 * days, elevation=57.11 - 0.27 * days)


def make_item(scene: TilePass, scl: NDArray[np.uint8]) -> dict[str, Any]:
    """Make the STAC item of a scene, with hrefs relative to the item.

    Args:
        scene: what the item describes.
        scl: the scene's SCL, (rows, cols).
    """
    spec, window = scene.spec, scene.window
    footprint = _footprint(scene)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": _EXTENSIONS,
        "id": scene.item_id,
        "collection": COLLECTION,
        "bbox": list(footprint.bounds),
        "geometry": mapping(footprint),
        "properties": {
            **_acquisition(scene),
            **_cover_percentages(scl),
            "proj:epsg": spec.epsg,
            "mgrs:utm_zone": int(window.tile[:2]),
            "mgrs:latitude_band": window.tile[2],
            "mgrs:grid_square": window.tile[3:],
            "grid:code": f"MGRS-{window.tile}",
            "earthsearch:boa_offset_applied": not scene.has_offset,
            "description": f"Synthetic scene of the Chiplake demo, seed {spec.seed}: no satellite saw this.",
            "processing:software": {"chiplake-demo": "1"},
        },
        "links": [],
        "assets": {name: _asset(name, window) for name in (*spec.bands, SCL)},
    }


def _footprint(scene: TilePass) -> BaseGeometry:
    """Return the part of the window with data, EPSG:4326."""
    spec, overpass, window = scene.spec, scene.overpass, scene.window
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
    # A straight line in UTM is curved in degrees: with a vertex every 4 km the difference is below a pixel.
    return transform(
        segmentize(footprint, 4000.0),
        lambda points: np.column_stack(to_degrees.transform(points[:, 0], points[:, 1])),
    )


def _acquisition(scene: TilePass) -> dict[str, Any]:
    """Properties of the satellite, the times and the names of the product."""
    overpass, tile = scene.overpass, scene.window.tile
    satellite = f"S2{overpass.satellite}"
    reference_day, reference_orbit = _ORBIT_ON[overpass.satellite]
    orbit = reference_orbit + round(14.3 * (overpass.day - reference_day).days)
    compact = "%Y%m%dT%H%M%S"
    start = overpass.at(_DATATAKE_START).strftime(compact)
    strip = overpass.at(_DATASTRIP_START).strftime(compact)
    processed = overpass.at(_PROCESSED).strftime(compact)
    short_baseline = BASELINE.replace(".", "")
    sun = sun_of(overpass)
    return {
        "datetime": _iso(overpass.at(_FIRST_SECOND + scene.number * _BETWEEN_TILES)),
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
            f"{satellite}_MSIL2A_{start}_N{short_baseline}_R{_RELATIVE_ORBIT:03}_T{tile}_{processed}.SAFE"
        ),
        "s2:generation_time": _iso(overpass.at(_PROCESSED)),
        "s2:datatake_id": f"G{satellite}_{start}_{orbit:06}_N{BASELINE}",
        "s2:datatake_type": "INS-NOBS",
        "s2:datastrip_id": f"{satellite}_OPER_MSI_L2A_DS_2{overpass.satellite}PS_{processed}_S{strip}_N{BASELINE}",
        "s2:granule_id": (
            f"{satellite}_OPER_MSI_L2A_TL_2{overpass.satellite}PS_{processed}_A{orbit:06}_T{tile}_N{BASELINE}"
        ),
    }


def _cover_percentages(scl: NDArray[np.uint8]) -> dict[str, float]:
    """Percentages as in a product: nodata of all pixels, each class of the pixels with data."""
    counts = np.bincount(scl.ravel(), minlength=12)
    with_data = max(1, scl.size - int(counts[view.SCL_NODATA]))

    def percent(*classes: int) -> float:
        return round(100 * float(counts[list(classes)].sum()) / with_data, 6)

    return {
        "eo:cloud_cover": percent(*view.SCL_CLOUDS),
        "s2:nodata_pixel_percentage": round(100 * float(counts[view.SCL_NODATA]) / scl.size, 6),
        "s2:cloud_shadow_percentage": percent(view.SCL_SHADOW),
        "s2:vegetation_percentage": percent(view.SCL_VEGETATION),
        "s2:not_vegetated_percentage": percent(view.SCL_SOIL),
        "s2:water_percentage": percent(view.SCL_WATER),
        "s2:unclassified_percentage": percent(view.SCL_UNCLASSIFIED),
        "s2:medium_proba_clouds_percentage": percent(view.SCL_CLOUD_MEDIUM),
        "s2:high_proba_clouds_percentage": percent(view.SCL_CLOUD_HIGH),
        "s2:thin_cirrus_percentage": percent(view.SCL_CIRRUS),
    }


def _asset(layer: str, window: TileWindow) -> dict[str, Any]:
    gsd = LAYER_GSD_M[layer]
    asset: dict[str, Any] = {
        "href": f"./{file_name(layer)}",
        "type": _COG,
        "proj:shape": [window.height // gsd, window.width // gsd],
        "proj:transform": [gsd, 0, window.west, 0, -gsd, window.north],
        "roles": ["data", "reflectance"],
    }
    if layer == SCL:
        return asset | {
            "title": "Scene classification map (SCL)",
            "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": gsd}],
        }
    band = BAND_BY_NAME[layer]
    raster = {"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "spatial_resolution": gsd}
    return asset | {
        "title": f"{layer} ({band.code}) - {gsd}m",
        "gsd": gsd,
        "eo:bands": [{"name": layer, "common_name": layer, "center_wavelength": band.wavelength}],
        # Earth Search also declares the offset where it is already applied to the pixels.
        "raster:bands": [raster | {"scale": 0.0001, "offset": -0.1}],
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
