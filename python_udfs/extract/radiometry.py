"""What the numbers of a raster mean: item, file and rule, weighed in one place when a raster is opened.

docs/radiometry.md describes the rules. The offset is decided before, by the macro boa_offset_reason, because tables
show it; here it is compared with what the file says. A contradiction that would change pixels is an error, never a
guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import PROBABILITIES, SCL, VALUE_PER_REFLECTANCE
from python_udfs.extract.reader import RasterError, RasterInfo
from python_udfs.extract.strip import Product
from python_udfs.valid_pixels import Mask

# Values of int_scenes.boa_offset_reason.
_ASSET_OFFSET: Final = "asset offset"
_FILE_HEADER: Final = "file header"
_BASELINE: Final = "processing baseline"
_NONE_NEEDED: Final = "none needed"

_SENTINEL_2_SCALE: Final = 0.0001  # reflectance per DN
_MAX_INTEGER_SCALE: Final = 0.01  # reflectance per DN; a larger one leaves no steps between dark and bright
_OFFSET_TOLERANCE: Final = 0.00005  # reflectance, half a step of a chip's pixels
# Reflectance x 10,000. The offset of the baselines gives at least -999; what lies far below was never measured.
_LOWEST: Final = -2000
# Snow and clouds reach 20,000. Numbers far above are no reflectance, such as digital numbers in floats without a scale.
_HIGHEST: Final = 100_000
_CLASSES: Final = range(1, 12)  # SCL classes of pixels with data
_REMEDY: Final = "say which offset is right: chiplake boa-offsets"


@dataclass(frozen=True)
class Radiometry:
    """The meaning of a raster's numbers: reflectance x 10,000 = (number + shift) x gain. Other layers have neither."""

    gain: float = 1.0
    shift: float = 0.0
    nodata: tuple[float, ...] = (0.0,)  # numbers that stand for missing pixels; the dtype can hold them


def weigh(product: Product, layer: str, info: RasterInfo) -> Radiometry:
    """Weigh what item, file and rule say about the numbers of a raster.

    Args:
        product: what the item says, and the offset that was decided.
        layer: name of the layer.
        info: what the file says.

    Raises:
        RasterError: they contradict each other, or the file cannot hold reflectance, or SCL classes.
    """
    of_item = (product.nodata or {}).get(layer)
    nodata = {value for value in (of_item, info.nodata) if value is not None}
    if info.dtype.kind not in "uif":
        raise RasterError(f"its numbers are {info.dtype.name}")
    if layer == SCL:
        return Radiometry(nodata=_nodata_of_classes(nodata, info))
    if layer in PROBABILITIES:
        return Radiometry(nodata=_held(nodata, info.dtype))
    if info.dtype.kind in "ui" and info.dtype.itemsize == 1:
        raise RasterError(f"its numbers are {info.dtype.name}, which cannot hold reflectance")
    if product.data_type is not None and _is_float(product.data_type) is not _is_float(info.dtype.name):
        raise RasterError(f"its numbers are {info.dtype.name}, but the item says {product.data_type}")
    scale = _scale(product, info)
    shift = _shift(product, info, scale)
    _check_offset(product, info, shift * scale)
    return Radiometry(scale * VALUE_PER_REFLECTANCE, shift, _nodata(nodata, info))


def harmonise(numbers: NDArray[Any], meaning: Radiometry, missing: Mask | None = None) -> NDArray[np.uint16]:
    """Turn the numbers of a band into reflectance x 10,000, at least 1 where a pixel is not missing.

    Args:
        numbers: any shape and real dtype.
        meaning: from `weigh`.
        missing: mask of the same shape of pixels that are missing whatever their number is.

    Returns:
        uint16 of the same shape; 0 where a pixel is missing, and nowhere else. Missing are NaN, infinity, nodata, and
        negative numbers below every reflectance (-0.2).
    """
    gain, shift = meaning.gain, meaning.shift
    is_unscaled = bool(np.isclose(gain, 1.0, rtol=1e-9)) and float(shift).is_integer()
    if missing is None and is_unscaled and numbers.dtype == np.uint16 and meaning.nodata == (0.0,):
        if shift == 0:
            return numbers
        if -65_535 < shift < 0:  # the common case stays in its own dtype, which is many times as fast
            lowered: NDArray[np.uint16] = (np.maximum(numbers, int(1 - shift)) - np.uint16(-shift)) * (numbers != 0)
            return lowered
    absent = _absent(numbers, meaning.nodata, missing)
    values: NDArray[Any]
    if is_unscaled and numbers.dtype.kind in "ui" and numbers.dtype.itemsize <= 2:
        values = numbers.astype(np.int32) + int(shift)
    else:
        values = np.rint((numbers.astype(np.float64) + shift) * gain)
    if numbers.dtype.kind != "u":
        absent |= (numbers < 0) & (values < _LOWEST)
    values = np.clip(values, 1, 65_535)
    values[absent] = 0
    return values.astype(np.uint16)


def require_reflectance(numbers: NDArray[Any], meaning: Radiometry, missing: Mask | None = None) -> None:
    """Check that no number of floats or wide integers is far above every reflectance (10).

    The pixels of its chip would be as bright as pixels can be, without notice.

    Args:
        numbers: of a band, any shape and real dtype.
        meaning: from `weigh`.
        missing: mask of the same shape of pixels that are missing whatever their number is.

    Raises:
        RasterError: one is; the message names it.
    """
    if numbers.dtype.kind != "f" and numbers.dtype.itemsize <= 2:
        return  # the largest numbers of 16 bits say that a detector was saturated
    is_beyond = numbers > _HIGHEST / meaning.gain - meaning.shift
    if not is_beyond.any():
        return
    beyond = numbers[is_beyond & ~_absent(numbers, meaning.nodata, missing)]
    if beyond.size:
        number = float(beyond[0])
        reflectance = (number + meaning.shift) * meaning.gain / VALUE_PER_REFLECTANCE
        raise RasterError(
            f"its number {number:g} would be the reflectance {reflectance:g}; item or file must state its scale, or "
            "that this is nodata"
        )


def scl_classes(numbers: NDArray[Any], meaning: Radiometry, missing: Mask | None = None) -> NDArray[np.uint8]:
    """Turn the numbers of SCL into its classes.

    Args:
        numbers: any shape and real dtype.
        meaning: from `weigh`.
        missing: mask of the same shape of pixels that are missing whatever their number is.

    Returns:
        uint8 of the same shape; 0 where a pixel is missing, or its number is not one of the classes 1 to 11.
    """
    is_class = (numbers >= _CLASSES[0]) & (numbers <= _CLASSES[-1]) & ~_absent(numbers, meaning.nodata, missing)
    if numbers.dtype.kind == "f":
        is_class &= numbers == np.rint(numbers)
    return np.where(is_class, numbers, 0).astype(np.uint8)


def percentages(numbers: NDArray[Any], meaning: Radiometry, missing: Mask | None = None) -> NDArray[np.uint8]:
    """Turn the numbers of a probability into whole percent.

    Args:
        numbers: any shape and real dtype.
        meaning: from `weigh`.
        missing: mask of the same shape of pixels that are missing whatever their number is.

    Returns:
        uint8 of the same shape, 0 to 100. A missing pixel is 0, so that no limit excludes it.
    """
    return np.where(_absent(numbers, meaning.nodata, missing), 0, numbers).astype(np.uint8)


def require_percentages(numbers: NDArray[Any], meaning: Radiometry, missing: Mask | None = None) -> None:
    """Check that the numbers of a probability are from 0 to 100. Other masks of clouds have classes or bits.

    Args:
        numbers: any shape and real dtype.
        meaning: from `weigh`.
        missing: mask of the same shape of pixels that are missing whatever their number is.

    Raises:
        RasterError: one is not; the message names it.
    """
    is_beyond = ~((numbers >= 0) & (numbers <= 100)) & ~_absent(numbers, meaning.nodata, missing)
    if is_beyond.any():
        raise RasterError(f"its number {numbers[is_beyond][0]:g} is no percentage from 0 to 100")


def _scale(product: Product, info: RasterInfo) -> float:
    """Return reflectance per number: the item's, else the header's, else that of the dtype."""
    is_stated = product.scale != _SENTINEL_2_SCALE if product.is_scale_stated is None else product.is_scale_stated
    if not _has_header(info):
        unstated = 1.0 if _is_float(info.dtype.name) else _SENTINEL_2_SCALE
        return product.scale if is_stated else unstated
    if is_stated and not math.isclose(info.scale, product.scale, rel_tol=1e-6):
        raise RasterError(f"its header says scale {info.scale:g}, but the item says {product.scale:g}")
    if not 0 < info.scale <= (1.0 if _is_float(info.dtype.name) else _MAX_INTEGER_SCALE):
        raise RasterError(f"its header says scale {info.scale:g}, which cannot be that of reflectance")
    return info.scale


def _shift(product: Product, info: RasterInfo, scale: float) -> float:
    """Return the offset in units of the raster's numbers."""
    if product.boa_offset_reason == _ASSET_OFFSET and not _is_float(product.data_type or ""):
        return product.boa_offset if scale == product.scale else product.boa_offset * product.scale / scale
    return product.boa_offset / VALUE_PER_REFLECTANCE / scale if _is_float(info.dtype.name) else product.boa_offset


def _check_offset(product: Product, info: RasterInfo, offset: float) -> None:
    """Check the decided offset, reflectance, against the file.

    The user's own offset, and the statement that it is applied, stand against any header: headers keep the offset of
    the product from which a provider made the file.

    Raises:
        RasterError: the header says another one, or none where another band's header decided; or a float file says
            nothing and only the baseline is known, which is that of integers.
    """
    reason = product.boa_offset_reason
    if _has_header(info):
        is_decided_by_evidence = reason in (_ASSET_OFFSET, _FILE_HEADER, _BASELINE, _NONE_NEEDED)
        if is_decided_by_evidence and abs(info.offset - offset) > _OFFSET_TOLERANCE:
            raise RasterError(
                f"its header says offset {info.offset:g}, but the offset is {offset:g} by {reason}; {_REMEDY}"
            )
    elif reason == _FILE_HEADER:
        raise RasterError(f"its header says no offset, but that of another band does; {_REMEDY}")
    elif _is_float(info.dtype.name) and reason == _BASELINE:
        raise RasterError(
            f"its numbers are {info.dtype.name}, and nothing says whether the offset of the processing baseline is "
            f"applied to them; {_REMEDY}"
        )


def _is_float(data_type: str) -> bool:
    return data_type.startswith("float")


def _has_header(info: RasterInfo) -> bool:
    """Return whether the file states scale and offset; 1 and 0 are GDAL's defaults."""
    return (info.scale, info.offset) != (1, 0)


def _nodata(values: Set[float], info: RasterInfo) -> tuple[float, ...]:
    """Return the nodata values of a band, given those of item and file.

    0 is nodata in Sentinel-2's unsigned numbers. In signed ones and floats it is dark ground, if item or file tell
    missing pixels in another way.
    """
    is_zero_missing = info.dtype.kind == "u" or not (values or info.has_mask)
    return _held(values | {0.0} if is_zero_missing else values, info.dtype)


def _nodata_of_classes(values: Set[float], info: RasterInfo) -> tuple[float, ...]:
    """Return the nodata values of SCL, given those of item and file."""
    for value in values:
        if value in _CLASSES:
            raise RasterError(f"its nodata value is {value:g}, which is a class of SCL")
    return _held(values | {0.0}, info.dtype)


def _held(values: Iterable[float], dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return the values that a dtype can hold, without NaN, which is always missing."""
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        held = (value for value in values if math.isinf(value) or limits.min <= value <= limits.max)
    else:
        bounds = np.iinfo(dtype)
        held = (value for value in values if float(value).is_integer() and bounds.min <= value <= bounds.max)
    return tuple(sorted(map(float, held)))


def _absent(numbers: NDArray[Any], nodata: Iterable[float], missing: Mask | None) -> Mask:
    absent = ~np.isfinite(numbers) if numbers.dtype.kind == "f" else np.zeros(numbers.shape, np.bool_)
    for value in nodata:
        absent |= numbers == numbers.dtype.type(value)
    if missing is not None:
        absent |= missing
    return absent
