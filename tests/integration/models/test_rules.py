"""A change of the settings that decide about pixels recomputes chips only on request, and only those it affects."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dbt.cli.main import dbtRunner
from pyspark.sql import Row, SparkSession
from support.ingests import write_items
from support.lakes import (
    MODELS_WITH_PIXELS,
    compared_always,
    data_files,
    dbt,
    empty_lake_of,
    ingest_file,
    rows,
    snapshots,
    try_dbt,
)
from support.scene_oracle import decode

from chiplake.jobs import Window, run_job
from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import PROJECT_DIR, Settings, get_settings

SELECT = ("--select", "+fct_filled_chips")
SELECT_FILLING = ("--select", "int_fill_inputs", "fct_filled_chips")
SELECT_CHIPS = ("--select", "int_chip_inputs", "fct_chips", *SELECT_FILLING[1:])  # the models that depend on the rules
OLD: dict[str, Any] = {}
NEW = {"fill_max_age_days": 7, "fill_cloud_dilation_pixels": 2}

Rows = dict[str, Row]


class Lake:
    """The archive's three dates, and the content of the tables."""

    def __init__(self, spark: SparkSession, settings: Settings, archive: Archive, folder: Path) -> None:
        self.spark, self.settings, self.archive, self.folder = spark, settings, archive, folder
        self.items = {item["id"]: item for item in json.loads(archive.items_path.read_text())["features"]}
        self.days = sorted({scene.day for scene in archive.scenes})

    def bring(self, *days: int) -> None:
        """Ingest the items of some days."""
        ids = [scene.item_id for scene in self.archive.scenes if self.days.index(scene.day) in days]
        ingest_file(write_items(self.folder / "items.json", [self.items[one] for one in ids]), self.settings)

    def run(self, variables: dict[str, Any], *more: str, select: tuple[str, ...] = SELECT) -> dict[str, str]:
        return dbt("run", *select, "--vars", json.dumps(variables), *more)

    def tables(self) -> dict[str, Rows]:
        return {table: rows(self.spark, table) for table in MODELS_WITH_PIXELS}

    def filled(self) -> Rows:
        return rows(self.spark, "fct_filled_chips")

    def files(self, table: str) -> dict[str, str]:
        """Return the data file of each chip; it changes when the row is written again."""
        return data_files(self.spark, table)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("rules")
    spec = ArchiveSpec.tiny()
    with empty_lake_of(spec.bands, spark, settings):
        yield Lake(spark, settings, write_archive(spec, folder / "archive"), folder)


@dataclass(frozen=True)
class Late:
    """A lake whose fill rule has changed before the middle date arrived, with a raster that could not be read."""

    before: dict[str, dict[str, str]]  # files of the first and the last date, filled by the old rule
    has_failed: bool  # a chip of the middle date has an error until its raster is repaired
    chips: Rows  # after the repair
    filled: Rows
    after: dict[str, dict[str, str]]  # files
    filled_at_once: Rows  # all chips, filled again in one run


@pytest.fixture(scope="module")
def late(lake: Lake) -> Late:
    lake.bring(0, 2)
    lake.run(OLD)
    before = {table: lake.files(table) for table in MODELS_WITH_PIXELS}

    # A raster of the middle date is truncated.
    broken = next(scene for scene in lake.archive.scenes if scene.day == lake.days[1])
    raster = broken.rasters["red"]
    whole = raster.read_bytes()
    raster.write_bytes(whole[:2048])
    lake.bring(1)
    lake.run(NEW)
    has_failed = any(chip.error is not None for chip in rows(lake.spark, "fct_chips").values())

    # After the repair, the current setting has other bands.
    raster.write_bytes(whole)
    lake.run(NEW | {"bands": ["red"]}, select=SELECT_CHIPS)
    chips, filled = lake.tables().values()
    after = {table: lake.files(table) for table in MODELS_WITH_PIXELS}

    lake.spark.sql(f"delete from {MODEL_NAMESPACE}.fct_filled_chips")
    lake.run(NEW, select=("--select", "fct_filled_chips"))
    return Late(before, has_failed, chips, filled, after, lake.filled())


@dataclass(frozen=True)
class FullRefresh:
    """The rows of a full refresh on all dates, by either fill rule. Both rules have the same chips before filling."""

    chips: Rows
    filled_by_old: Rows
    filled_by_new: Rows


@pytest.fixture(scope="module")
def full_refresh(lake: Lake, late: Late) -> FullRefresh:
    """Replace the chips of `late`; tests of its tables come before those that use this fixture."""
    lake.run(OLD, "--full-refresh", select=SELECT_CHIPS)
    by_old = lake.tables()
    lake.run(NEW, "--full-refresh", select=SELECT_FILLING)
    return FullRefresh(by_old["fct_chips"], by_old["fct_filled_chips"], lake.filled())


def of_day(chips: Rows, *days: date) -> Rows:
    return {chip_id: chip for chip_id, chip in chips.items() if chip.acquired_at.date() in days}


def rules_of(filled: Rows) -> set[tuple[date, int]]:
    """Return the days of filled chips, each with the max_age_days of its rules."""
    return {(row.acquired_at.date(), json.loads(row.rule_version)["max_age_days"]) for row in filled.values()}


def test_after_a_change_of_rule_chips_that_a_late_date_can_fill_follow_the_new_rule(lake: Lake, late: Late) -> None:
    first, middle, last = lake.days
    assert late.has_failed
    assert {one: late.after["fct_chips"][one] for one in late.before["fct_chips"]} == late.before["fct_chips"]
    # Chips that the late date can fill follow the current rule; earlier chips do not change.
    assert rules_of(late.filled) == {(first, 60), (middle, 7), (last, 7)}
    filled = late.before["fct_filled_chips"]
    untouched = {one for one, file in filled.items() if late.after["fct_filled_chips"][one] == file}
    assert untouched == set(of_day(late.filled, first))


def test_a_change_of_settings_writes_nothing_and_a_dbt_test_warns(lake: Lake, late: Late) -> None:
    other = {
        "bands": ["red"],
        "valid_scl_classes": [4, 6],
        "fill_max_age_days": 250,
        "fill_cloud_dilation_pixels": 15,
        "fill_min_complete": 0.5,
    }
    before = snapshots()
    with compared_always():
        said = lake.run(other)
    assert snapshots() == before
    assert {said["fct_chips"], said["fct_filled_chips"]} == {"nothing pending"}

    def warned(variables: dict[str, Any]) -> tuple[str, str]:
        name = "rows_follow_the_rules_in_force"
        return try_dbt("test", "--select", name, "--vars", json.dumps(variables))[name]

    of_old_rule, of_any_rule = len(of_day(late.filled, lake.days[0])), len(late.chips) + len(late.filled)
    assert warned(NEW) == ("warn", f"Got {of_old_rule} results, configured to warn if != 0")
    assert warned(other) == ("warn", f"Got {of_any_rule} results, configured to warn if != 0")


def test_after_a_recompute_limited_to_some_days_chips_of_other_days_keep_their_rule(lake: Lake, late: Late) -> None:
    first, middle, last = lake.days
    assert rules_of(lake.filled()) == {(first, 60), (middle, 7), (last, 7)}
    lake.run(NEW | {"fill_max_age_days": 30, "recompute": True, "end_date": str(first)}, select=SELECT_FILLING)
    assert rules_of(lake.filled()) == {(first, 30), (middle, 7), (last, 7)}


def test_retries_use_the_bands_that_were_planned(late: Late, full_refresh: FullRefresh) -> None:
    assert late.chips == full_refresh.chips


def test_one_run_fills_each_chip_of_a_cell_by_its_own_rule(lake: Lake, late: Late, full_refresh: FullRefresh) -> None:
    first, middle, last = lake.days
    for filled in (late.filled, late.filled_at_once):
        assert of_day(filled, first) == of_day(full_refresh.filled_by_old, first)
        assert of_day(filled, middle, last) == of_day(full_refresh.filled_by_new, middle, last)
    assert {one: chip.source_index for one, chip in full_refresh.filled_by_old.items()} != {
        one: chip.source_index for one, chip in full_refresh.filled_by_new.items()
    }


def test_recomputing_filled_chips_reads_no_raster(
    lake: Lake, full_refresh: FullRefresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = 3
    monkeypatch.setenv("CHIPLAKE_FILL_CLOUD_DILATION_PIXELS", str(reach))
    monkeypatch.setenv("CHIPLAKE_FILL_MIN_COMPLETE", "0.5")
    get_settings.cache_clear()
    archive, away = lake.archive.root, lake.folder / "away"
    before, lines = snapshots(), list[str]()
    shutil.move(archive, away)
    try:
        run_job("temporal_merge", Window(recompute=True), lines.append)
    finally:
        shutil.move(away, archive)
    after = snapshots()
    changed = {table.rsplit(".", 1)[-1] for table in after if after[table] != before.get(table)}
    assert changed == {
        *("int_fill_inputs", "fct_filled_chips", "fct_chip_statistics", "int_embedding_inputs"),
        *("int_composite_inputs", "fct_composites"),
    }
    assert not [line for line in lines if "warning" in line]

    # Against numpy: base_valid_fraction and is_complete.
    filled = lake.filled()
    for chip_id, chip in full_refresh.chips.items():
        holds = np.isin(decode(chip.scl, "u1", 128), [2, 4, 5, 6, 7, 11])
        holds &= decode(chip.cloud_distance, "u1", 128) > reach
        fine = np.logical_and.reduce([decode(chip[band], "<u2", 256) > 0 for band in ("red", "nir")])
        fine &= np.kron(holds & (decode(chip.swir16, "<u2", 128) > 0), np.ones((2, 2), bool))
        assert filled[chip_id].base_valid_fraction == fine.mean()
        assert chip.valid_fraction >= fine.mean()
        assert filled[chip_id].is_complete == (filled[chip_id].complete_fraction >= 0.5)
    complete_fractions = [chip.complete_fraction for chip in filled.values()]
    assert min(complete_fractions) < 0.5
    assert any(0.5 <= share < 1 for share in complete_fractions)

    lake.run({}, "--full-refresh", select=SELECT_FILLING)
    assert lake.filled() == filled
    monkeypatch.undo()
    get_settings.cache_clear()


def test_recomputed_chips_are_cut_again_and_equal_a_full_refresh(lake: Lake, full_refresh: FullRefresh) -> None:
    variables = {"valid_scl_classes": [4, 6], "bands": ["red", "nir"]}
    lake.run(variables | {"recompute": True}, select=SELECT_CHIPS)
    recomputed = lake.tables()
    for table in recomputed.values():
        assert set(table) == set(full_refresh.chips)
        assert all(row.red is not None and row.swir16 is None for row in table.values())
    for chip_id, chip in recomputed["fct_chips"].items():
        was = full_refresh.chips[chip_id]
        assert (chip.red, chip.scl, chip.cloud_distance) == (was.red, was.scl, was.cloud_distance)
        fine = np.logical_and.reduce([decode(chip[band], "<u2", 256) > 0 for band in ("red", "nir")])
        fine &= np.kron(np.isin(decode(chip.scl, "u1", 128), [4, 6]), np.ones((2, 2), bool))
        assert chip.valid_fraction == recomputed["fct_filled_chips"][chip_id].base_valid_fraction == fine.mean()
    assert {chip.valid_fraction for chip in recomputed["fct_chips"].values()} != {
        chip.valid_fraction for chip in full_refresh.chips.values()
    }

    # Another order and a repeated class make the same rule, so the run writes nothing.
    before = snapshots()
    lake.run({"valid_scl_classes": [6, 4, 4], "bands": ["nir", "red"], "recompute": True}, select=SELECT_CHIPS)
    assert snapshots() == before
    lake.run(variables, "--full-refresh", select=SELECT_CHIPS)
    assert lake.tables() == recomputed


def test_the_variable_recompute_must_be_true_or_false() -> None:
    done = dbtRunner().invoke(
        [
            *("--quiet", "parse", "--no-partial-parse", "--vars", "recompute: 'no'"),
            *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")),
        ]
    )
    assert not done.success
    assert "variable recompute is 'no'; write true or false" in str(done.exception)
