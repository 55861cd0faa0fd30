"""Filling over several runs: many cells, each with its own history of chips.

Between runs, chips of each cell arrive, change, fail and disappear at random. The rows must equal those of a full
refresh, and those of a reference in Python that computes one block of pixels at a time. Where some pixels are suspect,
they must equal those of one fold over all chips of the cell, which the unit tests compare with an oracle.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from numcodecs import blosc
from numpy.typing import NDArray
from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import lit
from support.fill_oracle import Rule
from support.lakes import dbt, empty_lake, empty_lake_of, rows

from lakehouse.bands import BAND_NAMES
from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import Settings
from python_udfs.fill.cell_fold import CellFold

SELECT = ("--select", "int_fill_inputs", "fct_filled_chips")
CELLS = 100
ODD_CELLS = 80  # some of whose pixels are suspect
RUNS = 4  # after the last one, chips no longer change
MAX_AGE = timedelta(days=60)
START = datetime(2023, 3, 1, 10, tzinfo=UTC)
WINDOW = date(2023, 4, 1), date(2023, 6, 30)
BLOCKS = 4  # a side; all pixels of a block have the same value
GAPS = (
    timedelta(0),
    timedelta(days=1),
    timedelta(days=5),
    timedelta(days=20),
    timedelta(days=30),
    MAX_AGE - timedelta(microseconds=1),
    MAX_AGE,
    MAX_AGE + timedelta(microseconds=1),
)


@dataclass(frozen=True)
class Version:
    """A chip as it is before one of the runs."""

    chip_id: str
    cell_id: str
    acquired_at: datetime
    value: int  # of all pixels
    valid: tuple[bool, ...] | None  # by block, row by row; None: the chip could not be read
    times: tuple[float, ...] = (1.0,) * BLOCKS * BLOCKS  # by block: the value is so many times as large

    @property
    def source_hash(self) -> str:
        return f"{self.chip_id} {self.value}"


History = list[list[Version]]  # the chips of a cell before each run

GEOHASH = "u2400000"
KINDS = ("settled", "settled", "older", "unreadable", "absent")


def make_history(rng: random.Random, number: int, odd_share: float = 0.0) -> History:
    """Make the chips of a cell before each run: some change from run to run, and most are readable before the last."""
    cell_id, moment = f"32633_{number}_1", START
    runs: History = [[] for _ in range(RUNS)]
    for index in range(rng.randint(2, 7)):
        moment += rng.choice(GAPS)
        kind = rng.choice(KINDS)
        for run in range(RUNS):
            if run == RUNS - 1:
                kind = "settled" if kind != "absent" or rng.random() < 0.5 else "absent"
            elif rng.random() < 0.3:
                kind = rng.choice(KINDS)
            if kind != "absent":
                value = 1000 * (index + 1)
                runs[run].append(make_version(cell_id, f"{cell_id}_{index}", moment, kind, value, odd_share))
    return runs


def make_version(cell_id: str, chip_id: str, at: datetime, kind: str, value: int, odd_share: float) -> Version:
    value += 1 if kind == "older" else 0
    # The same version always has the same valid blocks.
    chance = random.Random(f"{chip_id} {value}")
    valid = tuple(chance.random() < 0.5 for _ in range(BLOCKS * BLOCKS))
    # As by a missed cloud, or its shadow.
    times = tuple(chance.choice([5.0, 0.2]) if chance.random() < odd_share else 1.0 for _ in valid)
    return Version(chip_id, cell_id, at, value, None if kind == "unreadable" else valid, times)


def spread(blocks: Sequence[int], side: int, dtype: str) -> NDArray[Any]:
    square = np.array(blocks, dtype).reshape(BLOCKS, BLOCKS)
    return square.repeat(side // BLOCKS, axis=0).repeat(side // BLOCKS, axis=1)


def frame(pixels: NDArray[Any]) -> bytes:
    return bytes(blosc.compress(np.ascontiguousarray(pixels), b"lz4", 5, shuffle=blosc.BITSHUFFLE))


def chip_row(version: Version) -> dict[str, Any]:
    about = {
        "chip_id": version.chip_id,
        "cell_id": version.cell_id,
        "geohash": GEOHASH,
        "acquired_at": version.acquired_at,
        "datatake_id": version.chip_id,
        "platform": "sentinel-2a",
        "item_ids": [version.source_hash],
        "boa_offsets": [0],
        "grid_version": "1",
        "source_hash": version.source_hash,
        "is_complete": version.valid is not None,
    }
    if version.valid is None:
        return about | {"error": "cannot be read"}
    values = [int(version.value * times) for times in version.times]
    return about | {
        "blue": frame(spread(values, 256, "<u2")),
        "swir16": frame(spread(values, 128, "<u2")),
        "scl": frame(spread([4 if one else 9 for one in version.valid], 128, "u1")),  # vegetation, or cloud
        "valid_fraction": sum(version.valid) / len(version.valid),
        "cloud_fraction": 1 - sum(version.valid) / len(version.valid),
        "nodata_fraction": 0.0,
    }


def put(spark: SparkSession, table: str, found: list[dict[str, Any]]) -> None:
    """Replace all rows of a table."""
    schema = spark.table(f"{MODEL_NAMESPACE}.{table}").schema
    data = [[row.get(field.name) for field in schema] for row in found]
    spark.createDataFrame(data, schema, verifySchema=False).writeTo(f"{MODEL_NAMESPACE}.{table}").overwrite(lit(True))


# --- The reference: one block of one chip at a time ---


def origin_of(chips: list[Version], own: Version, block: int) -> Version | None:
    """Return the newest chip not after `own` in which the block is valid."""
    for chip in sorted(chips, key=lambda one: (one.acquired_at, one.chip_id), reverse=True):
        not_after = (chip.acquired_at, chip.chip_id) <= (own.acquired_at, own.chip_id)
        young = own.acquired_at - chip.acquired_at <= MAX_AGE
        if not_after and young and chip.valid and chip.valid[block]:
            return chip
    return None


def has_peers(source: Version, own: Version) -> bool:
    """Return whether some block is valid in both chips; a block has enough pixels for the gain of all."""
    return any(one and other for one, other in zip(source.valid or (), own.valid or (), strict=True))


def adjusted(source: Version, own: Version) -> int:
    """Return the value that a source gives to a chip. All pixels are alike: each becomes what its peers are tonight."""
    return own.value if has_peers(source, own) else source.value


def assert_filled(row: Row, chips: list[Version], own: Version) -> None:
    origins = [origin_of(chips, own, block) for block in range(BLOCKS * BLOCKS)]
    others = {one for one in origins if one is not None and one != own}
    sources = sorted(others, key=lambda one: (one.acquired_at, one.chip_id), reverse=True)
    assert [source.chip_id for source in row.sources] == [one.chip_id for one in sources]
    numbers = {None: 255, own: 0} | {one: number for number, one in enumerate(sources, start=1)}
    index = np.frombuffer(blosc.decompress(row.source_index), "u1").reshape(256, 256)
    np.testing.assert_array_equal(index, spread([numbers[one] for one in origins], 256, "u1"), row.chip_id)
    values = [0 if one is None else adjusted(one, own) for one in origins]
    for name, side in (("blue", 256), ("swir16", 128)):
        pixels = np.frombuffer(blosc.decompress(row[name]), "<u2").reshape(side, side)
        # A gain is rounded to 1 / 8192.
        np.testing.assert_allclose(pixels, spread(values, side, "<u2"), 0, 1, err_msg=f"{row.chip_id} {name}")
    unadjusted = [one for one in origins if one is not None and one != own and not has_peers(one, own)]
    assert row.unadjusted_fraction == len(unadjusted) / len(origins)
    assert row.complete_fraction == sum(one is not None for one in origins) / len(origins)


# --- In the lake ---


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings) -> Iterator[SparkSession]:
    """All tables, empty."""
    with empty_lake_of(("blue", "swir16"), spark, settings):
        dbt("run", "--select", "+fct_filled_chips")
        yield spark
        empty_lake(spark, settings)


def check(found: dict[str, Row], histories: list[History], run: int, days: tuple[date, date]) -> None:
    """Compare the rows of some days with the reference."""
    for history in histories:
        chips = [chip for chip in history[run] if chip.valid]
        for own in chips:
            if is_of(days, own):
                assert_filled(found[own.chip_id], chips, own)


def is_of(days: tuple[date, date], chip: Version) -> bool:
    return days[0] <= chip.acquired_at.date() <= days[1]


def check_one_fold(found: dict[str, Row], histories: list[History], run: int, days: tuple[date, date]) -> None:
    """Compare the rows of some days with those of one fold over all chips of their cell."""
    for history in histories:
        for chip, expected in folded(history[run]):
            if is_of(days, chip):
                row = found[chip.chip_id].asDict(recursive=True)
                assert [name for name, value in expected.items() if row[name] != value] == [], chip.chip_id


def folded(chips: list[Version]) -> Iterator[tuple[Version, dict[str, Any]]]:
    """Fill the chips of a cell that could be read, all in one fold; return computed columns of each chip."""
    fold = CellFold(Rule(adjust="peers", suspects="peers").as_json())
    for chip in sorted(chips, key=lambda one: (one.acquired_at, one.chip_id)):
        if chip.valid is not None:
            fold.add({**dict.fromkeys((*BAND_NAMES, "cloud_distance")), **chip_row(chip)})
            filled = fold.filled({})
            for source in filled["sources"]:
                source["acquired_at"] = source["acquired_at"].replace(tzinfo=None)
            yield chip, filled


def test_runs_over_changing_chips_equal_the_reference_and_a_full_refresh(lake: SparkSession) -> None:
    rng = random.Random(7)
    plain = [make_history(rng, number) for number in range(CELLS)]
    rng = random.Random(8)
    odd = [make_history(rng, number, odd_share=0.25) for number in range(CELLS, CELLS + ODD_CELLS)]
    histories = [*plain, *odd]
    cells = sorted({chip.cell_id for history in histories for chips in history for chip in chips})
    place = {"geohash": GEOHASH, "longitude": 15.0, "latitude": 45.0}
    put(lake, "dim_grid_cells", [{"cell_id": one, **place} for one in cells])
    suspect, carried = set[str](), set[str]()
    for run in range(RUNS):
        put(lake, "fct_chips", [chip_row(chip) for history in histories for chip in history[run]])
        # The second run is limited to some days; the third must also fill the others.
        days = WINDOW if run == 1 else (date.min, date.max)
        window = {"start_date": str(WINDOW[0]), "end_date": str(WINDOW[1])} if run == 1 else {}
        dbt("run", *SELECT, "--vars", json.dumps(window))
        found = rows(lake, "fct_filled_chips")
        check(found, plain, run, days)
        check_one_fold(found, odd, run, days)
        assert found.keys() == {chip.chip_id for history in histories for chip in history[run] if chip.valid} or window
        suspect |= {chip_id for chip_id, row in found.items() if row.suspect is not None}
        if run:
            carried |= {chip_id for chip_id, row in found.items() if any(chip.suspect for chip in row.carried_chips)}
    assert len(suspect) > 25
    assert len(carried) > 5

    dbt("run", "--full-refresh", *SELECT)
    at_once = rows(lake, "fct_filled_chips")
    assert found.keys() == at_once.keys()
    differing = {
        chip_id: [name for name in row.asDict() if row[name] != found[chip_id][name]]
        for chip_id, row in at_once.items()
        if row != found[chip_id]
    }
    assert not differing
    assert max(len(row.sources) for row in at_once.values()) >= 3
    assert max(row.max_age_days or 0 for row in at_once.values()) == 60
