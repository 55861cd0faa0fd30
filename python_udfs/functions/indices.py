"""Scalar function `chip_index`, and its table of spectral indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import VALUE_PER_REFLECTANCE
from python_udfs.functions.frames import EVERYWHERE, MaskFrame, counted_pixels, decode_band, fields_of, on_one_grid

Values = NDArray[np.float64]
_ONE: Final = VALUE_PER_REFLECTANCE  # formulas take reflectance x 10,000: whole numbers have no rounding error


@dataclass(frozen=True)
class SpectralIndex:
    """An index as its authors defined it, in Sentinel-2 bands."""

    bands: tuple[str, ...]
    ratio: Callable[..., tuple[Values, Values]]  # numerator and denominator, from reflectance x 10,000 by band name
    source: str  # authors, year and purpose


def _difference(first: str, second: str, source: str) -> SpectralIndex:
    def ratio(**bands: Values) -> tuple[Values, Values]:
        return bands[first] - bands[second], bands[first] + bands[second]

    return SpectralIndex((first, second), ratio, source)


INDICES: Final[Mapping[str, SpectralIndex]] = {
    "ndvi": _difference("nir", "red", "Rouse et al. 1974: vegetation"),
    "ndre": _difference("nir", "rededge1", "Gitelson and Merzlyak 1994: chlorophyll"),
    "ndwi": _difference("green", "nir", "McFeeters 1996: open water (not Gao's of 1996, which is ndmi)"),
    "mndwi": _difference("green", "swir16", "Xu 2006: open water among buildings; as NDSI, snow"),
    "ndmi": _difference("nir", "swir16", "Gao 1996: moisture of vegetation"),
    "ndbi": _difference("swir16", "nir", "Zha et al. 2003: built-up land"),
    "nbr": _difference("nir", "swir22", "Key and Benson 2006: burnt area"),
    "evi": SpectralIndex(
        ("nir", "red", "blue"),
        lambda nir, red, blue: (2.5 * (nir - red), nir + 6 * red - 7.5 * blue + _ONE),
        "Huete et al. 2002: dense vegetation",
    ),
    "evi2": SpectralIndex(
        ("nir", "red"),
        lambda nir, red: (2.5 * (nir - red), nir + 2.4 * red + _ONE),
        "Jiang et al. 2008: EVI without blue",
    ),
    "savi": SpectralIndex(
        ("nir", "red"),
        lambda nir, red: (1.5 * (nir - red), nir + red + 0.5 * _ONE),
        "Huete 1988 with L = 0.5: sparse vegetation",
    ),
    "bsi": SpectralIndex(
        ("swir16", "red", "nir", "blue"),
        lambda swir16, red, nir, blue: ((swir16 + red) - (nir + blue), (swir16 + red) + (nir + blue)),
        "Rikimaru et al. 2002: bare soil",
    ),
}


def chip_index(
    name: str | None, bands: Mapping[str, bytes | None] | None, valid: MaskFrame = EVERYWHERE
) -> float | None:
    """Mean of a spectral index over the counted pixels: `chip_index('ndvi', struct(red, nir))`.

    A pixel counts if no band of the index is nodata, the mask is not 0, and the index is defined. The field names of
    the struct tell the bands, in any order; other bands are ignored. INDICES has the formulas and their sources.

    Args:
        name: one of INDICES, in any case.
        bands: struct of band columns by name.
        valid: mask from chip_mask or chip_valid; without it, all pixels with data count.

    Returns:
        The mean; null if no pixel counts, or a band that the index needs is null.

    Raises:
        ValueError: the index is unknown, or the struct lacks a band that it needs.
    """
    if name is None or bands is None or valid is None:
        return None
    index = INDICES.get(name.lower())
    if index is None:
        raise ValueError(f"unknown index '{name}'; choose from {', '.join(INDICES)}")
    given = fields_of(bands)
    if missing := [band for band in index.bands if band not in given]:
        raise ValueError(
            f"index '{name}' needs {', '.join(index.bands)}; the struct has no {', '.join(missing)}: "
            f"write chip_index('{name}', struct({', '.join(index.bands)}))"
        )
    frames = [given[band] for band in index.bands]
    known = [frame for frame in frames if frame is not None]
    if len(known) < len(frames):
        return None
    pixels = on_one_grid([decode_band(frame) for frame in known])
    counts = counted_pixels(pixels, valid)
    values = [band[counts].astype(np.float64) for band in pixels]
    numerator, denominator = index.ratio(**dict(zip(index.bands, values, strict=True)))
    is_defined = denominator != 0
    if not is_defined.all():
        numerator, denominator = numerator[is_defined], denominator[is_defined]
    return float((numerator / denominator).mean()) if denominator.size else None
