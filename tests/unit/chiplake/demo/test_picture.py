"""The demo's picture shows the pixels and scores that it gets."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chiplake.demo.picture import CellRow, CellScore, ChangeMap, ChipPicture, draw, ramp_colour, stretch_rgb


def test_the_stretch_is_monotonic_and_keeps_nodata_black() -> None:
    values = np.array([[0, 200, 1000, 3200, 9000]], dtype=np.uint16)
    picture = stretch_rgb(values, values, values)
    assert picture.dtype == np.uint8
    assert picture.shape == (1, 5, 3)
    shades = picture[0, :, 0].tolist()
    assert shades[0] == 0
    assert shades == sorted(shades)
    assert shades[-2:] == [255, 255]


def test_the_picture_shows_missing_pixels_and_outlines(tmp_path: Path) -> None:
    valid = np.zeros((256, 256), dtype=np.bool_)
    valid[:, 128:] = True
    grey = np.full((256, 256, 3), 90, dtype=np.uint8)
    chips = tuple(ChipPicture(date(2023, 8, day), grey, grey, valid, valid) for day in (5, 10, 15, 20, 25))
    change_map = ChangeMap(
        day=date(2023, 8, 25),
        cells=(CellScore("a", 10, 20, 12.5, 0.3, True), CellScore("b", 12, 21, None, None, False)),
        planted_cells=("a", "not on the map"),
        min_score=6.0,
        min_distance=0.01,
        model_id="clay-seeded-tiny",
        is_untrained=True,
    )
    path = draw(tmp_path / "pictures" / "demo.png", [CellRow("a", chips)], change_map)
    with Image.open(path) as image:
        assert image.width == 1400
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    magenta = (pixels == (255, 0, 200)).all(axis=1).sum()
    shown = sum(chip.valid_after.size for chip in chips) * (237 / 256) ** 2
    assert magenta == pytest.approx(shown / 2, rel=0.1)
    for colour in ((0, 150, 255), ramp_colour(12.5 / 15)):
        assert (pixels == colour).all(axis=1).sum() > 500


def test_the_colour_ramp_darkens_steadily_and_clips() -> None:
    lightness = [sum(ramp_colour(share)) for share in np.linspace(0, 1, 30)]
    assert lightness == sorted(lightness, reverse=True)
    assert ramp_colour(-3) == ramp_colour(0)
    assert ramp_colour(7) == ramp_colour(1)
