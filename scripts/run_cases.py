"""Run imagery cases through the pipeline and compare chips and words with what is right.

    python scripts/run_cases.py --cases FOLDER [NAME …] [--without NAME] [--work FOLDER]

The folder holds `bugs.py`, a program that makes cases: `make NAME|all OUT` writes `OUT/NAME/input`, which is ingested,
`expected.json` and, where chips are expected, `expected.npz`; `serve OUT/NAME PORT` answers as the STAC API of a case
named `api_…`. All cases with chips go into one lake, which is cut twice. Cases that expect only an item have a lake of
their own that is not cut, because their addresses lead nowhere. The exit code is 1 if a case is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiplake.jobs import Window, run_job
from chiplake.output import print_line, print_table
from ingestion import IngestRequest, ingest
from lakehouse.bands import BAND_BY_NAME, SCL
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings, get_settings
from lakehouse.settings.variables import ENV_FILE_VARIABLE
from lakehouse.source_schemas import STAC_ITEMS, STAC_REJECTS
from python_udfs.codec import decode_array

MAKER: Final = "bugs.py"
# Settings of single cases, by the name of their dbt variable.
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {"alternate_s3": {"stac_href_order": ("s3", "https")}}
_MAX_CLOUD: Final = 20  # percent; what the cases of an API are asked for
_MAX_FAULTS: Final = 3  # named in a line of the table
_FRACTIONS: Final = ("valid_fraction", "cloud_fraction", "nodata_fraction")
_COMMAND: Final = (sys.executable, "-c", "from chiplake.cli.main import main; main()")

Array = NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A case: what is ingested, and what is right."""

    folder: Path
    result: str  # "chips", "item" or "reject"
    facts: Row  # columns of the item or its scenes; "red": the address of that asset; "count": number of items
    words: tuple[str, ...]  # what the reject says
    may_reject: bool  # a reject is right, too

    @property
    def name(self) -> str:
        """The name of the case."""
        return self.folder.name

    @property
    def input(self) -> Path:
        """What is ingested."""
        return self.folder / "input"

    @property
    def is_api(self) -> bool:
        """Whether a STAC API gives the items."""
        return (self.input / "api.json").exists()


@dataclass
class Outcome:
    """What the lake has of a case."""

    items: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    scenes: list[Row] = field(default_factory=list)
    chips: list[Row] = field(default_factory=list)
    problem: str = ""  # why the case could not be run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Run imagery cases and compare chips and words with what is right.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to run, instead of all")
    parser.add_argument("--cases", type=Path, required=True, help=f"folder that holds {MAKER}")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="a case to leave out")
    parser.add_argument("--work", type=Path, help="folder for cases and lakes, which stay there")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        cases = make_cases(given.cases.resolve() / MAKER, given.names or ["all"], work / "cases")
        cases = [case for case in cases if case.name not in given.without]
        outcomes = run_cases(cases, given.cases.resolve() / MAKER, work)
        wrong = report(cases, outcomes)
    print(f"{len(cases) - wrong} of {len(cases)} cases are right")
    return 1 if wrong else 0


def make_cases(maker: Path, names: Sequence[str], out: Path) -> list[Case]:
    """Have the folder's program make cases, and read what is right."""
    cases = []
    for name in names:
        made = subprocess.run([sys.executable, maker, "make", name, out], check=True, capture_output=True, text=True)
        for line in made.stdout.splitlines():
            expected = json.loads((Path(line) / "expected.json").read_text())
            facts, words = expected["facts"], tuple(expected["words"])
            cases.append(Case(Path(line), expected["result"], facts, words, expected["may_reject"]))
    return cases


def run_cases(cases: Sequence[Case], maker: Path, work: Path) -> dict[str, Outcome]:
    """Ingest all cases, cut those with chips twice, and return what the lakes have, by name of the case."""
    problems: dict[str, str] = {}
    cut = _lake(work / "lake")
    uncut = cut.replace(home=work / "lake_without_chips")
    for case in cases:
        settings = uncut if case.result == "item" else cut
        try:
            if case.is_api:
                _ingest_from_api(case, maker, settings)
            else:
                _ingest_files(case, settings.replace(**SETTINGS.get(case.name, {})))
        except ChiplakeError as error:
            problems[case.name] = str(error)
    if any(case.result == "chips" for case in cases):
        for _ in range(2):
            _cut_chips()
    tables = {False: _Tables(cut), True: _Tables(uncut)}
    return {case.name: _outcome(case, tables[case.result == "item"], problems.get(case.name, "")) for case in cases}


def _lake(home: Path) -> Settings:
    """Set the environment to a lake of the bands of the cases, and nothing else that differs from the defaults."""
    for name in [name for name in os.environ if name.startswith("CHIPLAKE_")]:
        del os.environ[name]
    os.environ |= {
        ENV_FILE_VARIABLE: "",
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_BANDS": '["red", "swir16"]',
        "CHIPLAKE_SHUFFLE_PARTITIONS": "4",
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    get_settings.cache_clear()
    return get_settings()


def _ingest_files(case: Case, settings: Settings) -> None:
    """Ingest a folder, or numbered folders one after the other."""
    steps = sorted((path for path in case.input.iterdir() if path.is_dir() and path.name.isdigit()), key=_number)
    for folder in steps or [case.input]:
        ingest(IngestRequest(items=folder), settings)


def _number(folder: Path) -> int:
    return int(folder.name)


def _ingest_from_api(case: Case, maker: Path, settings: Settings) -> None:
    """Run `chiplake ingest` on the API of a case.

    Raises:
        ChiplakeError: the exit code is not 0.
    """
    days = sorted(re.findall(r'"datetime": "(\d{4}-\d\d-\d\d)', (case.input / "api.json").read_text()))
    with _api(case, maker) as address:
        days_asked = ("--start-date", days[0], "--end-date", days[-1])
        done = subprocess.run(
            [*_COMMAND, "ingest", "--api", address, *days_asked, "--max-cloud", str(_MAX_CLOUD)],
            env=os.environ | {"CHIPLAKE_HOME": str(settings.lake.home)},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise ChiplakeError(f"exit code {done.returncode}: {' '.join(done.stderr.split())[-400:]}")


@contextmanager
def _api(case: Case, maker: Path) -> Iterator[str]:
    """Serve the API of a case, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(maker), "serve", str(case.folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()  # printed just before it listens; a client tries again
        finally:
            server.terminate()


def _cut_chips() -> None:
    try:
        run_job("chip_extraction", Window(), print_line)
    except ChiplakeError as error:  # also raised for single chips with an error, which the table names
        print_line(f"chip_extraction: {error}")


class _Tables:
    """The tables of a lake, each read once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rows: dict[str, list[Row]] = {}

    def rows(self, table: str) -> list[Row]:
        """Return all rows of a table; none if there is no such table."""
        if table not in self._rows:
            catalog = open_catalog(self._settings)
            is_there = catalog.table_exists(table)
            self._rows[table] = catalog.load_table(table).scan().to_arrow().to_pylist() if is_there else []
        return self._rows[table]

    def rows_of_model(self, model: str) -> list[Row]:
        """Return all rows of a model's table."""
        return self.rows(self._settings.lake.table(model))


def _outcome(case: Case, tables: _Tables, problem: str) -> Outcome:
    items = [row for row in tables.rows(STAC_ITEMS) if _is_of(case, row)]
    rejects = [row for row in tables.rows(STAC_REJECTS) if _is_of(case, row)]
    outcome = Outcome(items, rejects, problem=problem)
    if case.result == "chips":
        datatakes = {item["datatake_id"] for item in items}
        for rows, model in ((outcome.scenes, "int_scenes"), (outcome.chips, "fct_chips")):
            rows += [row for row in tables.rows_of_model(model) if row["datatake_id"] in datatakes]
    return outcome


def _is_of(case: Case, row: Row) -> bool:
    """Return whether a row comes from the files of a case, or from its API, whose items have its day in their ids."""
    if case.is_api:
        return json.dumps(row["item_id"]) in (case.input / "api.json").read_text()
    return Path(row["source"]).is_relative_to(case.input)


# --- What is right ---


def report(cases: Sequence[Case], outcomes: Mapping[str, Outcome]) -> int:
    """Print a line a case: its name, whether it is right, and what came out. Return the number of wrong ones."""
    faults = {case.name: faults_of(case, outcomes[case.name]) for case in cases}
    rows = []
    for name, found in faults.items():
        came_out = "; ".join(found[:_MAX_FAULTS]) or _summary(outcomes[name])
        more = f"; {len(found) - _MAX_FAULTS} more" if len(found) > _MAX_FAULTS else ""
        rows.append((name, "NO" if found else "yes", f"{came_out}{more}"))
    print_line()
    print_table(("case", "right", "what came out"), rows)
    return sum(map(bool, faults.values()))


def _summary(outcome: Outcome) -> str:
    rejects = [f"reject: {row['reason']}: {row['detail']}" for row in outcome.rejects]
    scenes = [f"boa_offset {row['boa_offset']} ({row['boa_offset_reason']})" for row in outcome.scenes]
    found = rejects or scenes or [f"{len(outcome.items)} items"]
    return "; ".join(found)[:200]


def faults_of(case: Case, outcome: Outcome) -> list[str]:
    """Return what is wrong with the outcome of a case, in words; nothing if it is right."""
    if outcome.problem:
        return [outcome.problem]
    is_rejected = bool(outcome.rejects) and not outcome.items
    if case.result == "reject":
        said = " ".join(f"{row['reason']} {row['detail']}" for row in outcome.rejects).lower()
        faults = [f"the reject does not say {word!r}: {said}" for word in case.words if word.lower() not in said]
        return faults if is_rejected else [f"{len(outcome.items)} items, {len(outcome.rejects)} rejects"]
    if is_rejected and case.may_reject:
        return []
    faults = [f"reject: {row['reason']}: {row['detail']}" for row in outcome.rejects]
    rows = outcome.items if case.result == "item" else outcome.scenes
    faults += _wrong_facts(case.facts, rows)
    if case.result == "chips":
        faults += _wrong_chips(case, outcome.chips)
    return faults


def _wrong_facts(facts: Row, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "no row"
    for name, right in facts.items():
        if name == "count":
            found: list[Any] = [len(rows)]
        elif name in BAND_BY_NAME:
            found = [dict(row["assets"])[name]["href"] for row in rows]
        else:
            found = [row[name] for row in rows]
        if any(value != right for value in found):
            yield f"{name} {', '.join(map(str, found))} instead of {right}"


def _wrong_chips(case: Case, chips: Sequence[Row]) -> Iterator[str]:
    """Compare chips with the pixels that they must have, and their fractions with those of the pixels."""
    for error in sorted({str(chip["error"]) for chip in chips if chip["error"] is not None}):
        yield f"error: {error}"
    with np.load(case.folder / "expected.npz") as archive:
        right = {name: archive[name] for name in archive.files}
    places = {_place(chip): chip for chip in chips if chip["error"] is None}
    south, west = (min((place[axis] for place in places), default=0) for axis in (0, 1))
    side = BAND_BY_NAME["red"].pixels
    cells = [(row, col) for row in range(right["red"].shape[0] // side) for col in range(right["red"].shape[1] // side)]
    if {(row - south, col - west) for row, col in places} != set(cells) or len(chips) != len(cells):
        yield f"{len(chips)} chips, {len(places)} of them with pixels, instead of {len(cells)}"
        return
    for row, col in cells:
        expected = {name: _cell_of(layer, cells[-1][0] - row, col) for name, layer in right.items()}
        yield from _wrong_chip(places[south + row, west + col], expected)


def _place(chip: Row) -> tuple[int, int]:
    """Return row and column of the chip's cell in the grid; rows count northward."""
    _, col, row = map(int, chip["cell_id"].split("_"))
    return row, col


def _cell_of(layer: Array, row: int, col: int) -> Array:
    side = layer.shape[0] // 2
    return layer[row * side : (row + 1) * side, col * side : (col + 1) * side]


def _wrong_chip(chip: Row, expected: Mapping[str, Array]) -> Iterator[str]:
    for name, right in expected.items():
        if chip[name] is None:
            yield f"{chip['cell_id']} {name} is null"
            continue
        pixels = decode_array(chip[name], "uint8" if name == SCL else "uint16", right.shape[0])
        if (pixels != right).any():
            row, col = (int(axis[0]) for axis in np.nonzero(pixels != right))
            yield (
                f"{chip['cell_id']} {name}: {np.count_nonzero(pixels != right)} pixels, at ({row}, {col}) "
                f"{pixels[row, col]} instead of {right[row, col]}"
            )
    for name, share in zip(_FRACTIONS, _fractions(expected), strict=True):
        if chip[name] != share:
            yield f"{chip['cell_id']} {name} {chip[name]} instead of {share}"


def _fractions(layers: Mapping[str, Array]) -> tuple[float, float, float]:
    """Return the shares of valid, cloudy and missing pixels; of the classes of the cases, 4 is valid and 9 is cloud."""
    fine = {name: layer if name == "red" else layer.repeat(2, 0).repeat(2, 1) for name, layer in layers.items()}
    is_there = np.logical_and.reduce([layer != 0 for layer in fine.values()])
    return (is_there & (fine[SCL] == 4)).mean(), (fine[SCL] == 9).mean(), 1 - is_there.mean()


if __name__ == "__main__":
    sys.exit(main())
