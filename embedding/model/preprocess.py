"""What the encoder sees of a chip: the one place where stored pixels become normalised tensors and vectors.

Decoding is a processor's work, chip by chip; normalising is done where the encoder is, a batch at once, so that a GPU
gets pixels as stored, a quarter of the bytes. The numbers are the same on either: float32, one operation at a time.

A change here that changes a number must raise `PREPROCESS_VERSION`: it is part of the model's id, so old
embeddings are made again and never compared with new ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from embedding.model.clay_bands import STATISTICS
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M, Band
from python_udfs.codec import decode_array
from python_udfs.fill.source_index import STILL_MISSING

PREPROCESS_VERSION: Final = 1
TRAINING_HOUR: Final = 12  # Clay was trained on this hour for every chip

LatLonOrder = Literal["longitude_first", "latitude_first"]
Hour = Literal["training", "acquired"]
Precision = Literal["float32", "bfloat16"]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """The choices that change what the encoder sees, beside the version, and in what precision it computes."""

    latlon_order: LatLonOrder = "longitude_first"  # as in training; Clay's tutorials say latitude first
    hour: Hour = "training"  # 12 for every chip; Clay's tutorials give the hour of acquisition
    precision: Precision = "float32"

    @property
    def tag(self) -> str:
        """What a model's id says of the preprocessing; empty for the first version with its defaults."""
        version = "" if PREPROCESS_VERSION == 1 else f":pre{PREPROCESS_VERSION}"
        order = "" if self.latlon_order == "longitude_first" else f":{self.latlon_order.replace('_', '-')}"
        precision = "" if self.precision == "float32" else f":{self.precision}"
        hour = "" if self.hour == "training" else f":hour-{self.hour}"
        return version + order + hour + precision


@dataclass(frozen=True)
class ChipInput:
    """One chip, decoded and checked."""

    bands: tuple[Band, ...]  # the bands the chip has, in the order of the band table
    stored: tuple[NDArray[np.uint16], ...]  # one a band, (256, 256) or (128, 128)
    missing: NDArray[np.bool_] | None  # (256, 256), pixels that no chip could fill; None: none known
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
    """Prepare one chip.

    Args:
        frames: Blosc frames of uint16 by band name; bands that are absent or None are left out.
        source_index: Blosc frame of uint8 (256, 256), or None if no pixel is known to be missing.
        acquired_at: time of acquisition; naive means UTC.
        longitude: of the cell's centre, degrees.
        latitude: of the cell's centre, degrees.
        preprocessing: the choices in force.

    Raises:
        ValueError: the chip cannot be prepared, and why.
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
    """Normalise chips that have the same bands, as (chips, bands, 256, 256) float32 on the device.

    Bands of 20 m are repeated onto the 10 m grid. A pixel that is missing gets 0, the normalised mean.
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
    """Sine and cosine of the ISO week, then of the hour, (4,) float32.

    Args:
        acquired_at: time of acquisition; naive means UTC.
        hour: `training` for 12, as in training, or `acquired` for the full hour of acquisition, UTC.
    """
    moment = acquired_at.replace(tzinfo=UTC) if acquired_at.tzinfo is None else acquired_at.astimezone(UTC)
    week = moment.isocalendar().week * 2 * math.pi / 52
    of_day = (TRAINING_HOUR if hour == "training" else moment.hour) * 2 * math.pi / 24
    return np.array([math.sin(week), math.cos(week), math.sin(of_day), math.cos(of_day)], dtype=np.float32)


def latlon_vector(longitude: float, latitude: float, order: LatLonOrder = "longitude_first") -> Floats:
    """Sine and cosine of one coordinate, then of the other, (4,) float32.

    Raises:
        ValueError: a coordinate, in degrees, is out of range or not finite.
    """
    if not -180 <= longitude <= 180 or not -90 <= latitude <= 90:
        raise ValueError(f"longitude {longitude}, latitude {latitude} is no place in degrees")
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
