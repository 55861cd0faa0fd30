"""The weather of the synthetic scenes: clouds, their shadows, cirrus and haze."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from chiplake.synthetic.noise import Float, Grid, noise, smooth_step

_HAZE_MAX: Final = 60.0  # reflectance x 10,000 in blue
_CLOUD_SOFTNESS: Final = 0.085  # of the noise range, from the edge of a cloud to its opaque part
_CLOUD_HEIGHT_M: Final = 1300.0


@dataclass(frozen=True)
class Sky:
    """Clouds, their shadows and haze of one pass on the 20 m grid; 0 exactly where SCL is a class of clear ground."""

    opacity: Float  # (rows, cols), 0 to 1
    brightness: Float  # (rows, cols), cloud top, reflectance x 10,000
    shadow: Float  # (rows, cols), 0 to 1
    haze: Float  # (rows, cols), reflectance x 10,000 in blue


@dataclass(frozen=True)
class Sun:
    """The position of the sun, degrees."""

    azimuth: float
    elevation: float


def make_sky(
    grid: Grid, seed: int, cloud_share: float, cirrus_share: float, sun: Sun, clear_site: tuple[float, float] | None
) -> Sky:
    """Make the weather of one pass on a 20 m grid.

    Args:
        grid: the pixels.
        seed: equal seeds give equal weather.
        cloud_share: share of the grid under cloud, 0 to 1.
        cirrus_share: share of the grid under thin cirrus, 0 to 1.
        sun: decides where the shadows fall.
        clear_site: easting and northing of a site without clouds and shadows, metres; None: no site is kept clear.
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
    brightness = 4300 + 3600 * smooth_step(opacity) * noise(grid, seed + 40, 1200.0, 3)
    return Sky(
        opacity=_stepped(opacity, 1 / 24),
        brightness=_stepped(brightness, 100),
        shadow=_stepped(shadow, 1 / 16),
        haze=_stepped(_HAZE_MAX * noise(grid, seed + 50, 9000.0), 20),
    )


def _stepped(image: Float, step: float) -> Float:
    """Round up to whole steps: positive values stay positive, and the gradients of the rasters compress."""
    return np.asarray(np.ceil(image / np.float32(step)) * np.float32(step), dtype=np.float32)


def _cloud_field(grid: Grid, seed: int, clear_site: tuple[float, float] | None) -> Float:
    return noise(grid, seed, 4200.0, 6) - _clearing(grid, clear_site)


def _clearing(grid: Grid, site: tuple[float, float] | None) -> Float:
    """Return the reduction of a cloud field around a site: 2 in the middle, 0 about 5 km away."""
    if site is None:
        return np.zeros((1, 1), dtype=np.float32)
    x = (grid.eastings - site[0]) / 3600
    y = (grid.northings - site[1]) / 3000
    return (2 * np.exp(-((x**2 + y**2) ** 2))).astype(np.float32)


def _level(field: Float, share: float) -> float:
    """Return the value that `share` of the field exceeds."""
    return float(np.quantile(field, 1 - share)) if share > 0 else float("inf")


def _veil(field: Float, threshold: float) -> Float:
    """Opacity from 0 to 1 where the field exceeds the threshold."""
    if not np.isfinite(threshold):
        return np.zeros_like(field)
    return smooth_step(np.clip((field - np.float32(threshold)) / np.float32(_CLOUD_SOFTNESS), 0, 1))
