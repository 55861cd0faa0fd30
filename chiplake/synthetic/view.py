"""What a satellite sees of the ground under the sky: scene classification and reflectance."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from chiplake.synthetic.ground import FLOOD, VARIANTS, Ground
from chiplake.synthetic.noise import Bytes, Float
from chiplake.synthetic.sky import Sky
from lakehouse.bands import BAND_NAMES

SCL_NODATA, SCL_SHADOW, SCL_VEGETATION, SCL_SOIL, SCL_WATER, SCL_UNCLASSIFIED = 0, 3, 4, 5, 6, 7
SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS = 8, 9, 10
SCL_CLOUDS: Final = (SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS)
# In the order of the covers in `ground`.
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

# By band: brightness of clouds relative to the visible, and of haze relative to blue.
_CLOUD_TINT: Final = (0.98, 0.97, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0, 0.62, 0.45)
_HAZE_TINT: Final = (1.0, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2, 0.2, 0.05, 0.0)
_SHADOW_DEPTH: Final = 0.62  # share of the light that an opaque cloud blocks


def classify(ground: Ground, sky: Sky, flooded: bool) -> Bytes:
    """Return the scene classification on the 20 m grid, uint8, as Sen2Cor would give it without errors."""
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
    """Return one band as the satellite sees it: reflectance x 10,000, from 1 to 10,000, uint16, on the ground's grid.

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
    # Deep water hides the texture of the ground; waves and drift keep a little of it.
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
