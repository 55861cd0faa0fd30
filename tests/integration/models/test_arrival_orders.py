"""Scenes that arrive in any order and batches, some twice or unreadable at first, end as in one full refresh."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession
from support.ingests import write_items
from support.lakes import MODELS_WITH_PIXELS, dbt, empty_lake, empty_lake_of, ingest_file, rows

from chiplake.synthetic import Archive, ArchiveSpec, Overpass, SwathEdge, write_archive
from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_ITEMS

pytestmark = pytest.mark.slow  # test_incremental proves it for one order

SELECT = ("--select", "+fct_filled_chips")

SPEC = replace(
    ArchiveSpec.tiny(),
    passes=(
        Overpass(date(2023, 8, 5), "A", cloud_share=0.1),
        Overpass(date(2023, 8, 10), "B", cloud_share=0.5, offset_pending=("33TXL",)),
        Overpass(date(2023, 8, 15), "A", cloud_share=0.9),
        Overpass(date(2023, 8, 20), "B", cloud_share=0.3, swath_edge=SwathEdge(601_500)),
        Overpass(date(2023, 10, 9), "B", cloud_share=0.7),  # 60 days after the second, which can just fill it
    ),
    flooded_cell=None,
)
REPROCESSED = "S2B_33TWL_20230810_0_L2A"
OLDER = "S2B_33TWL_20230810_1_L2A"  # the same product in an older baseline, with other pixels
REMOVED = "S2B_33TXL_20230820_0_L2A"
UNREADABLE = "S2A_33TWL_20230805_0_L2A"  # readable only in the last batch


@dataclass(frozen=True)
class Event:
    """An item that arrives or is removed."""

    item_id: str
    comes: bool = True

    def __str__(self) -> str:
        return ("+" if self.comes else "-") + self.item_id.removesuffix("_L2A")


SCENES = [
    f"S2{overpass.satellite}_{window.tile}_{overpass.day:%Y%m%d}_0_L2A"
    for overpass in SPEC.passes
    for window in SPEC.windows
]
EVENTS = [Event(one) for one in (*SCENES, OLDER) if one != REMOVED]
# One for each batch: the item arrives, is removed, and arrives again.
TURNS = (Event(REMOVED), Event(REMOVED, comes=False), Event(REMOVED))

Tables = Mapping[str, Mapping[str, Row]]


@st.composite
def orders(draw: st.DrawFn) -> list[list[Event]]:
    """Draw all events in any order, cut into batches."""
    events = draw(st.permutations(EVENTS))
    first, second = draw(st.integers(2, 5)), draw(st.integers(2, 5))
    batches = [events[:first], events[first : first + second], events[first + second :]]
    for batch, turn in zip(batches, TURNS, strict=True):
        batch.insert(draw(st.integers(0, len(batch))), turn)
    return batches


class Lake:
    """The lake, and the archive whose scenes arrive in it."""

    def __init__(self, spark: SparkSession, settings: Settings, archive: Archive, folder: Path) -> None:
        self.spark, self.settings, self.folder = spark, settings, folder
        self.items = {item["id"]: item for item in json.loads(archive.items_path.read_text())["features"]}
        self.items[OLDER] = _of_older_baseline(self.items[REPROCESSED], folder)
        (self.raster,) = (scene.rasters["nir"] for scene in archive.scenes if scene.item_id == UNREADABLE)

    def tables(self) -> Tables:
        return {table: rows(self.spark, table) for table in MODELS_WITH_PIXELS}

    @cached_property
    def at_once(self) -> Tables:
        """The rows that one full refresh makes of all scenes."""
        empty_lake(self.spark, self.settings)
        self.apply([Event(item_id) for item_id in self.items])
        dbt("run", "--full-refresh", *SELECT)
        return self.tables()

    def apply(self, batch: Sequence[Event]) -> None:
        """Ingest and remove items, in order."""
        for comes, events in groupby(batch, key=lambda event: event.comes):
            item_ids = [event.item_id for event in events]
            if comes:
                items = [self.items[item_id] for item_id in item_ids]
                ingest_file(write_items(self.folder / "items.json", items), self.settings)
            else:
                listed = ", ".join(f"'{item_id}'" for item_id in item_ids)
                open_catalog(self.settings).load_table(STAC_ITEMS).delete(f"item_id in ({listed})")

    def run(self, order: Sequence[Sequence[Event]]) -> Tables:
        """Empty the lake, and run the models after each batch; one raster is missing until the last batch."""
        empty_lake(self.spark, self.settings)
        *first, last = order
        for batch in first:
            self.apply(batch)
            with _away(self.raster):
                dbt("run", *SELECT)
        self.apply(last)
        dbt("run", *SELECT)
        return self.tables()


@contextmanager
def _away(path: Path) -> Iterator[None]:
    elsewhere = path.with_suffix(".away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


def _of_older_baseline(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the same product in an older baseline, with other pixels, so that the test notices a wrong choice."""
    older: dict[str, Any] = json.loads(
        json.dumps(item).replace("N0509", "N0400").replace("N05.09", "N04.00").replace('"05.09"', '"04.00"')
    )
    older["id"] = OLDER
    for name, asset in older["assets"].items():
        copy = folder / f"older-{name}.tif"
        shutil.copy(asset["href"], copy)
        asset["href"] = str(copy)
        if name != "scl":
            with rasterio.open(copy, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
                pixels = raster.read(1)
                raster.write(np.where(pixels > 0, pixels + 100, 0).astype(pixels.dtype), 1)
    return older


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("arrivals")
    with empty_lake_of(SPEC.bands, spark, settings):
        yield Lake(spark, settings, write_archive(SPEC, folder / "archive"), folder)


def difference(expected: Tables, found: Tables) -> str | None:
    """Describe the first difference between tables: table, chip and columns; None if there is none."""
    for table, wanted in expected.items():
        got = found[table]
        if wanted.keys() != got.keys():
            return (
                f"{table}: lacks {sorted(wanted.keys() - got.keys())}, has besides {sorted(got.keys() - wanted.keys())}"
            )
        for chip_id, row in wanted.items():
            columns = [name for name in row.asDict() if row[name] != got[chip_id][name]]
            if columns:
                return f"{table}: {chip_id} differs in {', '.join(columns)}"
    return None


@settings(
    max_examples=2,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],  # shrinking would take hours
    suppress_health_check=[HealthCheck.too_slow],
)
@given(order=orders())
def test_any_order_of_arrival_ends_in_the_rows_of_a_full_refresh(lake: Lake, order: list[list[Event]]) -> None:
    found = difference(lake.at_once, lake.run(order))
    assert found is None, f"{found}\nafter " + " | ".join(" ".join(map(str, batch)) for batch in order)


def test_the_archive_has_scenes_whose_order_matters(lake: Lake) -> None:
    chips, filled = (lake.at_once[table].values() for table in MODELS_WITH_PIXELS)
    assert len({chip.acquired_at.date() for chip in chips}) == len(SPEC.passes)
    assert any(len(chip.item_ids) == 2 for chip in chips)  # tiles overlap
    assert {item_id for chip in chips for item_id in chip.item_ids} == set(SCENES)  # not the older baseline
    assert not any(chip.error for chip in chips)
    assert max(len(chip.sources) for chip in filled) >= 3
    assert max(chip.max_age_days or 0 for chip in filled) == 60
