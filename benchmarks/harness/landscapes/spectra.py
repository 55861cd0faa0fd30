"""Reflectances of pure covers in ten bands of Sentinel-2.

The numbers are approximate. They are values typical of published spectra, read at the bands' central wavelengths:
the ECOSTRESS and USGS spectral libraries (soils, rock, concrete, asphalt, roofs, snow, water, dry grass), and closed
canopies as papers on Sentinel-2 phenology of beech, spruce, grassland and crops report them. Leaf-off, burnt and dead
stands follow papers on burn severity and on bark beetles. They are good for the shape of a spectrum, not for a second
decimal.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BANDS

# blue, green, red, rededge1, rededge2, rededge3, nir, nir08, swir16, swir22: reflectance in thousandths.
_THOUSANDTHS: Final[dict[str, tuple[int, ...]]] = {
    "broadleaf": (25, 48, 25, 85, 270, 350, 370, 385, 170, 75),
    "needles": (18, 30, 18, 50, 140, 175, 190, 200, 85, 35),
    "grass": (35, 70, 45, 115, 280, 340, 360, 385, 230, 120),
    "cereal": (30, 65, 30, 105, 330, 430, 450, 470, 200, 90),
    "maize": (30, 60, 30, 95, 310, 400, 430, 450, 210, 90),
    "beet": (32, 75, 33, 120, 370, 500, 530, 545, 250, 110),
    "legume": (28, 65, 28, 110, 360, 460, 490, 500, 210, 95),
    "sunflower": (35, 75, 40, 120, 330, 410, 435, 455, 230, 110),
    "rape_flower": (45, 140, 130, 200, 340, 390, 410, 420, 210, 110),
    "shrub": (30, 55, 40, 95, 210, 255, 270, 285, 190, 100),
    "straw": (90, 130, 170, 200, 230, 250, 270, 290, 370, 280),
    "dry_grass": (70, 100, 130, 165, 205, 230, 250, 265, 340, 235),
    "litter": (40, 55, 70, 90, 115, 135, 155, 170, 220, 150),
    "autumn": (35, 75, 90, 140, 240, 280, 300, 315, 220, 120),
    "slash": (60, 85, 110, 140, 175, 200, 220, 235, 310, 230),
    "dead_red": (30, 50, 75, 95, 130, 155, 170, 180, 200, 120),
    "dead_grey": (45, 60, 75, 90, 115, 130, 150, 155, 190, 125),
    "loam": (90, 125, 165, 185, 205, 220, 240, 255, 340, 300),
    "chernozem": (45, 60, 80, 95, 110, 125, 140, 150, 220, 200),
    "terra_rossa": (55, 85, 165, 195, 220, 235, 255, 270, 350, 290),
    "gravel": (190, 235, 275, 290, 305, 315, 325, 335, 370, 330),
    "concrete": (170, 190, 210, 220, 230, 235, 240, 245, 270, 250),
    "asphalt": (80, 90, 100, 105, 110, 115, 120, 125, 140, 135),
    "tiles": (70, 90, 160, 190, 215, 230, 245, 260, 300, 260),
    "metal": (300, 320, 330, 330, 335, 340, 340, 345, 360, 330),
    "water": (35, 30, 18, 14, 10, 9, 8, 7, 4, 3),
    "turbid": (60, 85, 85, 75, 45, 40, 35, 30, 12, 8),
    "mud": (50, 65, 80, 90, 95, 100, 110, 115, 100, 70),
    "char": (35, 40, 45, 50, 60, 70, 80, 85, 120, 120),
    "snow": (820, 820, 810, 800, 780, 760, 740, 720, 100, 70),
    "old_snow": (560, 560, 550, 540, 520, 500, 480, 460, 90, 65),
}
NAMES: Final = tuple(_THOUSANDTHS)
INDEX: Final = {name: number for number, name in enumerate(NAMES)}
GREEN: Final = np.array(
    [
        name
        in ("broadleaf", "needles", "grass", "cereal", "maize", "beet", "legume", "sunflower", "rape_flower", "shrub")
        for name in NAMES
    ]
)
SOIL: Final = np.array([name in ("loam", "chernozem", "terra_rossa", "litter", "straw", "slash") for name in NAMES])
WAVELENGTH: Final = np.array([band.wavelength for band in BANDS], np.float32)
# How much of a soil's reflectance saturation takes away: more in the short-wave infrared, where water absorbs.
WETTING: Final = np.array([0.42, 0.43, 0.44, 0.44, 0.44, 0.44, 0.44, 0.45, 0.55, 0.62], np.float32)


def endmembers(tilt: float, chance: np.random.Generator) -> NDArray[np.float32]:
    """Return reflectances of all covers, (len(NAMES), 10), of one landscape.

    Args:
        tilt: of the family's palette: factor of the short-wave infrared to blue less one.
        chance: differences from landscape to landscape: 6 % in brightness, 3 % in a band.
    """
    table = np.array(list(_THOUSANDTHS.values()), np.float32) / 1000
    slope = (WAVELENGTH - WAVELENGTH.mean()) / (WAVELENGTH.max() - WAVELENGTH.min())
    bright = np.exp(chance.normal(0, 0.06, (len(NAMES), 1)))
    band = np.exp(chance.normal(0, 0.03, table.shape))
    snow = np.isin(NAMES, ("snow", "old_snow"))[:, None]
    varied = table * np.where(snow, 1, bright * band * (1 + tilt * slope))
    return np.asarray(np.clip(varied, 0.001, 0.95), np.float32)
