"""The curves of rules for change as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.change_rules import RULES
from harness.change_runs import ByThreshold
from harness.change_scores import Counts

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 900, 560, 70, 30, 20, 60
_LEAST, _MOST = 0.3, 1000.0  # false alarms of the axis
_COLOURS: Final = ("#1b6ca8", "#c0392b", "#7f8c8d", "#27ae60", "#8e44ad", "#d68910", "#16a085", "#2c3e50", "#b9770e")


def draw(path: Path, curves: dict[str, ByThreshold]) -> None:
    """Write a PNG: the share of changes that each rule finds against its false alarms; a ring marks its threshold.

    Args:
        path: the file; an existing one is replaced.
        curves: by name of the rule, then by threshold.
    """
    page = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for exponent in range(4):
        x = _x(10.0**exponent)
        pen.line((x, _TOP, x, _HEIGHT - _BOTTOM), "#dddddd")
        pen.text((x - 10, _HEIGHT - _BOTTOM + 6), f"{10**exponent}", "black", font)
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        pen.line((_LEFT, y, _WIDTH - _RIGHT, y), "#dddddd")
        pen.text((_LEFT - 34, y - 9), f"{tenth / 10:.1f}", "black", font)
    pen.text((_LEFT + 180, _HEIGHT - 26), "false events per 10,000 observations of 640 m", "black", font)
    pen.text((_LEFT, 6), "share of changes found", "black", font)
    for (name, by_threshold), colour in zip(curves.items(), _COLOURS, strict=False):
        points = [_point(counts) for counts in by_threshold.values()]
        pen.line([point for point in points if point], colour, 2)
        marked = _point(by_threshold[RULES[name].threshold])
        for point in points:
            if point:
                size = 7 if point == marked else 3
                pen.ellipse(
                    (point[0] - size, point[1] - size, point[0] + size, point[1] + size), outline=colour, width=2
                )
        if marked:
            pen.text((marked[0] + 10, marked[1] + 4), name, colour, font)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(64).save(path, optimize=True)


def _point(counts: Counts) -> tuple[float, float] | None:
    if np.isnan(counts.recall) or np.isnan(counts.false_per_10000):
        return None
    return _x(counts.false_per_10000), _y(counts.recall)


def _x(false: float) -> float:
    place = np.log(np.clip(false, _LEAST, _MOST) / _LEAST) / np.log(_MOST / _LEAST)
    return float(_LEFT + place * (_WIDTH - _LEFT - _RIGHT))


def _y(recall: float) -> float:
    return _HEIGHT - _BOTTOM - recall * (_HEIGHT - _TOP - _BOTTOM)
