"""The border between pixel arithmetic and files: what cutting needs of a raster, however it is read.

A second reader (byte ranges, async-geotiff, arrays in a test) implements `RasterReader` and is given to `ChipCutter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class RasterError(Exception):
    """A raster cannot be opened, read or used. The message holds no secret of its address."""


class NoAnswerError(RasterError):
    """A server sent no data. Further requests would only wait, so none are sent."""


@dataclass(frozen=True)
class RasterInfo:
    """Shape, type and place of a raster with one band."""

    width: int  # pixels
    height: int  # pixels
    dtype: np.dtype[Any]
    nodata: float | None
    crs: str | None  # for messages
    epsg: int | None
    transform: tuple[float, float, float, float, float, float]  # a, b, c, d, e, f of the affine transform, metres
    scale: float = 1.0  # of the header: quantity = number x scale + offset; 1 and 0 if the file states none
    offset: float = 0.0
    has_mask: bool = False  # a mask or an alpha band inside the file tells which pixels are missing


class Raster(Protocol):
    """An open raster."""

    @property
    def info(self) -> RasterInfo:
        """Shape, type and place."""

    def read_into(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill `out` with the window of its shape whose first pixel is (row, col); the window lies in the raster.

        Raises:
            RasterError: the pixels cannot be read.
        """

    def read_mask_into(self, out: NDArray[np.uint8], row: int, col: int) -> None:
        """Fill `out` with the same window of the file's mask; 0 where a pixel is missing. Called if it has one.

        Raises:
            RasterError: the mask cannot be read.
        """

    def close(self) -> None:
        """Release the file or the connection."""


class RasterReader(Protocol):
    """Opens rasters by their address in the tables."""

    def open(self, href: str) -> Raster:
        """Open the raster at a path or URL.

        Raises:
            RasterError: the raster does not exist, access is denied, or its format is not supported.
        """


def is_remote(href: str) -> bool:
    """Return whether an address is a URL, not a path."""
    return "://" in href
