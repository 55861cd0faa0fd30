"""How near filled pixels come to the truth: holes in nights whose pixels are known.

    python benchmarks/filling.py [--scenes FOLDER] [--forest FOLDER] [--picture FILE]

Holes have the shape of clouds of other dates. Always: synthetic landscapes in all bands. With `--scenes`, the three
dates of tile 33TWL at 120 m (folder 33TWL-120m of the sample data). With `--forest`, 140 dates of a forest, the data
of `pip download --no-deps nrt==0.2.1`, unzipped. Methods: `none` and `peers` of CHIPLAKE_FILL_ADJUST, the latter with
and without suspects (CHIPLAKE_FILL_SUSPECTS); the median of the three newest earlier values; and a composite, which is
the median of those of 60 days. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from harness.floors import VALID
from harness.holes import Case, Night, age_class, forest_cases, landscape_cases, landscape_nights, tile_cases
from harness.timing import REPEATS
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from chiplake.demo.picture import stretch_rgb
from lakehouse.bands import BAND_BY_NAME, CLOUD_DISTANCE, SCL
from python_udfs.codec import encode_array, encode_layers
from python_udfs.fill.cell_fold import CellFold
from python_udfs.fill.fold import Source
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four, cloud_distance
from python_udfs.validity_rule import DecodedChip

NONE, PEERS, SUSPECTS, MEDIAN, COMPOSITE, TRUTH = (
    *("none", "peers", "peers, suspects"),
    *("median of 3", "composite", "truth"),
)
# `adjust` and `suspects` of the rule of each method that fills.
RULES: Final = {NONE: ("none", "none"), PEERS: ("peers", "none"), SUSPECTS: ("peers", "peers")}
METHODS: Final = (*RULES, MEDIAN, COMPOSITE)
SHOWN: Final = (*METHODS, TRUTH)
EDGES: Final = ((4, "to 4 px from the edge"), (16, "to 16 px from the edge"))
COVERS: Final = ((0.25, "holes to 25 %"), (0.5, "holes to 50 %"), (0.95, "holes to 95 %"))
TILE_PX, HEAD_PX = 240, 26  # of the picture
COMPOSITE_DAYS: Final = 60  # a composite has the nights of so many days before
EPOCH: Final = datetime(2023, 1, 1, tzinfo=UTC)

Bands = Mapping[str, BandPixels]


@dataclass
class Errors:
    """Errors of one method, of one hole each; every hole counts alike."""

    of_reflectance: list[float] = field(default_factory=list)  # relative, mean of the bands
    of_ndvi: list[float] = field(default_factory=list)

    def add(self, filled: Bands, truth: Bands, where: Mask) -> None:
        """Add the pixels of a hole, a (256, 256) mask."""
        relative = []
        for name, pixels in truth.items():
            mask = of_band(where, name)
            true = pixels[mask].astype(np.float64)
            relative.append(float(np.abs(filled[name][mask] - true).sum() / true.sum()))
        self.of_reflectance.append(float(np.mean(relative)))
        self.of_ndvi.append(float(np.abs(ndvi_at(filled, where) - ndvi_at(truth, where)).mean()))

    @property
    def reflectance(self) -> float:
        """Mean error relative to the reflectance."""
        return float(np.mean(self.of_reflectance))

    @property
    def ndvi(self) -> float:
        """Mean error of NDVI."""
        return float(np.mean(self.of_ndvi))


@dataclass
class Seams:
    """Mean differences of neighbouring pixels of 10 m bands: across the edge of a hole, and inside of it."""

    across: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)

    def add(self, bands: Bands, case: Case) -> None:
        """Add the means of one night."""
        for pixels in fine(bands).values():
            across, inside = jumps(pixels.astype(np.float64), case.is_known, case.night.valid)
            if across.size and inside.size:
                self.across.append(float(across.mean()))
                self.inside.append(float(inside.mean()))

    @property
    def ratio(self) -> float:
        """Jump across the edge relative to that inside."""
        return float(np.sum(self.across) / np.sum(self.inside))


def jumps(pixels: NDArray[np.float64], filled: Mask, own: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the differences of neighbouring pixels, one filled and one own; and both filled."""
    across, inside = [], []
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ((slice(1, None),), (slice(-1),)),
    ):
        step = np.abs(pixels[one] - pixels[other])
        across.append(step[(filled[one] & own[other]) | (own[one] & filled[other])])
        inside.append(step[filled[one] & filled[other]])
    return np.concatenate(across), np.concatenate(inside)


def of_band(mask: Mask, name: str) -> Mask:
    """Return a (256, 256) mask on the grid of a band."""
    return mask if BAND_BY_NAME[name].gsd == 10 else any_of_four(mask)


def ndvi_at(bands: Bands, where: Mask) -> NDArray[np.float64]:
    """Return the NDVI of the pixels of a (256, 256) mask."""
    red, nir = (bands[name][where].astype(np.float64) for name in ("red", "nir"))
    result: NDArray[np.float64] = (nir - red) / np.maximum(nir + red, 1)
    return result


def fill(case: Case, method: str) -> Bands:
    """Fill the hole as fct_filled_chips does, and check that no valid pixel of the night has changed."""
    fold = CellFold(rule_of(method))
    for night in (*case.earlier, case.night):
        fold.take(source_of(night), DecodedChip(dict(night.bands), night.scl, night.valid))
    bands = fold.result().bands
    for name, pixels in case.night.bands.items():
        own = of_band(case.night.valid, name)
        if not np.array_equal(bands[name][own], pixels[own]):
            raise SystemExit(f"{case.series}: {method} changed valid pixels of {name}")
    return bands


def rule_of(method: str) -> str:
    """Return the rule of a method that fills, JSON."""
    adjust, suspects = RULES[method]
    return json.dumps(
        {
            "method": "newest-valid-v1",
            "max_age_days": 60,
            "valid_scl_classes": VALID,
            "cloud_dilation_pixels": 0,
            "adjust": adjust,
            "suspects": suspects,
            "min_complete": 1.0,
        }
    )


def median_of(nights: Sequence[Night]) -> Bands | None:
    """Return the median of the valid values of each pixel, as xarray would; None with fewer than three nights."""
    if len(nights) < 3:
        return None
    filled = {}
    for name in nights[-1].bands:
        seen = [of_band(night.valid, name) for night in nights]
        values = np.stack([night.bands[name] for night in nights]).astype(np.float32)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that is never valid
            middle = np.nanmedian(np.where(np.stack(seen), values, np.nan), axis=0)
        filled[name] = np.nan_to_num(middle).astype(np.uint16)
    return filled


def source_of(night: Night) -> Source:
    """Name a night."""
    return Source(f"day {night.day}", EPOCH + timedelta(days=night.day))


def parts_of(case: Case) -> dict[tuple[str, str], Mask]:
    """Return the filled pixels of known truth by the series and age, the cover of the hole, and the way to its edge.

    A hole over 95 % of the chip leaves nearly nothing to adjust by, and has a part of its own.
    """
    hole = ~case.night.valid
    share = float(hole[case.truth["red"] > 0].mean())
    if share > COVERS[-1][0]:
        return {("all", "holes over 95 %"): case.is_known}
    cover = next(name for limit, name in COVERS if share <= limit)
    parts = {(case.series, age_class(case.age_days)): case.is_known, ("all", cover): case.is_known}
    left, done = hole, 0
    for limit, name in EDGES:
        inner = left
        for _ in range(limit - done):
            inner = shrunk(inner)
        parts["all", name] = case.is_known & left & ~inner
        left, done = inner, limit
    parts["all", "farther from the edge"] = case.is_known & left
    return {key: mask for key, mask in parts.items() if mask.any()}


def shrunk(mask: Mask) -> Mask:
    """Return a mask without the pixels at its edge."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


@dataclass
class Measured:
    """Errors by part and method, and seams by series and method."""

    errors: dict[tuple[str, str], dict[str, Errors]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Errors))
    )
    seams: dict[str, dict[str, Seams]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Seams)))

    def add(self, case: Case) -> None:
        """Fill one hole by each method."""
        since = case.night.day - COMPOSITE_DAYS
        methods: dict[str, Bands | None] = {
            **{method: fill(case, method) for method in RULES},
            MEDIAN: median_of(case.earlier[-3:]),
            COMPOSITE: median_of([night for night in case.earlier if night.day >= since]),
            TRUTH: case.truth,
        }
        parts = parts_of(case)
        for method, bands in methods.items():
            if bands is None:
                continue
            if (case.series, age_class(case.age_days)) in parts:
                self.seams[case.series][method].add(bands, case)
            for part, where in parts.items():
                if method != TRUTH:
                    self.errors[part][method].add(bands, case.truth, where)

    def relative(self, series: str, method: str = PEERS, to: str = NONE) -> dict[str, float]:
        """Return the error of a method relative to that of another, by class of age of one series."""
        return {
            part[1]: round(by_method[method].reflectance / by_method[to].reflectance, 3)
            for part, by_method in self.errors.items()
            if part[0] == series
        }


def milliseconds_a_chip(method: str) -> float:
    """Return the CPU time of filling a chip of ten bands, with what is under 35 % of clouds, from and to frames.

    Args:
        method: one that fills.
    """
    chips = [frames_of(night) for night in landscape_nights()]

    def run() -> float:
        start = time.process_time()
        fold = CellFold(rule_of(method))
        for chip in chips:
            fold.add(chip)
            fold.filled({})
        return (time.process_time() - start) / len(chips) * 1000

    run()
    return min(run() for _ in range(REPEATS))


def frames_of(night: Night) -> dict[str, Any]:
    """Return a night as a row of fct_chips."""
    layers = encode_layers({**night.bands, SCL: night.scl})
    source = source_of(night)
    ids = {"chip_id": source.chip_id, "acquired_at": source.acquired_at}
    return {**layers, CLOUD_DISTANCE: encode_array(cloud_distance(night.scl)), **ids}


def draw(path: Path, cases: Iterable[Case]) -> None:
    """Write a PNG with a row a case: the night with its hole, `none`, `peers`, the truth, and the errors of both."""
    columns = ("with a hole", "none", "peers", "truth", "error of none", "error of peers")
    rows = list(cases)
    page = Image.new("RGB", (TILE_PX * len(columns), HEAD_PX + (TILE_PX + HEAD_PX) * len(rows)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, column in enumerate(columns):
        pen.text((number * TILE_PX + 4, 4), column, "black", font)
    for number, case in enumerate(rows):
        top = HEAD_PX + number * (TILE_PX + HEAD_PX)
        caption = f"{case.series}, {case.age_days} days; error: black 0, white 50 %"
        pen.text((4, top + 4), caption, "black", font)
        for place, image in enumerate(pictures_of(case)):
            page.paste(image.resize((TILE_PX - 8, TILE_PX - 8)), (place * TILE_PX + 4, top + HEAD_PX + 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(192).save(path, optimize=True)


def pictures_of(case: Case) -> list[Image.Image]:
    """Return the pictures of a row, cut to the rows and columns with data."""
    filled = {method: fill(case, method) for method in (NONE, PEERS)}
    hole = {name: np.where(case.night.valid, pixels, 0).astype(np.uint16) for name, pixels in fine(case.truth).items()}
    pictures = [rgb(bands) for bands in (hole, filled[NONE], filled[PEERS], case.truth)]
    pictures += [error_picture(fine(filled[method]), case) for method in (NONE, PEERS)]
    side = 1 + int(np.argwhere(case.truth["red"]).max())
    return [Image.fromarray(picture[:side, :side]) for picture in pictures]


def fine(bands: Bands) -> Bands:
    """Return the bands of 10 m."""
    return {name: pixels for name, pixels in bands.items() if BAND_BY_NAME[name].gsd == 10}


def rgb(bands: Bands) -> NDArray[np.uint8]:
    """Return a picture in true colours."""
    return stretch_rgb(bands["red"], bands["green"], bands["blue"])


def error_picture(filled: Bands, case: Case) -> NDArray[np.uint8]:
    """Return the mean relative error of the bands in grey: black at 0, white at 50 %."""
    parts = [
        np.abs(filled[name].astype(np.float32) - true) / np.maximum(true, 1) for name, true in fine(case.truth).items()
    ]
    grey = np.clip(np.mean(parts, axis=0) * 2, 0, 1) * case.is_known * 255
    return np.repeat(grey.astype(np.uint8)[..., np.newaxis], 3, axis=2)


def print_tables(measured: Measured) -> None:
    """Print the errors and the seams."""
    table = Table("pixels", "holes", *METHODS, *(f"{method}, NDVI" for method in METHODS))
    for part, by_method in sorted(measured.errors.items()):
        errors = [by_method.get(method) for method in METHODS]
        table.add_row(
            ", ".join(part),
            str(len(by_method[NONE].of_ndvi)),
            *(f"{one.reflectance:.3f}" if one else "" for one in errors),
            *(f"{one.ndvi:.4f}" if one else "" for one in errors),
        )
    Console().print(table)
    table = Table("seam, relative to inside", *SHOWN)
    for series, by_name in measured.seams.items():
        table.add_row(series, *(f"{by_name[name].ratio:.2f}" if name in by_name else "" for name in SHOWN))
    Console().print(table)


def main(scenes: Path | None, forest: Path | None, picture: Path | None) -> dict[str, Any]:
    """Measure everything and print it."""
    measured, shown = Measured(), dict[str, Case]()
    for cases in (
        tile_cases(scenes) if scenes else (),
        forest_cases(forest) if forest else (),
        landscape_cases(),
    ):
        for case in cases:
            measured.add(case)
            best = shown.setdefault(case.series, case)
            if abs(case.is_known.mean() - 0.4) < abs(best.is_known.mean() - 0.4):
                shown[case.series] = case
    print_tables(measured)
    if picture:
        draw(picture, shown.values())
    costs = {method: milliseconds_a_chip(method) for method in RULES}
    Console().print(f"a chip of ten bands, ms of one core: {costs}")
    seams = {series: round(one[SUSPECTS].ratio, 3) for series, one in measured.seams.items()}
    clear, cloudy = (measured.relative(f"tile, {sky} source") for sky in ("clear", "cloudy"))
    return {
        "benchmark": "filling",
        "peers_error_vs_none_clear": next(iter(clear.values()), None),
        "peers_error_vs_none_cloudy": next(iter(cloudy.values()), None),
        "peers_error_vs_none_forest": measured.relative("forest"),
        "peers_error_vs_none_landscape": measured.relative("landscape"),
        "suspects_error_vs_peers_forest": measured.relative("forest", SUSPECTS, PEERS),
        "suspects_error_vs_peers_missed_clouds": measured.relative("landscape, missed clouds", SUSPECTS, PEERS),
        "seam_jump_ratio": max((seams[name] for name in seams if name.startswith("tile")), default=None),
        "seam_jump_ratio_by_series": seams,
        "seam_jump_ratio_of_truth": {series: round(one[TRUTH].ratio, 3) for series, one in measured.seams.items()},
        "none_ms": round(costs[NONE], 2),
        "peers_extra_ms": round(costs[PEERS] - costs[NONE], 2),
        "suspects_extra_ms": round(costs[SUSPECTS] - costs[PEERS], 2),
    }


def sample_scenes() -> Path | None:
    """Return the scenes of the sample data, if CHIPLAKE_SAMPLE_DATA names it."""
    folder = Path(os.environ.get("CHIPLAKE_SAMPLE_DATA", "")) / "sentinel-2" / "33TWL-120m"
    return folder if folder.is_dir() else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how near filled pixels come to the truth.")
    parser.add_argument("--scenes", type=Path, default=sample_scenes(), help="folder of the three dates of 33TWL")
    parser.add_argument("--forest", type=Path, default=None, help="folder with the unpacked wheel of nrt 0.2.1")
    parser.add_argument("--picture", type=Path, default=None, help="PNG to write")
    given = parser.parse_args()
    print(json.dumps(main(given.scenes, given.forest, given.picture)))
