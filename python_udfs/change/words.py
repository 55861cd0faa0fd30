"""How a patch differs from what was expected of it, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST: Final = 0.1  # log reflectance, or the difference of two; about 10 percent
_MOST_WORDS: Final = 2
_BURNT: Final = 0.5  # fall of log nir against log swir22 of a burn,
_CHARRED: Final = 0.2  # in which red does not rise as it does on bare ground
_SHORTEST_INFRARED: Final = ("rededge3", "nir", "nir08")
_SHORTWAVE: Final = ("swir16", "swir22")


def looks_like(bands: Sequence[str], residual: NDArray[np.floating]) -> str:
    """Return words such as `barer and brighter`, the strongest first.

    Args:
        bands: names of the bands.
        residual: (bands,), log reflectance less the expected one.
    """
    by_band = dict(zip(bands, np.asarray(residual, float), strict=True))
    nir, swir = _mean(by_band, _SHORTEST_INFRARED), _mean(by_band, _SHORTWAVE)
    red, swir22 = by_band.get("red"), by_band.get("swir22")
    is_charred = red is not None and red < _CHARRED
    if is_charred and nir is not None and swir22 is not None and nir < -_LEAST and nir - swir22 < -_BURNT:
        return "burnt"
    signs = [(float(np.mean(list(by_band.values()))), "brighter", "darker")]
    if nir is not None and red is not None:
        signs.append((nir - red, "greener", "barer"))
    if nir is not None and swir is not None:
        signs.append((nir - swir, "wetter", "drier"))
    strongest = sorted((one for one in signs if abs(one[0]) >= _LEAST), key=lambda one: -abs(one[0]))
    return " and ".join(up if value > 0 else down for value, up, down in strongest[:_MOST_WORDS]) or "different"


def _mean(by_band: dict[str, float], names: Sequence[str]) -> float | None:
    values = [by_band[name] for name in names if name in by_band]
    return float(np.mean(values)) if values else None
