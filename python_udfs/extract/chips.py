"""Pixel arithmetic of cutting: a row of cells to chips, and several scenes to one chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CLOUD_REACH_PIXELS, PROBABILITIES, SCL
from python_udfs.extract.radiometry import Radiometry, harmonise, percentages, scl_classes
from python_udfs.valid_pixels import Mask, any_of_four, cloud_distance, data_mask, to_10m

_SCL_NODATA: Final = 0


@dataclass(frozen=True)
class Layer:
    """Numbers of one layer of a scene: a row of cells, SCL with a halo of CLOUD_REACH_PIXELS."""

    numbers: NDArray[Any]  # in the dtype of the file
    missing: Mask | None  # pixels that are missing whatever their number is
    meaning: Radiometry


@dataclass(frozen=True)
class ChipPixels:
    """The pixels of a chip before they are encoded."""

    bands: dict[str, NDArray[np.uint16]]  # (256, 256) or (128, 128), reflectance x 10,000, 0 = nodata
    scl: NDArray[np.uint8]  # (128, 128)
    cloud_distance: NDArray[np.uint8]  # (128, 128), 20 m pixels
    has_data: Mask  # (256, 256)
    probabilities: dict[str, NDArray[np.uint8]] = field(default_factory=dict)  # (128, 128), percent, by layer

    def valid(self, is_valid_class: Mask) -> Mask:
        """Mark the valid pixels: they have data, and a valid SCL class.

        Args:
            is_valid_class: (256,) table from `class_table`.

        Returns:
            (256, 256) mask on the 10 m grid.
        """
        mask: Mask = self.has_data & to_10m(is_valid_class[self.scl])
        return mask


def split_row(layers: Mapping[str, Layer]) -> list[ChipPixels]:
    """Split the layers of a row of cells into the pixels of each cell, west to east.

    Args:
        layers: name of a layer to its numbers, as `OpenScenes.read` returns them.
    """
    wide_scl = scl_classes(layers[SCL].numbers, layers[SCL].meaning, layers[SCL].missing)
    scl, distance = _without_halo(wide_scl), _without_halo(cloud_distance(wide_scl))
    bands = {
        name: harmonise(layer.numbers, layer.meaning, layer.missing)
        for name, layer in layers.items()
        if name in BAND_BY_NAME
    }
    probabilities = {
        name: percentages(layer.numbers, layer.meaning, layer.missing)
        for name, layer in layers.items()
        if name in PROBABILITIES
    }
    has_data = data_mask(bands, scl != _SCL_NODATA)
    return [
        ChipPixels(
            {name: _cell_of(layer, index) for name, layer in bands.items()},
            _cell_of(scl, index),
            _cell_of(distance, index),
            _cell_of(has_data, index),
            {name: _cell_of(layer, index) for name, layer in probabilities.items()},
        )
        for index in range(scl.shape[1] // scl.shape[0])
    ]


def merge_pixels(candidates: list[ChipPixels]) -> ChipPixels:
    """Merge the pixels of several scenes into one chip: each pixel comes from the first candidate with data there.

    Pixels without data in all candidates stay as in the first one. A 20 m pixel comes from the first candidate that
    has data in any of its four 10 m pixels. The distance to clouds is the least of all candidates. A probability is 0
    in pixels from a candidate that lacks it.
    """
    first = candidates[0]
    if len(candidates) == 1:
        return first
    names = [name for name in BAND_NAMES if any(name in candidate.bands for candidate in candidates)]
    bands = {name: first.bands[name].copy() if name in first.bands else _no_pixels(name) for name in names}
    no_percent = np.zeros_like(first.scl)
    probabilities = {
        name: first.probabilities.get(name, no_percent).copy()
        for name in PROBABILITIES
        if any(name in candidate.probabilities for candidate in candidates)
    }
    scl, has_data = first.scl.copy(), first.has_data.copy()
    has_data_20m = any_of_four(has_data)
    for candidate in candidates[1:]:
        take = candidate.has_data & ~has_data
        take_20m = any_of_four(candidate.has_data) & ~has_data_20m
        for name in names:
            if name in candidate.bands:
                where = take if BAND_BY_NAME[name].gsd == 10 else take_20m
                np.copyto(bands[name], candidate.bands[name], where=where)
        np.copyto(scl, candidate.scl, where=take_20m)
        for name, layer in probabilities.items():
            np.copyto(layer, candidate.probabilities.get(name, no_percent), where=take_20m)
        has_data |= take
        has_data_20m |= take_20m
    distance = np.minimum.reduce([candidate.cloud_distance for candidate in candidates])
    # Computed from the merged pixels: a candidate may lack a band, or give only the 20 m bands of a pixel.
    return ChipPixels(bands, scl, distance, data_mask(bands, scl != _SCL_NODATA), probabilities)


def _no_pixels(band: str) -> NDArray[np.uint16]:
    return np.zeros((BAND_BY_NAME[band].pixels,) * 2, np.uint16)


def _cell_of(layer: NDArray[Any], index: int) -> NDArray[Any]:
    side = layer.shape[0]
    return layer[:, index * side : (index + 1) * side]


def _without_halo(layer: NDArray[Any]) -> NDArray[Any]:
    return layer[CLOUD_REACH_PIXELS:-CLOUD_REACH_PIXELS, CLOUD_REACH_PIXELS:-CLOUD_REACH_PIXELS]
