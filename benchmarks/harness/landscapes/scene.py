"""What a satellite measures of the ground on one night, and how SCL classifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family, Nuisances
from harness.landscapes.mosaic import Mosaic
from harness.landscapes.noise import SIDE, Field, double, halve
from harness.landscapes.sky import Pass, Sky, Sun
from harness.landscapes.spectra import INDEX, WAVELENGTH
from lakehouse.bands import BAND_NAMES, BANDS, VALUE_PER_REFLECTANCE

DARK, SHADOW, VEGETATION, BARE, WATER, UNCLASSIFIED = 2, 3, 4, 5, 6, 7
CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS, SNOW = 8, 9, 10, 11
_COARSE: Final = np.array([band.gsd == 20 for band in BANDS])
# By band: reflectance of an opaque cloud, and share of the light that a full shadow takes. The sky's light stays, most
# of it in blue.
_CLOUD: Final = np.array([0.62, 0.61, 0.62, 0.63, 0.64, 0.64, 0.64, 0.64, 0.42, 0.33], np.float32)
_SHADE: Final = np.array([0.45, 0.5, 0.55, 0.58, 0.62, 0.63, 0.64, 0.65, 0.7, 0.72], np.float32)
_HAZE_EXPONENT: Final = 1.6  # of the wavelength
_BLUR: Final = 0.12  # share of a pixel's light that comes from each neighbour
_SNOW_HALF_MM: Final = 6.0  # water of the snow that covers half of open ground
_SNOW_M: Final = 100.0  # elevation over which that doubles
# How much of the snow on the ground is seen from above.
_OPEN: Final = {"broadleaf": 0.45, "needles": 0.15, "mixed": 0.3, "urban": 0.6, "road": 0.3, "water": 0.0}
_CANOPY: Final = ("broadleaf", "needles", "mixed", "heath")


@dataclass(frozen=True)
class Night:
    """The circumstances of a pass."""

    look: Pass
    sun: Sun
    sky: Sky
    snow_mm: float
    is_new_baseline: bool


class Light:
    """How geometry and processing change what is seen of a landscape; drawn once."""

    def __init__(self, family: Family, chance: np.random.Generator, mosaic: Mosaic) -> None:
        cover = mosaic.cover_map
        self.family = family
        canopy = np.isin(cover, _CANOPY)
        # Forest shadows make view geometry matter most there; bare ground and villages less.
        self.view: Field = np.where(canopy, 1.0, np.where(cover == "water", 0.2, 0.55)).astype(np.float32)
        self.canopy: Field = canopy.astype(np.float32)
        self.open_ground: Field = np.vectorize(lambda name: _OPEN.get(name, 1.0))(mosaic.cover)[mosaic.label].astype(
            np.float32
        )
        self.height = mosaic.height
        north, east = np.gradient(-mosaic.height / 10, axis=0), np.gradient(mosaic.height / 10, axis=1)
        self.slope: tuple[Field, Field] = (north.astype(np.float32), east.astype(np.float32))
        bend = np.array([0.8, 1.0, 0.9, 1.0, 1.05, 1.05, 1.05, 1.05, 0.95, 0.9], np.float32)
        self.orbit_gain = family.view_gain * bend * np.exp(chance.normal(0, 0.15, 10)).astype(np.float32)
        self.platform_gain = chance.normal(0, 0.004, 10).astype(np.float32)
        self.baseline_gain = chance.normal(0.004, 0.008, 10).astype(np.float32)
        self.baseline_offset = chance.normal(0, 0.0012, 10).astype(np.float32)


def look_at(
    image: Field,
    night: Night,
    light: Light,
    melt: Field,
    pure: NDArray[np.float32],
    nuisances: Nuisances,
    chance: np.random.Generator,
) -> tuple[NDArray[np.uint16], Field]:
    """Return what is measured, (10, 256, 256) reflectance x 10,000, and the share of snow, (256, 256).

    Args:
        image: (10, 256, 256) reflectance of the ground; it is changed.
        night: its circumstances.
        light: the landscape's geometry.
        melt: (256, 256) where snow stays longer.
        pure: (covers, 10) reflectances of pure covers.
        nuisances: those that are present.
        chance: random numbers of this night.
    """
    white = _snow(night.snow_mm, light, melt)
    if white.max() > 0.01:
        fresh = pure[INDEX["snow"]] if night.snow_mm > 12 else pure[INDEX["old_snow"]]
        image += white * (fresh[:, None, None] - image)
    if nuisances.orbits:
        _geometry(image, night, light)
    _atmosphere(image, night.sky, light.family, nuisances, chance)
    image = _shifted(image, light.family, nuisances, chance)
    if nuisances.baseline and night.is_new_baseline:
        image *= (1 + light.baseline_gain)[:, None, None]
        image += light.baseline_offset[:, None, None]
    image[_COARSE] = double(halve(image[_COARSE]))
    if nuisances.noise:
        _noise(image, light.family.noise, chance)
    return np.clip(np.rint(image * VALUE_PER_REFLECTANCE), 1, 16_000).astype(np.uint16), white


def _snow(snow_mm: float, light: Light, melt: Field) -> Field:
    if snow_mm <= 0.3:
        return np.zeros((SIDE, SIDE), np.float32)
    local = snow_mm * np.exp2(np.clip(light.height / _SNOW_M, -3, 3)) * np.exp(0.6 * melt)
    return np.asarray(light.open_ground * local**2 / (local**2 + _SNOW_HALF_MM**2), np.float32)


def _geometry(image: Field, night: Night, light: Light) -> None:
    """Apply view and sun geometry: the orbit's gain, shadows of crowns under a low sun, slopes."""
    side = 1.0 if night.look.orbit == 0 else -1.0
    gain = 0.5 * side * light.orbit_gain
    if night.look.platform == "b":
        gain = gain + light.platform_gain
    image *= 1 + gain[:, None, None] * light.view
    low = np.tan(min(night.sun.zenith, np.radians(75)))
    north, east = light.slope
    facing = -(north * np.cos(night.sun.azimuth) + east * np.sin(night.sun.azimuth))
    image *= (1 - 0.10 * light.canopy * (low - 0.7)) * (1 + np.clip(0.3 * low * facing, -0.35, 0.35))


def _atmosphere(image: Field, sky: Sky, family: Family, nuisances: Nuisances, chance: np.random.Generator) -> None:
    """Apply shadows, clouds, cirrus, haze, and the error that a correction leaves."""
    if sky.shadow.max() > 0:
        image *= 1 - _SHADE[:, None, None] * sky.shadow
    if sky.cirrus.max() > 0:
        image += sky.cirrus * (0.5 * _CLOUD[:, None, None] - image * 0.5)
    if nuisances.haze:
        tint = (WAVELENGTH / WAVELENGTH[0]) ** -_HAZE_EXPONENT
        image *= 1 - 1.2 * sky.haze * tint[:, None, None]
        image += sky.haze * tint[:, None, None]
        common, each = chance.normal(0, family.gain_sigma), chance.normal(0, 0.35 * family.gain_sigma, 10)
        image *= (1 + common + each).astype(np.float32)[:, None, None]
    if sky.cloud.max() > 0:
        image += sky.cloud * (_CLOUD[:, None, None] * np.float32(chance.uniform(0.8, 1.15)) - image)


def _shifted(image: Field, family: Family, nuisances: Nuisances, chance: np.random.Generator) -> Field:
    """Blur by the sensor's point spread, and shift by parts of a pixel."""
    shift = chance.normal(0, family.shift_px, 2) * nuisances.registration
    for axis, by in zip((1, 2), np.clip(shift, -0.8, 0.8), strict=True):
        before, after = (
            np.float32(_BLUR + max(by, 0) * (1 - 2 * _BLUR)),
            np.float32(_BLUR + max(-by, 0) * (1 - 2 * _BLUR)),
        )
        padded = np.pad(image, [(0, 0), *((1, 1) if one == axis else (0, 0) for one in (1, 2))], mode="edge")
        low, high = (padded[:, :-2], padded[:, 2:]) if axis == 1 else (padded[:, :, :-2], padded[:, :, 2:])
        image = image * (1 - before - after)
        image += before * low
        image += after * high
    return image


def _noise(image: Field, noise: float, chance: np.random.Generator) -> None:
    """Add the sensor's noise: a share of the reflectance and a floor; a 20 m pixel has one draw."""
    fine = chance.standard_normal((int((~_COARSE).sum()), SIDE, SIDE), dtype=np.float32)
    coarse = double(chance.standard_normal((int(_COARSE.sum()), SIDE // 2, SIDE // 2), dtype=np.float32))
    for where, draw in ((~_COARSE, fine), (_COARSE, coarse)):
        image[where] += draw * (np.float32(0.0012) + np.float32(noise) * image[where])


def classify(
    seen: NDArray[np.uint16], white: Field, sky: Sky, nuisances: Nuisances, chance: np.random.Generator
) -> NDArray[np.uint8]:
    """Return SCL, (128, 128): a simple rule on the bands, and the clouds and shadows that the sky says SCL knows.

    Args:
        seen: (10, 256, 256).
        white: (256, 256) share of snow.
        sky: of the night.
        nuisances: with `missed`, bright ground is sometimes called cloud, and some pixels unclassified.
        chance: random numbers of this night.
    """
    value = {
        name: halve(seen[number].astype(np.float32)) / VALUE_PER_REFLECTANCE for number, name in enumerate(BAND_NAMES)
    }
    greenness = (value["nir"] - value["red"]) / np.maximum(value["nir"] + value["red"], 0.01)
    scl = np.where(greenness > 0.4, VEGETATION, BARE).astype(np.uint8)
    dark = (value["nir"] < 0.09) & (value["swir16"] < 0.08)
    scl[dark] = DARK
    scl[dark & (value["green"] > value["nir"]) & (value["swir16"] < 0.04)] = WATER
    if nuisances.missed:
        draw = chance.random((SIDE // 2, SIDE // 2), dtype=np.float32)
        scl[(scl == BARE) & (greenness > 0.25) & (draw < 0.3)] = UNCLASSIFIED
        commission = 0.19 + 0.12 * chance.random()
        scl[(value["blue"] > commission) & (draw < 0.8)] = CLOUD_MEDIUM
    scl[halve(white) > 0.4] = SNOW
    scl[halve(sky.cirrus) > 0.09] = CIRRUS
    scl[halve(sky.seen_shadow) > 0.3] = SHADOW
    opacity = halve(sky.seen_cloud)
    scl[opacity > 0.02] = CIRRUS
    scl[opacity > 0.25] = CLOUD_MEDIUM
    scl[opacity > 0.5] = CLOUD_HIGH
    return scl
