"""A synthetic landscape and its weather, as pure functions of world coordinates and a seed.

Everything is built from hashed lattices: the value at a place depends on its coordinates and the seed,
never on which window is asked for, so tiles that overlap agree without knowing of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_NAMES, CHIP_SIZE_M

Bool = NDArray[np.bool_]
Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Ints = NDArray[np.int64]

VARIANTS: Final = 16  # shades in which each cover occurs
SITE_SEMI_AXES_M: Final = (2100.0, 1270.0)  # of the planted flood: along easting, along northing
_SITE_WOBBLE_M: Final = 450.0  # by how much its shore may fall short of that
_SITE_INSET_M: Final = 20.0  # from the west edge of the flooded cell to the flood

MAIZE, SOY, MEADOW, STUBBLE, SOIL, BEET, BROADLEAF, CONIFER, WATER, BUILT, ROAD, FLOOD = range(12)

# Reflectance x 10,000 of each cover, in the order of the band table.
_SPECTRA: Final = {
    MAIZE: (350, 650, 420, 1000, 2600, 3200, 3400, 3550, 1700, 800),
    SOY: (380, 750, 430, 1100, 3100, 3900, 4100, 4250, 1900, 900),
    MEADOW: (420, 800, 600, 1250, 2500, 2900, 3100, 3250, 2200, 1200),
    STUBBLE: (760, 1060, 1380, 1750, 2100, 2300, 2500, 2650, 3100, 2200),
    SOIL: (850, 1120, 1450, 1780, 2000, 2150, 2300, 2450, 3200, 2700),
    BEET: (320, 720, 380, 1050, 3000, 3700, 3950, 4050, 1600, 700),
    BROADLEAF: (240, 460, 260, 740, 2200, 2800, 2950, 3100, 1400, 600),
    CONIFER: (200, 340, 220, 560, 1500, 1850, 1950, 2050, 950, 420),
    WATER: (430, 520, 330, 280, 210, 190, 170, 150, 80, 60),
    BUILT: (1150, 1300, 1420, 1580, 1780, 1880, 1980, 2080, 2250, 2000),
    ROAD: (900, 1080, 1220, 1400, 1560, 1650, 1750, 1830, 2050, 1750),
    FLOOD: (620, 820, 900, 760, 480, 430, 390, 340, 160, 110),  # turbid water over drowned fields
}
# What a crop fades towards as summer ends, and by how much of the way a day.
_RIPENING: Final = {MAIZE: 0.0035, SOY: 0.004, MEADOW: 0.002, BEET: 0.001, BROADLEAF: 0.0008, CONIFER: 0.0002}
_RIPE: Final = (700, 1000, 1200, 1650, 2200, 2450, 2600, 2750, 2900, 1900)
_CROPS: Final = np.array(
    [MAIZE] * 5 + [SOY] * 2 + [MEADOW] * 4 + [STUBBLE] * 3 + [SOIL] * 1 + [BEET] * 1, dtype=np.uint8
)
# Share by which neighbouring pixels of a cover differ: crowns and roofs cast shadows, crops are even.
_ROUGHNESS: Final = {BROADLEAF: 0.1, CONIFER: 0.1, BUILT: 0.12, WATER: 0.02}
_FIELD_ROUGHNESS: Final = 0.03

SCL_NODATA, SCL_SHADOW, SCL_VEGETATION, SCL_SOIL, SCL_WATER, SCL_UNCLASSIFIED = 0, 3, 4, 5, 6, 7
SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS = 8, 9, 10
SCL_CLOUDS: Final = (SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS)
_SCL_OF_COVER: Final = np.array(
    [
        SCL_VEGETATION,
        SCL_VEGETATION,
        SCL_VEGETATION,
        SCL_SOIL,
        SCL_SOIL,
        SCL_VEGETATION,
        SCL_VEGETATION,
        SCL_VEGETATION,
        SCL_WATER,
        SCL_UNCLASSIFIED,
        SCL_SOIL,
        SCL_WATER,
    ],
    dtype=np.uint8,
)

# Brightness of cloud against the visible, and of haze against blue, by band.
_CLOUD_TINT: Final = (0.98, 0.97, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0, 0.62, 0.45)
_HAZE_TINT: Final = (1.0, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2, 0.2, 0.05, 0.0)
_HAZE_MAX: Final = 60.0  # reflectance x 10,000 in blue
_CLOUD_SOFTNESS: Final = 0.085  # of the noise range, from the edge of a cloud to its opaque part
_CLOUD_HEIGHT_M: Final = 1300.0
_SHADOW_DEPTH: Final = 0.62  # share of light that an opaque cloud takes


@dataclass(frozen=True)
class Grid:
    """A north-up pixel grid in UTM."""

    west: int  # edge, metres
    north: int  # edge, metres
    gsd: int  # pixel side, metres
    rows: int
    cols: int

    @property
    def eastings(self) -> NDArray[np.float64]:
        """Eastings of the pixel centres, (1, cols), metres."""
        return np.arange(self.cols, dtype=np.float64)[None, :] * self.gsd + (self.west + self.gsd / 2)

    @property
    def northings(self) -> NDArray[np.float64]:
        """Northings of the pixel centres, (rows, 1), metres."""
        return (self.north - self.gsd / 2) - np.arange(self.rows, dtype=np.float64)[:, None] * self.gsd

    def moved(self, east: int, north: int) -> Grid:
        """The same grid elsewhere; metres."""
        return Grid(self.west + east, self.north + north, self.gsd, self.rows, self.cols)

    def coarsened(self) -> Grid:
        """The grid of pixels twice as wide over the same ground; rows and cols must be even."""
        return Grid(self.west, self.north, self.gsd * 2, self.rows // 2, self.cols // 2)


@dataclass(frozen=True)
class Ground:
    """The surface on one pixel grid, before any weather."""

    index: Bytes  # (rows, cols), cover x VARIANTS + variant
    texture: Float  # (rows, cols), factor around 1
    flood: Bool  # (rows, cols), where the planted change is


@dataclass(frozen=True)
class Sky:
    """Clouds, their shadows and haze of one pass on the 20 m grid; zero exactly where SCL calls a pixel clear."""

    opacity: Float  # (rows, cols), 0 to 1
    brightness: Float  # (rows, cols), cloud top, reflectance x 10,000
    shadow: Float  # (rows, cols), 0 to 1
    haze: Float  # (rows, cols), reflectance x 10,000 in blue


@dataclass(frozen=True)
class Sun:
    """Where the sun stands, degrees."""

    azimuth: float
    elevation: float


def hashed(seed: int, *parts: NDArray[Any]) -> Words:
    """Mix integers of any size into well scattered 32 bit words; parts broadcast against each other."""

    def mix(state: Words, part: NDArray[Any]) -> Words:
        word = state ^ part.astype(np.int64).astype(np.uint32)
        word ^= word >> np.uint32(16)
        word *= np.uint32(0x7FEB352D)
        word ^= word >> np.uint32(15)
        word *= np.uint32(0x846CA68B)
        return word ^ (word >> np.uint32(16))

    start = np.full((1,) * max(part.ndim for part in parts), (seed * 0x9E3779B9) & 0xFFFFFFFF, dtype=np.uint32)
    return reduce(mix, parts, start)


def uniform(words: Words) -> Float:
    """Words as numbers from 0 to below 1."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def _smooth(x: Float) -> Float:
    return x * x * (3 - 2 * x)


def _lattice_steps(coordinates: NDArray[np.float64], scale: float) -> tuple[Ints, Ints, Float]:
    """Lattice indices that the coordinates touch, each coordinate's place among them, and its smooth fraction."""
    scaled = coordinates.ravel() / scale
    floors = np.floor(scaled).astype(np.int64)
    first = int(floors.min())
    lattice = np.arange(first, int(floors.max()) + 2, dtype=np.int64)
    return lattice, floors - first, _smooth((scaled - floors).astype(np.float32))


def noise(grid: Grid, seed: int, scale: float, octaves: int = 1) -> Float:
    """Smooth noise from 0 to 1, (rows, cols); its coarsest features are `scale` metres wide, each octave halves it."""
    total = np.zeros((grid.rows, grid.cols), dtype=np.float32)
    for octave in range(octaves):
        xs, x, fx = _lattice_steps(grid.eastings, scale / 2**octave)
        ys, y, fy = _lattice_steps(grid.northings, scale / 2**octave)
        values = uniform(hashed(seed + octave, ys[:, None], xs[None, :]))
        lines = values[y] + (values[y + 1] - values[y]) * fy[:, None]
        left = lines[:, x]
        total += (left + (lines[:, x + 1] - left) * fx) * np.float32(0.5**octave)
    return total / np.float32(2 - 0.5 ** (octaves - 1))


def _blocks(grid: Grid, seed: int, spacing: float) -> tuple[Words, Float]:
    """Voronoi blocks of some `spacing` metres: a random word per block, and how near the pixel is to its edge, m."""
    x, y = np.floor(grid.eastings / spacing), np.floor(grid.northings / spacing)
    # Offsets are taken inside a lattice cell: there float32 rounds alike in every window.
    in_x = (grid.eastings / spacing - x).astype(np.float32)
    in_y = (grid.northings / spacing - y).astype(np.float32)
    xs = np.arange(x.min() - 1, x.max() + 2)
    ys = np.arange(y.min() - 1, y.max() + 2)
    words = hashed(seed, ys[:, None], xs[None, :])
    point_x = 0.1 + np.float32(0.8) * uniform(hashed(1, words))
    point_y = 0.1 + np.float32(0.8) * uniform(hashed(2, words))
    first_x, first_y = (x.ravel() - x.min()).astype(np.int64), (y.ravel() - y.min()).astype(np.int64)

    nearest = np.full((grid.rows, grid.cols), np.inf, dtype=np.float32)
    second = nearest.copy()
    owner = np.zeros((grid.rows, grid.cols), dtype=np.uint32)
    for step_y in range(3):
        for step_x in range(3):
            pick = np.ix_(first_y + step_y, first_x + step_x)
            distance = np.hypot(point_x[pick] + (step_x - 1) - in_x, point_y[pick] + (step_y - 1) - in_y)
            second = np.minimum(second, np.maximum(distance, nearest))
            owner = np.where(distance < nearest, words[pick], owner)
            nearest = np.minimum(distance, nearest)
    return owner, (second - nearest) * np.float32(spacing)


def _parcels(grid: Grid, seed: int) -> tuple[Words, Float]:
    """Fields: a random word per parcel, and the distance to the track at its block's edge, metres."""
    block, edge = _blocks(grid, seed, 780.0)
    angle = uniform(hashed(seed + 1, block)) * np.float32(np.pi)
    width = 60 + 260 * uniform(hashed(seed + 2, block)) ** 2
    strip = np.floor((grid.eastings * np.cos(angle) + grid.northings * np.sin(angle)) / width)
    return hashed(seed + 3, block, strip), edge


def flood_mask(grid: Grid, seed: int, cell: tuple[int, int] | None) -> Bool:
    """The planted flood, (rows, cols): most of the cell (col, row) and nearly half of the cell east of it."""
    if cell is None:
        return np.zeros((grid.rows, grid.cols), dtype=np.bool_)
    semi_east, semi_north = SITE_SEMI_AXES_M
    east, north = site_centre(cell)
    wobble = _SITE_WOBBLE_M * np.clip(2 * noise(grid, seed + 90, 1100.0, 4) - 0.5, 0, 1)
    x = np.abs(grid.eastings - east) / (semi_east - wobble)
    y = np.abs(grid.northings - north) / (semi_north - wobble)
    return np.asarray(x**3 + y**3 < 1, dtype=np.bool_)


def site_centre(cell: tuple[int, int]) -> tuple[float, float]:
    """Easting and northing of the middle of the flood planted in a cell (col, row), metres."""
    col, row = cell
    return col * CHIP_SIZE_M + _SITE_INSET_M + SITE_SEMI_AXES_M[0], (row + 0.5) * CHIP_SIZE_M


def make_ground(grid: Grid, seed: int, river_northing: float, flooded_cell: tuple[int, int] | None) -> Ground:
    """The surface on a 10 m grid; a river runs from west to east about `river_northing` (metres)."""
    parcel, to_track = _parcels(grid, seed)
    cover = _CROPS[hashed(seed + 10, parcel) % np.uint32(len(_CROPS))]
    variant = (hashed(seed + 11, parcel) % np.uint32(VARIANTS)).astype(np.uint8)

    speck = uniform(hashed(seed + 12, np.floor(grid.northings / 30), np.floor(grid.eastings / 30)))
    woods = noise(grid, seed + 20, 3600.0, 5)
    forest = woods > 0.56
    conifer = noise(grid, seed + 30, 2400.0, 3) > 0.55
    town = (noise(grid, seed + 40, 3000.0, 4) > 0.71) & ~forest
    built = town & (speck < 0.55)

    cover = np.where(town & ~built, np.uint8(MEADOW), cover)
    cover = np.where((to_track < 14) & ~forest, np.uint8(ROAD), cover)
    cover = np.where(built, np.uint8(BUILT), cover)
    cover = np.where(forest, np.where(conifer, np.uint8(CONIFER), np.uint8(BROADLEAF)), cover)
    cover = np.where(_water(grid, seed, river_northing), np.uint8(WATER), cover)

    stand = (7 + 5 * noise(grid, seed + 50, 700.0, 2)).astype(np.uint8)
    mottled = forest | (cover == WATER)
    variant = np.where(mottled, stand, np.where(built, (speck * 29).astype(np.uint8), variant)) % np.uint8(VARIANTS)

    roughness = np.full(12, _FIELD_ROUGHNESS, dtype=np.float32)
    roughness[list(_ROUGHNESS)] = list(_ROUGHNESS.values())
    # A few steps of texture look as lively as many, and compress to a fraction.
    rough = forest | built
    grain = np.where(rough, _grain(grid, seed + 13, 10, 0.16), _grain(grid, seed + 14, 20, 0.05))
    patches = np.where(rough, np.float32(3.5), np.float32(2.6)) * (noise(grid, seed + 60, 160.0, 2) - np.float32(0.5))
    flood = flood_mask(grid, seed, flooded_cell)
    texture = 1 + roughness[cover] * np.rint(patches + grain)
    return Ground(
        index=(cover * np.uint8(VARIANTS) + variant).astype(np.uint8),
        texture=texture.astype(np.float32),
        flood=flood,
    )


def _grain(grid: Grid, seed: int, side: int, share: float) -> Float:
    """-1, 0 or 1 by square of `side` metres, (rows, cols); `share` of the squares are not 0."""
    scattered = uniform(hashed(seed, np.floor(grid.northings / side), np.floor(grid.eastings / side)))
    off_centre = scattered - np.float32(0.5)
    return np.asarray(np.sign(off_centre) * (np.abs(off_centre) > (1 - share) / 2), dtype=np.float32)


def _water(grid: Grid, seed: int, river_northing: float) -> Bool:
    """A meandering river and ponds, (rows, cols)."""
    phase = 2 * np.pi * uniform(hashed(seed + 70, np.arange(3)))
    east = grid.eastings
    course = (
        river_northing
        + 900 * np.sin(east / 3900 + phase[0])
        + 420 * np.sin(east / 1270 + phase[1])
        + 90 * np.sin(east / 410 + phase[2])
    )
    river = np.abs(grid.northings - course) < 55 + 45 * noise(grid, seed + 71, 900.0)
    lake = noise(grid, seed + 72, 5200.0, 4) > 0.775
    return np.asarray(river | lake, dtype=np.bool_)


def coarsen(ground: Ground) -> Ground:
    """The same ground on pixels twice as wide."""
    return Ground(
        index=ground.index[1::2, ::2].copy(),
        texture=ground.texture[1::2, ::2].copy(),
        flood=ground.flood[1::2, ::2].copy(),
    )


def palette(day: int, gain: float) -> Float:
    """Reflectance x 10,000 of every cover and variant after `day` days of ripening, (covers x VARIANTS, bands)."""
    ripe = np.array(_RIPE, dtype=np.float32)
    rows = []
    for cover, spectrum in sorted(_SPECTRA.items()):
        base = np.array(spectrum, dtype=np.float32)
        for variant in range(VARIANTS):
            shade = 2 * variant / (VARIANTS - 1) - 1  # -1 to 1
            ripeness = min(1.0, _RIPENING.get(cover, 0.0) * (day + 25 * (1 + shade)))
            rows.append((base + (ripe - base) * ripeness) * (1 + 0.12 * shade) * gain)
    return np.array(rows, dtype=np.float32)


def make_sky(
    grid: Grid, seed: int, cloud_share: float, cirrus_share: float, sun: Sun, clear_site: tuple[float, float] | None
) -> Sky:
    """Weather on a 20 m grid.

    Args:
        grid: where.
        seed: of this pass.
        cloud_share: share of the grid under cloud, 0 to 1.
        cirrus_share: share of the grid under thin cirrus, 0 to 1.
        sun: throws the shadows.
        clear_site: a place (easting, northing) that clouds and shadows keep away from.
    """
    throw = _CLOUD_HEIGHT_M / np.tan(np.radians(sun.elevation))
    east = 20 * round(-throw * np.sin(np.radians(sun.azimuth)) / 20)
    north = 20 * round(-throw * np.cos(np.radians(sun.azimuth)) / 20)
    field = _cloud_field(grid, seed, clear_site)
    threshold = _level(field, cloud_share)
    opacity = _veil(field, threshold)
    shadow = _veil(_cloud_field(grid.moved(-east, -north), seed, clear_site), threshold)
    if cirrus_share > 0:
        streaks = noise(grid, seed + 20, 6000.0, 3) + 0.25 * noise(grid, seed + 30, 500.0, 2)
        streaks = streaks - _clearing(grid, clear_site)
        opacity = np.maximum(opacity, np.float32(0.3) * _veil(streaks, _level(streaks, cirrus_share)))
    brightness = 4300 + 3600 * _smooth(opacity) * noise(grid, seed + 40, 1200.0, 3)
    return Sky(
        opacity=_stepped(opacity, 1 / 24),
        brightness=_stepped(brightness, 100),
        shadow=_stepped(shadow, 1 / 16),
        haze=_stepped(_HAZE_MAX * noise(grid, seed + 50, 9000.0), 20),
    )


def _stepped(image: Float, step: float) -> Float:
    """Rounded up to whole steps: what is above 0 stays above 0, and smooth gradients compress."""
    return np.asarray(np.ceil(image / np.float32(step)) * np.float32(step), dtype=np.float32)


def _cloud_field(grid: Grid, seed: int, clear_site: tuple[float, float] | None) -> Float:
    return noise(grid, seed, 4200.0, 6) - _clearing(grid, clear_site)


def _clearing(grid: Grid, site: tuple[float, float] | None) -> Float:
    """What to take off a cloud field around a place: 2 in the middle, nothing some 5 km away."""
    if site is None:
        return np.zeros((1, 1), dtype=np.float32)
    x = (grid.eastings - site[0]) / 3600
    y = (grid.northings - site[1]) / 3000
    return (2 * np.exp(-((x**2 + y**2) ** 2))).astype(np.float32)


def _level(field: Float, share: float) -> float:
    """The value that `share` of the field lies above."""
    return float(np.quantile(field, 1 - share)) if share > 0 else float("inf")


def _veil(field: Float, threshold: float) -> Float:
    if not np.isfinite(threshold):
        return np.zeros_like(field)
    return _smooth(np.clip((field - np.float32(threshold)) / np.float32(_CLOUD_SOFTNESS), 0, 1))


def classify(ground: Ground, sky: Sky, flooded: bool) -> Bytes:
    """Scene classification on the 20 m grid, uint8, as Sen2Cor would have it if it never erred."""
    cover = _covers(ground, flooded)
    scl = _SCL_OF_COVER[cover]
    scl[sky.shadow > 0] = SCL_SHADOW
    for floor, value in ((0.0, SCL_CIRRUS), (0.12, SCL_CLOUD_MEDIUM), (0.6, SCL_CLOUD_HIGH)):
        scl[sky.opacity > floor] = value
    return scl


def _covers(ground: Ground, flooded: bool) -> Bytes:
    cover = ground.index // np.uint8(VARIANTS)
    return np.where(ground.flood, np.uint8(FLOOD), cover) if flooded else cover


def reflectance(ground: Ground, sky: Sky, colours: Float, band: str, flooded: bool) -> NDArray[np.uint16]:
    """One band as the satellite sees it, reflectance x 10,000 from 1 to 10,000, uint16 on the ground's grid.

    Args:
        ground: on the band's grid, 10 or 20 m.
        sky: on the 20 m grid.
        colours: of this date, from `palette`.
        band: name in the band table.
        flooded: whether the planted change has happened.
    """
    number = BAND_NAMES.index(band)
    index = ground.index
    if flooded:
        index = np.where(ground.flood, np.uint8(FLOOD * VARIANTS + VARIANTS // 2), index)
    # Deep water hides what grew below it; a little texture is left for waves and drift.
    texture = np.where(ground.flood, 1 + (ground.texture - 1) / 4, ground.texture) if flooded else ground.texture
    image = colours[:, number][index] * texture
    repeat = ground.index.shape[0] // sky.opacity.shape[0]
    opacity = _repeat(sky.opacity, repeat)
    image *= _repeat(1 - np.float32(_SHADOW_DEPTH) * sky.shadow, repeat)
    if _HAZE_TINT[number] > 0:
        image += _repeat(sky.haze * np.float32(_HAZE_TINT[number]), repeat)
    image += (_repeat(sky.brightness * np.float32(_CLOUD_TINT[number]), repeat) - image) * opacity
    return np.asarray(np.clip(np.rint(image), 1, 10_000), dtype=np.uint16)


def _repeat(image: Float, times: int) -> Float:
    return image if times == 1 else image.repeat(times, axis=0).repeat(times, axis=1)
