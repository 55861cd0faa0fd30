"""How near filled pixels come to the truth: holes in nights whose pixels are known.

    python benchmarks/filling.py [--scenes FOLDER] [--forest FOLDER] [--picture FILE]

Holes have the shape of clouds of other dates. Always: synthetic landscapes in all bands. With `--scenes`, the three
dates of tile 33TWL at 120 m (folder 33TWL-120m of the sample data). With `--forest`, 140 dates of a forest, the data
of `pip download --no-deps nrt==0.2.1`, unzipped. Methods: `none` and `peers` of CHIPLAKE_FILL_ADJUST, the latter with
and without suspects (CHIPLAKE_FILL_SUSPECTS); the median of the three newest earlier values; and a composite, which is
the median of those of 60 days.

The distance of the embedding of a filled chip to that of the clear chip is measured with untrained weights, by the
seeded encoder of the demo and by others. With `--scenes`, odc-stac and xarray also fill the holes of the tile, as a
notebook does; their time is measured beside that of Chiplake, on the same files. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from harness.embedding_distance import DEMO, Distances, distance_table, embedding_distances, encoders
from harness.errors import Measured, error_table, fine, seam_table
from harness.fills import METHODS, NONE, PEERS, RULES, SUSPECTS, TRUTH, Bands, fill, fills_of, rule_of, source_of
from harness.holes import TILE_SOURCES, Case, Night, forest_cases, landscape_cases, landscape_nights, tile_cases
from harness.timing import REPEATS
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from chiplake.demo.picture import stretch_rgb
from embedding.wire import UNTRAINED
from lakehouse.bands import CLOUD_DISTANCE, SCL
from python_udfs.codec import encode_array, encode_layers
from python_udfs.fill.cell_fold import CellFold
from python_udfs.valid_pixels import cloud_distance

SHOWN: Final = (*METHODS, TRUTH)
TILE_PX, HEAD_PX = 240, 26  # of the picture
EMBEDDED: Final = 5  # every fifth hole of the tile is embedded
COMPARED: Final = {**TILE_SOURCES, "tile, both sources": (10, 13)}  # series that odc-stac fills too
FORWARDS, MEDIAN_OF_DATES = "odc-stac, forwards", "odc-stac, median"


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


def embedded_cases(scenes: Path | None) -> Iterator[Case]:
    """Yield the holes whose chips are embedded: those of landscapes, in ten bands, and some of the tile, in four."""
    yield from landscape_cases()
    if scenes:
        whole = (case for case in tile_cases(scenes) if all(pixels.all() for pixels in case.truth.values()))
        yield from islice(whole, 0, None, EMBEDDED)


def embedding_keys(found: Mapping[str, Distances]) -> dict[str, Any]:
    """Return the keys of the JSON for the distances of one encoder by series."""
    by_series = {
        series: {name: round(value, 4) for name, value in distances.all_of_none().items()}
        for series, distances in found.items()
    }
    return {
        "peers_embedding_distance_vs_none": by_series["landscape"][PEERS],
        "embedding_distance_vs_none_by_series": by_series,
        "embedding_weights": UNTRAINED,
    }


def beside_notebook(scenes: Path | None) -> dict[str, Any]:
    """Fill the holes of the tile also with odc-stac and xarray, print errors and seconds, and return keys of the JSON.

    Args:
        scenes: folder of the three dates of the tile.

    Raises:
        SystemExit: filling forwards with xarray gives other pixels than `none`.
    """
    if scenes is None:
        Console().print("odc-stac and xarray are left out: --scenes or CHIPLAKE_SAMPLE_DATA must name real scenes")
        return {}
    from harness import notebook  # which needs the extra `bench`, and a second to import

    measured, in_holes = Measured(), notebook.Agreement()
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder:
        items = notebook.write_items(scenes, Path(folder) / "scenes")
        dates = notebook.load(items, notebook.corner_geobox())
        for case in tile_cases(scenes, COMPARED):
            chip = notebook.scenes_of(case, dates)
            filled: dict[str, Bands] = {method: fill(case, method) for method in RULES}
            filled[FORWARDS] = notebook.bands_of(notebook.filled_forwards(chip).isel(time=-1))
            filled[MEDIAN_OF_DATES] = notebook.bands_of(notebook.median(chip))
            in_holes.add(filled[NONE], filled[FORWARDS], ~case.night.valid)
            measured.add(case, filled)
        seconds, in_files = notebook.seconds_of_files(items)
    Console().print(error_table(measured, (*RULES, FORWARDS, MEDIAN_OF_DATES)))
    table = Table(f"{notebook.whole_cells().cells * len(items)} chips of four bands", "seconds of CPU time")
    for step, taken in seconds.items():
        table.add_row(step, f"{taken:.2f}")
    Console().print(table)
    Console().print(f"none beside filling forwards, pixels of holes: {in_holes}; of whole chips: {in_files}")
    if differences := in_holes.different + in_files.different:
        raise SystemExit(f"filling forwards with xarray differs from none in {differences} pixels")
    return {
        "peers_error_vs_odc_stac_forwards": {
            series: next(iter(measured.relative(series, PEERS, FORWARDS).values())) for series in COMPARED
        },
        "pixels_as_odc_stac_forwards": in_holes.compared + in_files.compared,
        "seconds_beside_odc_stac": {step: round(taken, 2) for step, taken in seconds.items()},
    }


def main(scenes: Path | None, forest: Path | None, picture: Path | None) -> dict[str, Any]:
    """Measure everything and print it."""
    measured, shown = Measured(), dict[str, Case]()
    for cases in (
        tile_cases(scenes) if scenes else (),
        forest_cases(forest) if forest else (),
        landscape_cases(),
    ):
        for case in cases:
            measured.add(case, fills_of(case))
            best = shown.setdefault(case.series, case)
            if abs(case.is_known.mean() - 0.4) < abs(best.is_known.mean() - 0.4):
                shown[case.series] = case
    Console().print(error_table(measured, METHODS))
    Console().print(seam_table(measured, SHOWN))
    if picture:
        draw(picture, shown.values())
    costs = {method: milliseconds_a_chip(method) for method in RULES}
    Console().print(f"a chip of ten bands, ms of one core: {costs}")
    distances = embedding_distances(embedded_cases(scenes), encoders())
    Console().print(distance_table(distances))
    notebook_keys = beside_notebook(scenes)
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
        **embedding_keys(distances[DEMO]),
        **notebook_keys,
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
