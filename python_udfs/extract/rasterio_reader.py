"""The default reader: GDAL by rasterio, GeoTIFF and JPEG 2000, addresses signed if the provider requires it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from lakehouse.causes import root_cause
from lakehouse.redaction import without_secrets
from lakehouse.settings import get_settings
from lakehouse.signing import load_signer, without_signature
from python_udfs.extract.reader import NoAnswerError, RasterError, RasterInfo, is_remote

# Other drivers are refused: a VRT or a web service description could name any other file or address.
_GEOTIFF: Final = "GTiff"
_JPEG2000: Final = "JP2OpenJPEG"
_OTHER_FORMAT: Final = "not recognized as being in a supported file format"  # GDAL's message if the driver does not fit
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
        self._read(self._dataset.read, out, row, col)

    def read_mask_into(self, out: NDArray[np.uint8], row: int, col: int) -> None:
        """Fill `out` with the same window of the file's mask; 0 where a pixel is missing.

        Raises:
            NoAnswerError: a server sent no data.
            RasterError: the mask cannot be read.
        """
        self._read(self._dataset.read_masks, out, row, col)

    def _read(self, read: Callable[..., Any], out: NDArray[Any], row: int, col: int) -> None:
        height, width = out.shape
        try:
            read(1, window=Window(col, row, width, height), out=out)
        except _GDAL_ERRORS as error:
            cause = _first_cause(error)
            message = root_cause(without_signature(cause, self._dataset.name, self._href))
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
            # Beside a local file may lie another that holds its place or mask. On a server GDAL does not look for them
            # (GDAL_ENVIRONMENT): each would be a request.
            with nullcontext() if is_remote(href) else rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
                dataset = _open(signed, _is_named_jpeg2000(href))
        except _GDAL_ERRORS as error:
            raise RasterError(root_cause(without_signature(str(error), signed, href))) from None
        raster = RasterioRaster(dataset, href)
        if dataset.count > 1 and not (dataset.count == 2 and raster.info.has_mask):
            dataset.close()
            raise RasterError(f"the file has {dataset.count} bands; a layer has one")
        return raster


def _open(address: str, is_likely_jpeg2000: bool) -> rasterio.DatasetReader:
    """Open a raster by the driver that its first bytes ask for; names and media types may say nothing, or lie."""
    drivers = [_JPEG2000, _GEOTIFF] if is_likely_jpeg2000 else [_GEOTIFF, _JPEG2000]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `require_lattice` refuses such a raster
        try:
            return rasterio.open(address, driver=drivers[0])
        except RasterioError as error:
            if _OTHER_FORMAT not in str(error):
                raise
        return rasterio.open(address, driver=drivers[1])


def _info_of(dataset: rasterio.DatasetReader) -> RasterInfo:
    return RasterInfo(
        width=dataset.width,
        height=dataset.height,
        dtype=np.dtype(dataset.dtypes[0]),
        nodata=dataset.nodata,
        crs=None if dataset.crs is None else str(dataset.crs),
        epsg=None if dataset.crs is None else dataset.crs.to_epsg(),
        transform=tuple(dataset.transform)[:6],
        scale=dataset.scales[0],
        offset=dataset.offsets[0],
        has_mask=MaskFlags.per_dataset in dataset.mask_flag_enums[0],
    )


def _first_cause(error: BaseException) -> str:
    """Return GDAL's message; rasterio's own only refers to it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _is_named_jpeg2000(href: str) -> bool:
    return href.split("?", 1)[0].lower().endswith(".jp2")
