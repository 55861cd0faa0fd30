"""The ground of the synthetic scenes: fields, forests, towns, water, and one planted flood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from chiplake.synthetic.noise import Bool, Bytes, Float, Grid, Hashes, blocks, hashed, noise, uniform
from lakehouse.bands import CHIP_SIZE_M

VARIANTS: Final = 16  # shades in which each cover occurs
SITE_SEMI_AXES_M: Final = (2100.0, 1270.0)  # of the planted flood: along easting, along northing
_SITE_WOBBLE_M: Final = 450.0  # the shore may lie this far inside of that
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
# Crops change towards one ripe spectrum: the share of the difference by which each changes a day.
_RIPENING: Final = {MAIZE: 0.0035, SOY: 0.004, MEADOW: 0.002, BEET: 0.001, BROADLEAF: 0.0008, CONIFER: 0.0002}
_RIPE: Final = (700, 1000, 1200, 1650, 2200, 2450, 2600, 2750, 2900, 1900)
_CROPS: Final = np.array(
    [MAIZE] * 5 + [SOY] * 2 + [MEADOW] * 4 + [STUBBLE] * 3 + [SOIL] * 1 + [BEET] * 1, dtype=np.uint8
)
# Relative difference between neighbouring pixels of a cover: crowns and roofs cast shadows, crops are even.
_ROUGHNESS: Final = {BROADLEAF: 0.1, CONIFER: 0.1, BUILT: 0.12, WATER: 0.02}
_FIELD_ROUGHNESS: Final = 0.03


@dataclass(frozen=True)
class Ground:
    """The surface on one pixel grid, without weather."""

    index: Bytes  # (rows, cols), cover x VARIANTS + variant
    texture: Float  # (rows, cols), factor around 1
    flood: Bool  # (rows, cols), where the planted change is


def _parcels(grid: Grid, seed: int) -> tuple[Hashes, Float]:
    """Return a hash of each pixel's field, and the distance to the track at the edge of its block, metres."""
    block, edge = blocks(grid, seed, 780.0)
    angle = uniform(hashed(seed + 1, block)) * np.float32(np.pi)
    width = 60 + 260 * uniform(hashed(seed + 2, block)) ** 2
    strip = np.floor((grid.eastings * np.cos(angle) + grid.northings * np.sin(angle)) / width)
    return hashed(seed + 3, block, strip), edge


def flood_mask(grid: Grid, seed: int, cell: tuple[int, int] | None) -> Bool:
    """Return the pixels of the planted flood, (rows, cols).

    Args:
        grid: the pixels.
        seed: of the landscape.
        cell: col and row of the cell that the flood mostly covers; it covers nearly half of the cell to the east.
            None for a landscape without flood.
    """
    if cell is None:
        return np.zeros((grid.rows, grid.cols), dtype=np.bool_)
    semi_east, semi_north = SITE_SEMI_AXES_M
    east, north = site_centre(cell)
    wobble = _SITE_WOBBLE_M * np.clip(2 * noise(grid, seed + 90, 1100.0, 4) - 0.5, 0, 1)
    x = np.abs(grid.eastings - east) / (semi_east - wobble)
    y = np.abs(grid.northings - north) / (semi_north - wobble)
    return np.asarray(x**3 + y**3 < 1, dtype=np.bool_)


def site_centre(cell: tuple[int, int]) -> tuple[float, float]:
    """Return easting and northing of the centre of the flood planted in a cell (col, row), metres."""
    col, row = cell
    return col * CHIP_SIZE_M + _SITE_INSET_M + SITE_SEMI_AXES_M[0], (row + 0.5) * CHIP_SIZE_M


def make_ground(grid: Grid, seed: int, river_northing: float, flooded_cell: tuple[int, int] | None) -> Ground:
    """Make the surface on a 10 m grid.

    Args:
        grid: the pixels.
        seed: equal seeds give equal surfaces.
        river_northing: a river runs from west to east near this northing, metres.
        flooded_cell: col and row of the cell with the planted flood; None for a surface without flood.
    """
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
    # A few steps of texture look like many, and the rasters compress to a fraction of the size.
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
    """-1, 0 or 1 for each square of `side` metres, (rows, cols); `share` of the squares is not 0."""
    scattered = uniform(hashed(seed, np.floor(grid.northings / side), np.floor(grid.eastings / side)))
    off_centre = scattered - np.float32(0.5)
    return np.asarray(np.sign(off_centre) * (np.abs(off_centre) > (1 - share) / 2), dtype=np.float32)


def _water(grid: Grid, seed: int, river_northing: float) -> Bool:
    """Return a meandering river and ponds, (rows, cols)."""
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
    """Return the ground on pixels twice as wide."""
    return Ground(
        index=ground.index[1::2, ::2].copy(),
        texture=ground.texture[1::2, ::2].copy(),
        flood=ground.flood[1::2, ::2].copy(),
    )


def palette(day: int, gain: float) -> Float:
    """Return the reflectance x 10,000 of every cover and variant, (covers x VARIANTS, bands).

    Args:
        day: days of ripening.
        gain: factor for all reflectances.
    """
    ripe = np.array(_RIPE, dtype=np.float32)
    rows = []
    for cover, spectrum in sorted(_SPECTRA.items()):
        base = np.array(spectrum, dtype=np.float32)
        for variant in range(VARIANTS):
            shade = 2 * variant / (VARIANTS - 1) - 1  # -1 to 1
            ripeness = min(1.0, _RIPENING.get(cover, 0.0) * (day + 25 * (1 + shade)))
            rows.append((base + (ripe - base) * ripeness) * (1 + 0.12 * shade) * gain)
    return np.array(rows, dtype=np.float32)
