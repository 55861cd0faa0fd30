"""The demo's report shows what it was given."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from chiplake.demo.report import (
    CellRow,
    CellScore,
    ChipPicture,
    DemoSummary,
    draw,
    ramp_colour,
    stretch_rgb,
    summarise,
)


def printed(summary: DemoSummary) -> str:
    stream = io.StringIO()
    summarise(summary, Console(file=stream, width=120))
    return stream.getvalue()


def a_summary(changed: tuple[str, ...], is_untrained: bool = True) -> DemoSummary:
    return DemoSummary(
        scenes=10,
        cells=84,
        chips=410,
        valid_before=0.71,
        valid_after=0.983,
        embeddings=212,
        model_id="clay-seeded-tiny",
        is_untrained=is_untrained,
        changed_cells=changed,
        planted_cells=("a", "b"),
    )


def test_the_table_says_that_seeded_weights_are_untrained() -> None:
    assert "untrained weights" in printed(a_summary(("a",)))
    assert "untrained" not in printed(a_summary(("a",), is_untrained=False))


@pytest.mark.parametrize(
    ("changed", "verdict", "others"),
    [
        ((), "not found in a, b", "0 (0 outside"),
        (("a", "z"), "found in 1 of 2 cells: a", "2 (1 outside"),
        (("b", "a"), "found in a, b", "2 (0 outside"),
    ],
)
def test_the_table_says_whether_the_planted_change_was_found(
    changed: tuple[str, ...], verdict: str, others: str
) -> None:
    text = printed(a_summary(changed))
    assert verdict in text
    assert others in text


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
    scores = [CellScore("a", 10, 20, 12.5, 0.3, True), CellScore("b", 12, 21, None, None, False)]
    path = draw(
        tmp_path / "pictures" / "demo.png",
        rows=[CellRow("a", chips)],
        scores=scores,
        planted_cells=["a", "not on the map"],
        day=date(2023, 8, 25),
        min_score=6.0,
        min_distance=0.01,
        model_id="clay-seeded-tiny",
        is_untrained=True,
    )
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
