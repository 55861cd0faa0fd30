"""What the encoder sees of a chip: the only place where stored pixels become normalised tensors and vectors.

The CPU decodes chip by chip. The encoder's device normalises a batch at once, so that a GPU receives pixels as stored,
which is a quarter of the bytes. CPU and GPU give the same numbers: float32, one operation at a time.

A change here that changes a number must raise `card.PREPROCESS_VERSION`. It is part of the model's id, so that
embeddings of the old version are not compared with new ones, and all chips are embedded again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from embedding.model.card import Hour, LatLonOrder, Preprocessing
from embedding.model.clay_bands import STATISTICS
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M, Band
from python_udfs.codec import decode_array
from python_udfs.fill.source_index import STILL_MISSING

TRAINING_HOUR: Final = 12  # Clay was trained on this hour for every chip

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ChipInput:
    """One chip, decoded and checked."""

    bands: tuple[Band, ...]  # bands of the chip, in the order of the band table
    stored: tuple[NDArray[np.uint16], ...]  # one a band, (256, 256) or (128, 128), reflectance x 10,000
    missing: NDArray[np.bool_] | None  # (256, 256), pixels that no chip could fill; None if every pixel is filled
    time: Floats  # (4,)
    latlon: Floats  # (4,)


def prepare_chip(
    frames: Mapping[str, bytes | None],
    source_index: bytes | None,
    acquired_at: datetime | None,
    longitude: float | None,
    latitude: float | None,
    preprocessing: Preprocessing,
) -> ChipInput:
    """Decode and check one chip.

    Args:
        frames: Blosc frames of uint16 by band name; bands that are absent or None are ignored.
        source_index: Blosc frame of uint8 (256, 256), or None if no pixel is missing.
        acquired_at: time of acquisition; naive means UTC.
        longitude: of the cell's centre, degrees.
        latitude: of the cell's centre, degrees.
        preprocessing: the choices of the settings.

    Raises:
        ValueError: a column is null, damaged or out of range; the message names it.
    """
    present = {name: frame for name in BAND_NAMES if (frame := frames.get(name)) is not None}
    if not present:
        raise ValueError("the chip has no band")
    if acquired_at is None:
        raise ValueError("acquired_at is null")
    if longitude is None or latitude is None:
        raise ValueError("longitude or latitude is null")
    return ChipInput(
        bands=tuple(BAND_BY_NAME[name] for name in present),
        stored=tuple(_decode(name, frame, "uint16", BAND_BY_NAME[name].pixels) for name, frame in present.items()),
        missing=None if source_index is None else _missing_pixels(source_index),
        time=time_vector(acquired_at, preprocessing.hour),
        latlon=latlon_vector(longitude, latitude, preprocessing.latlon_order),
    )


def normalised_pixels(chips: Sequence[ChipInput], device: torch.device) -> Tensor:
    """Normalise chips that have the same bands.

    Pixels of 20 m are repeated onto the 10 m grid. A missing pixel becomes 0, the normalised mean.

    Args:
        chips: at least one.
        device: of the result.

    Returns:
        (chips, bands, 256, 256) float32 on the device.
    """
    bands = chips[0].bands
    pixels = torch.empty((len(chips), len(bands), CHIP_PIXELS_10M, CHIP_PIXELS_10M), device=device)
    for place, band in enumerate(bands):
        stored = torch.from_numpy(np.stack([chip.stored[place] for chip in chips])).to(device)
        values = stored.to(torch.float32)
        is_missing = values == 0
        statistics = STATISTICS[band.name]
        values.sub_(statistics.mean).div_(statistics.std).masked_fill_(is_missing, 0)
        if band.pixels != CHIP_PIXELS_10M:
            values = functional.interpolate(values[:, None], CHIP_PIXELS_10M, mode="nearest")[:, 0]
        pixels[:, place] = values
    if any(chip.missing is not None for chip in chips):
        none = np.zeros((CHIP_PIXELS_10M, CHIP_PIXELS_10M), np.bool_)
        missing = np.stack([none if chip.missing is None else chip.missing for chip in chips])
        pixels.masked_fill_(torch.from_numpy(missing).to(device)[:, None], 0)
    return pixels


def time_vector(acquired_at: datetime, hour: Hour = "training") -> Floats:
    """Return sine and cosine of the ISO week, then of the hour, (4,) float32.

    Args:
        acquired_at: time of acquisition; naive means UTC.
        hour: `training` for 12, as in training, or `acquired` for the hour of acquisition, UTC, without minutes.
    """
    moment = acquired_at.replace(tzinfo=UTC) if acquired_at.tzinfo is None else acquired_at.astimezone(UTC)
    week = moment.isocalendar().week * 2 * math.pi / 52
    of_day = (TRAINING_HOUR if hour == "training" else moment.hour) * 2 * math.pi / 24
    return np.array([math.sin(week), math.cos(week), math.sin(of_day), math.cos(of_day)], dtype=np.float32)


def latlon_vector(longitude: float, latitude: float, order: LatLonOrder = "longitude_first") -> Floats:
    """Return sine and cosine of one coordinate, then of the other, (4,) float32.

    Args:
        longitude: degrees.
        latitude: degrees.
        order: which coordinate comes first.

    Raises:
        ValueError: a coordinate is out of range or not finite.
    """
    if not -180 <= longitude <= 180 or not -90 <= latitude <= 90:
        raise ValueError(f"longitude {longitude}, latitude {latitude} are not coordinates in degrees")
    pair = (longitude, latitude) if order == "longitude_first" else (latitude, longitude)
    first, second = map(math.radians, pair)
    return np.array([math.sin(first), math.cos(first), math.sin(second), math.cos(second)], dtype=np.float32)


def _missing_pixels(source_index: bytes) -> NDArray[np.bool_] | None:
    missing: NDArray[np.bool_] = _decode("source_index", source_index, "uint8", CHIP_PIXELS_10M) == STILL_MISSING
    return missing if missing.any() else None


def _decode(column: str, frame: bytes, dtype: str, side: int) -> NDArray[Any]:
    try:
        return decode_array(frame, dtype, side)
    except ValueError as error:
        raise ValueError(f"column {column}: {error}") from error
