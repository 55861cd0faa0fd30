"""The default reader: GDAL by rasterio, GeoTIFF and JPEG 2000, addresses signed if the provider requires it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lakehouse.redaction import without_secrets
from lakehouse.settings import get_settings
from lakehouse.signing import load_signer, without_signature
from python_udfs.extract.reader import NoAnswerError, RasterError, RasterInfo, is_remote

# Other drivers are refused: a VRT or a web service description could name any other file or address.
_GEOTIFF: Final = "GTiff"
_JPEG2000: Final = "JP2OpenJPEG"
_NO_ANSWER: Final = "got 0 bytes"  # GDAL's message if a server sent nothing of a block
_GDAL_ERRORS: Final = (RasterioError, OSError, ValueError)


class RasterioRaster:
    """An open rasterio dataset."""

    def __init__(self, dataset: rasterio.DatasetReader, href: str) -> None:
        self._dataset = dataset
        self._href = href
        self._info = _info_of(dataset)

    @property
    def info(self) -> RasterInfo:
        """Shape, type and place."""
        return self._info

    def read_into(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill `out` with the window of its shape whose first pixel is (row, col).

        Raises:
            NoAnswerError: a server sent no data.
            RasterError: the pixels cannot be read.
        """
        height, width = out.shape
        try:
            self._dataset.read(1, window=Window(col, row, width, height), out=out)
        except _GDAL_ERRORS as error:
            cause = _first_cause(error)
            message = without_signature(cause, self._dataset.name, self._href)
            is_unanswered = is_remote(self._href) and _NO_ANSWER in cause
            raise (NoAnswerError if is_unanswered else RasterError)(message) from None

    def close(self) -> None:
        """Close the dataset."""
        self._dataset.close()


class RasterioReader:
    """Opens GeoTIFF and JPEG 2000 files; signs their addresses by setting `href_signer`."""

    def open(self, href: str) -> RasterioRaster:
        """Open the raster at a path or URL.

        Raises:
            RasterError: the address cannot be signed, or the file cannot be opened or has another format.
        """
        try:
            signed = load_signer(get_settings().cutting.href_signer)(href)
        except Exception as error:  # a user's own signer may raise anything
            message = without_secrets(f"{type(error).__name__}: {error}")
            raise RasterError(f"its address cannot be signed: {message}") from None
        try:
            dataset = rasterio.open(signed, driver=_JPEG2000 if _is_jpeg2000(href) else _GEOTIFF)
        except _GDAL_ERRORS as error:
            raise RasterError(without_signature(str(error), signed, href)) from None
        return RasterioRaster(dataset, href)


def _info_of(dataset: rasterio.DatasetReader) -> RasterInfo:
    return RasterInfo(
        width=dataset.width,
        height=dataset.height,
        dtype=np.dtype(dataset.dtypes[0]),
        nodata=dataset.nodata,
        crs=None if dataset.crs is None else str(dataset.crs),
        epsg=None if dataset.crs is None else dataset.crs.to_epsg(),
        transform=tuple(dataset.transform)[:6],
    )


def _is_jpeg2000(href: str) -> bool:
    return href.split("?", 1)[0].lower().endswith(".jp2")


def _first_cause(error: BaseException) -> str:
    """Return GDAL's message; rasterio's own only refers to it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
