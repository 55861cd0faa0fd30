"""Where a filled pixel is from, and what was done to it: for a user who follows a number back to a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakehouse.bands import BAND_BY_NAME, CHIP_PIXELS_10M, CHIP_PIXELS_20M
from python_udfs.codec import decode_array
from python_udfs.fill.peers import GAIN_ONE, Adjustment, adjusted, coarse_chip, peers_of
from python_udfs.fill.rule import FillRule
from python_udfs.fill.source_index import SOURCE_INDEX, STILL_MISSING
from python_udfs.validity_rule import read_chip

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FilledPixel:
    """A pixel of a filled chip.

    Attributes:
        chip_id: the chip that it is from.
        raw: its reflectance x 10,000 there.
        group: its group of the source's own pixels; None if it is not adjusted.
        gain: what `raw` is multiplied by; 1 if it is not adjusted.
        value: its reflectance x 10,000 in the filled chip.
    """

    chip_id: str
    raw: int
    group: int | None
    gain: float
    value: int


def origin_of_pixel(filled: Row, band: str, row: int, col: int) -> str | None:
    """Return the id of the chip that a pixel is from, the filled chip's own or a source's; None if it is missing.

    Args:
        filled: a row of fct_filled_chips.
        band: name of the band.
        row: row of the pixel in the band, from the north.
        col: column of the pixel in the band, from the west.
    """
    return _chip_id_of(filled, _source_number(filled, band, row, col))


def explain_pixel(filled: Row, source: Row, band: str, row: int, col: int) -> FilledPixel:
    """Compute a pixel of a filled chip from the raw chip that it is from, and return the steps.

    Args:
        filled: a row of fct_filled_chips.
        source: the row of fct_chips of the chip that the pixel is from (`origin_of_pixel`).
        band: name of the band.
        row: row of the pixel in the band, from the north.
        col: column of the pixel in the band, from the west.

    Raises:
        ValueError: the pixel is missing, or from another chip; a frame is damaged.
    """
    number = _source_number(filled, band, row, col)
    origin = _chip_id_of(filled, number)
    if origin != source["chip_id"]:
        raise ValueError(f"the pixel is from {origin or 'no chip'}, not from {source['chip_id']}")
    chip = read_chip(source, FillRule.model_validate_json(filled["rule_version"]))
    raw = int(chip.bands[band][row, col])
    adjustment = Adjustment.of_row(filled["adjustments"][number - 1]) if number and filled["adjustments"] else None
    if adjustment is None or band not in adjustment.bands:
        return FilledPixel(origin, raw, None, 1.0, raw)
    groups = peers_of(coarse_chip(chip.bands, chip.valid)).groups
    scale = BAND_BY_NAME[band].pixels // CHIP_PIXELS_20M
    place = row // scale * CHIP_PIXELS_20M + col // scale
    gain = adjustment.at(groups, np.array([place]))[adjustment.bands.index(band)]
    value = int(adjusted(np.array([raw], np.uint16), gain)[0])
    return FilledPixel(origin, raw, int(groups.ravel()[place]), float(gain[0]) / GAIN_ONE, value)


def _chip_id_of(filled: Row, number: int) -> str | None:
    if number == STILL_MISSING:
        return None
    return str(filled["chip_id"] if number == 0 else filled["sources"][number - 1]["chip_id"])


def _source_number(filled: Row, band: str, row: int, col: int) -> int:
    """Return 0 for the chip's own pixel, k for one of its k-th source, or STILL_MISSING."""
    numbers = decode_array(filled[SOURCE_INDEX], "uint8", CHIP_PIXELS_10M)
    if BAND_BY_NAME[band].gsd == 10:
        return int(numbers[row, col])
    return int(numbers[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].min())  # the newest source of the four
