"""Run rules for change on many landscapes, several at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.change_rules import RULES_AND_PARTS
from harness.change_scores import Counts, evaluate, observed_squares
from harness.change_series import series_of
from harness.landscapes import FAMILIES, Landscape, Nuisances, make_landscape, read_landscape

ByThreshold = dict[float, Counts]


@dataclass(frozen=True)
class Made:
    """A landscape to make."""

    half: str
    seed: int
    nuisances: Nuisances

    def landscape(self) -> Landscape:
        """Make it."""
        return make_landscape(FAMILIES[self.half], self.seed, self.nuisances)


@dataclass(frozen=True)
class Stored:
    """A landscape in a folder."""

    folder: Path

    def landscape(self) -> Landscape:
        """Read it.

        Raises:
            ChiplakeError: the folder is not a landscape of one chip.
        """
        return read_landscape(self.folder)


@dataclass(frozen=True)
class Result:
    """What rules did on one landscape: by name of the rule, then by threshold."""

    name: str
    counts: dict[str, ByThreshold]


def run(source: Made | Stored, rules: Sequence[str]) -> Result:
    """Run rules on a landscape."""
    landscape = source.landscape()
    series = series_of(landscape)
    observed = observed_squares(series.valid)
    counts = {}
    for name in rules:
        reports = RULES_AND_PARTS[name].detect(landscape, series)
        counts[name] = {
            limit: evaluate(landscape.truth, reports[limit], landscape.days, observed)
            for limit in RULES_AND_PARTS[name].thresholds
        }
    return Result(landscape.name, counts)


def run_all(sources: Sequence[Made | Stored], rules: Sequence[str], processes: int) -> Iterator[Result]:
    """Run rules on landscapes, and yield results in the order of the landscapes."""
    if processes == 1:
        yield from (run(source, rules) for source in sources)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run, sources, [rules] * len(sources))


def totals(results: Sequence[Result]) -> dict[str, ByThreshold]:
    """Return the sums of all landscapes: by name of the rule, then by threshold."""
    first = results[0].counts
    return {
        name: {limit: Counts.total(result.counts[name][limit] for result in results) for limit in by_threshold}
        for name, by_threshold in first.items()
    }
