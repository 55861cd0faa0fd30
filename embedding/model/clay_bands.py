"""What Clay was trained on: statistics of Sentinel-2's bands, and the pixel size of its input.

Source: Clay's published metadata for Sentinel-2 L2A, configs/metadata.yaml of the model's repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GSD_M: Final = 10.0  # pixel size that the encoder gets, metres; chips reach it on the 10 m grid


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of a band's training pixels, reflectance x 10,000 after the baseline's offset."""

    mean: float
    std: float


STATISTICS: Final[dict[str, Statistics]] = {
    "blue": Statistics(1105.0, 1809.0),
    "green": Statistics(1355.0, 1757.0),
    "red": Statistics(1552.0, 1888.0),
    "rededge1": Statistics(1887.0, 1870.0),
    "rededge2": Statistics(2422.0, 1732.0),
    "rededge3": Statistics(2630.0, 1697.0),
    "nir": Statistics(2743.0, 1742.0),
    "nir08": Statistics(2785.0, 1648.0),
    "swir16": Statistics(2388.0, 1470.0),
    "swir22": Statistics(1835.0, 1379.0),
}
