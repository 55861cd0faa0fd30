"""The demo's picture: chips before and after filling, and a map of change scores.

All input is plain numbers and arrays, so the picture can show the results of any run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from embedding.wire import UNTRAINED
from lakehouse.bands import CHIP_SIZE_M

Colour = tuple[int, int, int]
RGB = NDArray[np.uint8]  # (rows, cols, 3)
Mask = NDArray[np.bool_]  # (rows, cols)

_WIDTH: Final = 1400
_MARGIN: Final = 36
_LABEL: Final = 92  # width of the column left of the chips, pixels
_GAP: Final = 10
_MAP_HEIGHT: Final = 560
_LEGEND: Final = 300  # width of the column right of the map, pixels

_PAPER: Final = (252, 252, 250)
_INK: Final = (28, 32, 38)
_MUTED: Final = (104, 112, 122)
_FAINT: Final = (214, 217, 221)
_MISSING: Final = (255, 0, 200)
_UNSCORED: Final = (236, 237, 239)
_CHANGED: Final = (16, 18, 22)
_PLANTED: Final = (0, 150, 255)
# From low to high scores. Lightness falls throughout, so that the map can also be read in grey.
_RAMP: Final = ((255, 247, 224), (254, 217, 142), (253, 162, 78), (229, 92, 48), (165, 24, 38), (92, 6, 40))


@dataclass(frozen=True)
class ChipPicture:
    """One chip before and after filling."""

    day: date
    rgb_before: RGB  # (256, 256, 3), black where nodata
    rgb_after: RGB  # (256, 256, 3)
    valid_before: Mask  # (256, 256), valid as acquired
    valid_after: Mask  # (256, 256), valid or filled


@dataclass(frozen=True)
class CellRow:
    """Return the chips of one cell, oldest first: a row of the picture."""

    cell_id: str
    chips: tuple[ChipPicture, ...]


@dataclass(frozen=True)
class CellScore:
    """One cell of the map of changes."""

    cell_id: str
    col: int
    row: int
    score: float | None  # robust score of the change; None: not comparable or too little history
    distance: float | None  # cosine distance to the predecessor
    is_change: bool


@dataclass(frozen=True)
class ChangeMap:
    """Return the map of change scores of one day."""

    day: date
    cells: tuple[CellScore, ...]  # cells without a score are drawn empty
    planted_cells: tuple[str, ...]  # cell_ids of the planted change
    min_score: float  # the lowest score of a change, which the legend marks
    min_distance: float  # the lowest cosine distance of a change
    model_id: str
    is_untrained: bool  # the model's weights are seeded; the picture states it


def stretch_rgb(red: NDArray[np.uint16], green: NDArray[np.uint16], blue: NDArray[np.uint16]) -> RGB:
    """Stretch bands (rows, cols), reflectance x 10,000, to a picture (rows, cols, 3); nodata (0) stays black."""
    bands = np.stack([red, green, blue], axis=-1).astype(np.float32)
    light = np.clip(bands / np.float32(3200), 0, 1) ** np.float32(0.72)
    return np.asarray(np.rint(light * 255), dtype=np.uint8)


def draw(path: Path, rows: Sequence[CellRow], change_map: ChangeMap) -> Path:
    """Write a PNG: chips before and after filling by date, then the map of change scores.

    Args:
        path: PNG to write; its folder is made if it does not exist.
        rows: one to three cells, each with the same number of chips.
        change_map: the scores.

    Returns:
        The path.
    """
    panels = [*(_chips_panel(row) for row in rows), _map_panel(change_map)]
    has_missing_pixels = any(not chip.valid_after.all() for row in rows for chip in row.chips)
    header = _header(has_missing_pixels)
    page = Image.new("RGB", (_WIDTH, header.height + sum(panel.height for panel in panels) + _MARGIN // 2), _PAPER)
    top = 0
    for panel in (header, *panels):
        page.paste(panel, (0, top))
        top += panel.height
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, optimize=True)
    return path


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _header(has_missing_pixels: bool) -> Image.Image:
    panel = Image.new("RGB", (_WIDTH, 104), _PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((_MARGIN, 28), "Chiplake demo", _INK, _font(30))
    text = "Chips of 2,560 m as acquired, and the same chips with gaps filled from earlier dates"
    pen.text((_MARGIN, 70), text, _MUTED, _font(17))
    if has_missing_pixels:
        key = "still missing"
        left = _WIDTH - _MARGIN - pen.textlength(key, _font(15))
        pen.text((left, 72), key, _MUTED, _font(15))
        pen.rectangle((left - 22, 73, left - 8, 87), _MISSING)
    return panel


def _chips_panel(row: CellRow) -> Image.Image:
    """Draw two strips of chips, as acquired and filled, with one column a date."""
    count = len(row.chips)
    side = min(256, (_WIDTH - 2 * _MARGIN - _LABEL - (count - 1) * _GAP) // max(1, count))
    top = 78
    line = 24  # height of the caption under a strip
    panel = Image.new("RGB", (_WIDTH, top + 2 * (side + line) + 18), _PAPER)
    pen = ImageDraw.Draw(panel)
    pen.line((_MARGIN, 8, _WIDTH - _MARGIN, 8), _FAINT)
    pen.text((_MARGIN, 22), f"Cell {row.cell_id}", _INK, _font(18))
    for strip, label in enumerate((("as", "acquired"), ("gaps", "filled"))):
        middle = top + strip * (side + line) + side // 2
        for index, word in enumerate(label):
            pen.text((_MARGIN, middle - 20 + 20 * index), word, _MUTED, _font(16))
    for index, chip in enumerate(row.chips):
        left = _MARGIN + _LABEL + index * (side + _GAP)
        pen.text((left + side / 2, 64), f"{chip.day:%d %b %Y}", _INK, _font(16), anchor="mm")
        filled = np.where(chip.valid_after[..., None], chip.rgb_after, np.array(_MISSING, dtype=np.uint8))
        for strip, (image, valid) in enumerate(((chip.rgb_before, chip.valid_before), (filled, chip.valid_after))):
            upper = top + strip * (side + line)
            panel.paste(_resized(image, side), (left, upper))
            caption = f"{_percent(float(valid.mean()))} {'valid' if strip == 0 else 'complete'}"
            pen.text((left + side / 2, upper + side + 12), caption, _MUTED, _font(14), anchor="mm")
    return panel


def _percent(share: float) -> str:
    """Format a share in percent; only exact shares become 0 or 100."""
    if 0 < share < 1:
        share = min(max(share, 0.001), 0.999)
    return f"{share:.0%}" if share in (0, 1) else f"{share:.1%}"


def _resized(image: RGB, side: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return picture if picture.width == side else picture.resize((side, side), Image.Resampling.LANCZOS)


def ramp_colour(share: float) -> Colour:
    """Return the colour of the map for a share of the highest score, clipped to 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(_RAMP) - 1)
    lower = min(int(place), len(_RAMP) - 2)
    part = place - lower
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(_RAMP[lower], _RAMP[lower + 1], strict=True))
    return red, green, blue


def _map_panel(change_map: ChangeMap) -> Image.Image:
    """Draw the grid of cells in true positions, coloured by score, with a legend on its right."""
    cells = change_map.cells or (CellScore("", 0, 0, None, None, False),)
    west, east = min(cell.col for cell in cells), max(cell.col for cell in cells) + 1
    south, north = min(cell.row for cell in cells), max(cell.row for cell in cells) + 1
    room = _WIDTH - 2 * _MARGIN - _LABEL - _LEGEND
    side = min(96, room // (east - west), _MAP_HEIGHT // (north - south))
    left, top = _MARGIN + _LABEL, 100
    bottom = top + side * (north - south)
    panel = Image.new("RGB", (_WIDTH, max(bottom + 62, top + 400)), _PAPER)
    pen = ImageDraw.Draw(panel)
    pen.line((_MARGIN, 8, _WIDTH - _MARGIN, 8), _FAINT)
    pen.text((_MARGIN, 26), f"Change scores of {change_map.day:%d %B %Y}", _INK, _font(22))
    weights = f"  ({UNTRAINED})" if change_map.is_untrained else ""
    rule = f"a change has a score of {change_map.min_score:g} and a cosine distance of {change_map.min_distance:g}"
    subtitle = f"each chip against its predecessor in the same cell; {rule}  |  {change_map.model_id}{weights}"
    pen.text((_MARGIN, 60), subtitle, _MUTED, _font(15))

    full = 2.5 * change_map.min_score  # score at the dark end of the ramp
    boxes = {}
    for cell in cells:
        x, y = left + (cell.col - west) * side, top + (north - 1 - cell.row) * side
        boxes[cell.cell_id] = (x, y, x + side - 1, y + side - 1)
        _draw_cell(pen, boxes[cell.cell_id], cell, full)
    for cell in cells:
        if cell.is_change:
            _outline(pen, boxes[cell.cell_id], _CHANGED, inset=0)
    for cell_id in sorted(set(change_map.planted_cells) & set(boxes)):
        _outline(pen, boxes[cell_id], _PLANTED, inset=5)
    _draw_axes(pen, (left, top, bottom), side, (west, east), (south, north))
    _draw_legend(pen, (_WIDTH - _MARGIN - _LEGEND + 40, top), change_map.min_score, full)
    return panel


def _draw_cell(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], cell: CellScore, full: float) -> None:
    x0, y0, x1, y1 = box
    if cell.score is None:
        pen.rectangle(box, _UNSCORED, (255, 255, 255))
        return
    share = cell.score / full
    pen.rectangle(box, ramp_colour(share), (255, 255, 255))
    if x1 - x0 >= 36:
        ink = (255, 255, 255) if share > 0.55 else _INK
        text = f"{round(cell.score, 1) + 0.0:.1f}" if abs(cell.score) < 99.5 else f"{cell.score:.0f}"
        pen.text(((x0 + x1) / 2, (y0 + y1) / 2), text, ink, _font(14), anchor="mm")


def _outline(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: Colour, inset: int) -> None:
    x0, y0, x1, y1 = box
    pen.rectangle((x0 + inset, y0 + inset, x1 - inset, y1 - inset), outline=colour, width=4)


def _draw_axes(
    pen: ImageDraw.ImageDraw,
    frame: tuple[int, int, int],
    side: int,
    cols: tuple[int, int],
    rows: tuple[int, int],
) -> None:
    """Grid columns and rows, and the extent in km, along the map's edges."""
    left, top, bottom = frame
    small = _font(13)
    for col in range(*cols):
        pen.text((left + (col - cols[0] + 0.5) * side, bottom + 12), str(col), _MUTED, small, anchor="mm")
    for row in range(*rows):
        pen.text((left - 8, top + (rows[1] - row - 0.5) * side), str(row), _MUTED, small, anchor="rm")
    km = CHIP_SIZE_M / 1000
    pen.text((left, bottom + 26), f"grid column and row, {km:g} km each; north is up", _MUTED, small)


def _draw_legend(pen: ImageDraw.ImageDraw, corner: tuple[int, int], min_score: float, full: float) -> None:
    left, top = corner
    width, height, small = 26, 210, _font(14)
    pen.text((left, top), "score", _INK, _font(16))
    upper = top + 30
    for line in range(height):
        pen.line((left, upper + line, left + width, upper + line), ramp_colour(1 - line / (height - 1)))
    for value in (0.0, min_score, full):
        y = upper + (height - 1) * (1 - value / full)
        pen.line((left + width, y, left + width + 6, y), _INK)
        label = f"{value:g}" + (" and more" if value == full else "")
        label += "  lowest score of a change" if value == min_score else ""
        pen.text((left + width + 12, y), label, _INK, small, anchor="lm")
    keys: tuple[tuple[str, Colour, Colour, int], ...] = (
        ("change found", _PAPER, _CHANGED, 4),
        ("change planted", _PAPER, _PLANTED, 4),
        ("no score: clouds, too little history,\nor not complete", _UNSCORED, _FAINT, 1),
    )
    y = upper + height + 26
    for label, inside, edge, thickness in keys:
        pen.rectangle((left, y, left + width, y + 20), inside, edge, thickness)
        pen.multiline_text((left + width + 12, y + 2), label, _INK, small, spacing=4)
        y += 36
