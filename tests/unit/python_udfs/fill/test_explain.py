"""The value of a filled pixel can be told from the raw chip."""

from __future__ import annotations

import numpy as np
import pytest
from support.fill_oracle import ALL_BANDS, Chip, Rule, decoded, fold, input_row, plain

from python_udfs.fill.explain import explain_pixel, origin_of_pixel


def nights(adjust: str) -> tuple[list[Chip], list[dict[str, object]]]:
    """Make three chips with noise, of which the last two have clouds, and fill them."""
    rng, chips = np.random.default_rng(4), [plain(day, 1000, ALL_BANDS) for day in (0, 5, 9)]
    for chip in chips:
        for pixels in chip.bands.values():
            pixels[:] = rng.integers(300, 3000, pixels.shape)
    chips[1].scl[:, :60] = 9
    chips[2].scl[30:, 20:110] = 8
    rule = Rule(adjust=adjust)
    rows = fold([input_row(chip) for chip in chips], rule)
    return chips, [{**row, "rule_version": rule.as_json()} for row in rows]


@pytest.mark.parametrize("adjust", ["none", "peers"])
def test_each_value_follows_from_the_raw_chip(adjust: str) -> None:
    chips, rows = nights(adjust)
    raw = {chip.chip_id: input_row(chip) for chip in chips}
    filled, gains = rows[-1], set()
    arrays = decoded(filled)
    for band in ("green", "swir16"):
        for row in range(3, len(arrays[band]), 11):
            for col in range(1, len(arrays[band]), 17):
                origin = origin_of_pixel(filled, band, row, col)
                assert origin is not None
                pixel = explain_pixel(filled, raw[origin], band, row, col)
                assert pixel.value == arrays[band][row, col], (band, row, col)
                gains.add((origin, pixel.gain == 1))
    is_adjusted = adjust == "peers"
    assert {(chips[2].chip_id, True), (chips[1].chip_id, not is_adjusted), (chips[0].chip_id, not is_adjusted)} <= gains


def test_another_chip_than_the_origin_is_refused() -> None:
    chips, rows = nights("peers")
    assert origin_of_pixel(rows[-1], "red", 0, 0) == chips[2].chip_id
    with pytest.raises(ValueError, match=r"the pixel is from chip-.*, not from chip-0"):
        explain_pixel(rows[-1], input_row(chips[0]), "red", 0, 0)


def test_a_missing_pixel_has_no_origin() -> None:
    (row,) = fold([input_row(plain(0, 1, ALL_BANDS, scl=9))])
    assert origin_of_pixel(row, "nir", 9, 9) is None
