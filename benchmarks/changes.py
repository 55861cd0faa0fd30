"""What rules for change find, how often they are false, and how late they are, on landscapes whose changes are known.

    python benchmarks/changes.py [--half tune|test] [--count N] [--landscapes FOLDER ...] [--forest FOLDER]

Landscapes are one chip over two and a half to three years, made with a seed, with four to six changes of 1 to 50 ha and
with what a year brings: phenology, crop rotation, wet soils, haze, missed clouds, snow, two orbits, a new processing
baseline, shifts by parts of a pixel. The halves differ in the parameters of the generator. Constants of a rule may be
chosen on the half `tune`. The half `test` is for telling figures, and for nothing else.

An observation is a square of 640 m on a night on which at least half of it is valid; the first year is history.
`--nuisance NAME` makes a world that only has this one (or `none`), `--without NAME` one that has all others, and
`--each-nuisance` runs one world after another. `--parts` also runs the rule with each of its parts left out.
`--landscapes` takes folders with `items.json`, rasters and `truth.npz`; `--save FOLDER` writes made ones so.
`--forest` counts fellings in a real forest (see harness/forest.py). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from harness.change_forest import SINGLE, forest_counts
from harness.change_plot import draw
from harness.change_rules import PATCHES, RULES, RULES_AND_PARTS, WITHOUT
from harness.change_runs import ByThreshold, Made, Result, Stored, run_all, totals
from harness.change_scores import HECTARES, Counts
from harness.landscapes import FAMILIES, HALVES, NUISANCES, Nuisances, save
from rich.console import Console
from rich.table import Table

NONE: Final = "none"
WANTED_FALSE: Final = 5  # per 10,000 observations
_COLUMNS: Final = ("found", "false / 10,000", "false / 1,000 km² and year", "precision", "delay")


def main() -> None:
    """Run the rules, print tables, and end with a line of JSON."""
    options = _options()
    console = Console(width=170)
    sources = _sources(options)
    if options.save:
        for source in sources:
            landscape = source.landscape()
            save(landscape, options.save / landscape.name)
            console.print(f"{landscape.name}: {len(landscape.days)} nights in {options.save / landscape.name}")
        return
    if options.each_nuisance:
        console.print(nuisance_table(options))
        return
    rules = [*options.rules, *(WITHOUT if options.parts else ())]
    total = totals(_results(console, sources, rules, options.processes))
    at_threshold = {name: total[name][RULES_AND_PARTS[name].threshold] for name in total}
    console.print(summary_table(total))
    console.print(kind_table({name: counts for name, counts in at_threshold.items() if name in RULES}))
    for name in options.rules:
        console.print(curve_table(name, total[name]))
    if options.plot:
        draw(options.plot, {name: total[name] for name in options.rules})
    figures: dict[str, object] = {"landscapes": len(sources)}
    for name, counts in at_threshold.items():
        figures |= counts.figures(RULES_AND_PARTS[name].prefix)
    if options.forest:
        figures |= _forest(console, options.forest, options.rules)
    print(json.dumps(figures))


def _results(console: Console, sources: Sequence[Made | Stored], rules: Sequence[str], processes: int) -> list[Result]:
    """Run rules, and print a line a landscape."""
    results = []
    for result in run_all(sources, rules, processes):
        results.append(result)
        at_rule = [f"{name} {_short(by[RULES[name].threshold])}" for name, by in result.counts.items() if name in RULES]
        console.print(f"{result.name}: {'; '.join(at_rule)}")
    return results


def _forest(console: Console, folder: Path, rules: Sequence[str]) -> dict[str, int]:
    """Print what rules find in the forest, and return keys of the JSON."""
    figures: dict[str, int] = {}
    for name, by_limit in forest_counts(folder, [*rules, *([SINGLE] if PATCHES.name in rules else ())]).items():
        for limit, count in by_limit.items():
            console.print(f"forest, {name} at {limit:g}: {count.found} of {count.felled} found, {count.false} false")
        if name == SINGLE:
            continue
        chosen = by_limit[RULES[name].threshold]
        figures |= {f"{RULES[name].prefix}forest_{key}": value for key, value in vars(chosen).items()}
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--half",
        choices=HALVES,
        default="test",
        help="family of landscapes: `tune` may be used for choosing the constants of a rule, `test` never",
    )
    parser.add_argument("--count", type=int, default=24, help="number of landscapes of the half, at most 24")
    parser.add_argument("--landscapes", type=Path, nargs="+", default=[], metavar="FOLDER", help="take these instead")
    parser.add_argument("--nuisance", choices=(NONE, *NUISANCES), help="a world with this nuisance alone")
    parser.add_argument("--without", choices=NUISANCES, help="a world with all nuisances but this")
    parser.add_argument(
        "--each-nuisance", action="store_true", help="a table of worlds with one nuisance each, and stop"
    )
    parser.add_argument("--parts", action="store_true", help="run the rule without each of its parts as well")
    parser.add_argument("--rules", nargs="+", choices=tuple(RULES), default=list(RULES), help="rules that are run")
    parser.add_argument("--forest", type=Path, metavar="FOLDER", help="the unpacked wheel of nrt 0.2.1")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the curves as PNG")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the landscapes below this folder, and stop")
    parser.add_argument("--processes", type=int, default=2, help="landscapes at once; each takes about 1 GiB")
    return parser.parse_args()


def _sources(options: argparse.Namespace) -> Sequence[Made | Stored]:
    if options.landscapes:
        return [Stored(folder) for folder in options.landscapes]
    nuisances = Nuisances()
    if options.nuisance:
        nuisances = _world(options.nuisance)
    if options.without:
        nuisances = nuisances.without(options.without)
    return _made(options, nuisances)


def _world(name: str) -> Nuisances:
    return Nuisances.none() if name == NONE else Nuisances.only(name)


def _made(options: argparse.Namespace, nuisances: Nuisances) -> list[Made]:
    return [Made(options.half, seed, nuisances) for seed in FAMILIES[options.half].seeds[: options.count]]


def _short(counts: Counts) -> str:
    return f"{counts.found.sum()} of {len(counts.found)} found, {counts.false} false"


def summary_table(total: Mapping[str, ByThreshold]) -> Table:
    """Return a table with a row a rule at its threshold, and the most that it finds at few false alarms."""
    table = Table(title="At each rule's threshold")
    sizes = [f"{low:g}-{high:.0f} ha" for low, high in HECTARES]
    wanted = f"found at {WANTED_FALSE} false"
    for column in ("rule", *_COLUMNS, *sizes, wanted):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for name, by_threshold in total.items():
        counts = by_threshold[RULES_AND_PARTS[name].threshold]
        by_size = [counts.recall_of((counts.hectares >= low) & (counts.hectares < high)) for low, high in HECTARES]
        best = max((one.recall for one in by_threshold.values() if one.false_per_10000 <= WANTED_FALSE), default=0.0)
        table.add_row(name, *_cells(counts), *(f"{value:.2f}" for value in by_size), f"{best:.2f}")
    return table


def nuisance_table(options: argparse.Namespace) -> Table:
    """Return a table with a row a world: none of the nuisances, each alone, and all of them."""
    table = Table(title=f"{PATCHES.name}, by nuisance")
    for column in ("nuisance", *_COLUMNS):
        table.add_column(column, justify="left" if column == "nuisance" else "right")
    worlds = {name: _world(name) for name in (NONE, *NUISANCES)} | {"all": Nuisances()}
    for name, nuisances in worlds.items():
        total = totals(list(run_all(_made(options, nuisances), [PATCHES.name], options.processes)))
        table.add_row(name, *_cells(total[PATCHES.name][PATCHES.threshold]))
    return table


def _cells(counts: Counts) -> list[str]:
    return [
        f"{counts.recall:.2f}",
        f"{counts.false_per_10000:.1f}",
        f"{counts.false_per_1000_km2_year:.0f}",
        f"{counts.precision:.2f}",
        f"{counts.delay_days:.0f} d",
    ]


def kind_table(at_threshold: dict[str, Counts]) -> Table:
    """Return a table with a row a kind of change: how many there are, and the share that each rule found."""
    table = Table(title="Found by kind")
    table.add_column("kind")
    for column in ("changes", *at_threshold):
        table.add_column(column, justify="right")
    some = next(iter(at_threshold.values()))
    for kind in np.unique(some.kind):
        found = [f"{counts.recall_of(counts.kind == kind):.2f}" for counts in at_threshold.values()]
        table.add_row(str(kind), str(int((some.kind == kind).sum())), *found)
    return table


def curve_table(name: str, by_threshold: ByThreshold) -> Table:
    """Return a table with a row a threshold of a rule."""
    table = Table(title=f"{name}, by threshold")
    for column in ("threshold", *_COLUMNS):
        table.add_column(column, justify="right")
    for limit, counts in by_threshold.items():
        table.add_row(f"{limit:g}", *_cells(counts))
    return table


if __name__ == "__main__":
    main()
