"""An ingest that is killed many times and then completed gives the same tables as an undisturbed one."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from support.faulty_stac_server import YEAR, YEAR_START, FaultyServer, light_item, serving

from ingestion import Filters, IngestRequest, IngestSummary, batches, ingest
from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_CHECKPOINTS, STAC_ITEMS, STAC_REJECTS

ITEMS = 1_600
BATCH = 40  # many commits, so that kills happen between and during them
RUN_COLUMNS = {
    "ingested_at",
    "rejected_at",
    "completed_at",
    "written",
}  # differ between runs


def make_items() -> list[dict[str, Any]]:
    """Make items over a year, every fortieth of which is rejected."""
    items = [light_item(number, YEAR_START + number * (YEAR / ITEMS)) for number in range(ITEMS)]
    for number in range(0, ITEMS, 40):
        items[number] = items[number] | {"assets": {}}
    return items


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with serving(make_items()) as server:
        yield server


def run_ingest(home: Path, api: str, progress: Connection | None = None) -> None:
    """Ingest, and send the number of items processed so far."""
    batches.BATCH_ITEMS = BATCH  # type: ignore[misc]

    def send(summary: IngestSummary) -> None:
        if progress is not None:
            progress.send(summary.written + summary.unchanged + summary.rejected_total)

    filters = Filters(start=YEAR_START, end=YEAR_START + YEAR, collection="sentinel-2-l2a")
    ingest(IngestRequest(api=api, filters=filters), Settings().replace(home=home), send)


def tables(home: Path) -> dict[str, list[str]]:
    """Return all rows of all tables, sorted, without the columns that depend on the run."""
    catalog = open_catalog(Settings().replace(home=home))
    found = {}
    for name in (STAC_ITEMS, STAC_REJECTS, STAC_CHECKPOINTS):
        rows = catalog.load_table(name).scan().to_arrow().to_pylist()
        found[name] = sorted(repr({key: value for key, value in row.items() if key not in RUN_COLUMNS}) for row in rows)
    return found


def assert_complete_as_recorded(home: Path, server: FaultyServer) -> None:
    """Check that all items of every recorded window are stored."""
    catalog = open_catalog(Settings().replace(home=home))
    stored = {
        item_id
        for name in (STAC_ITEMS, STAC_REJECTS)
        for item_id in catalog.load_table(name).scan(selected_fields=("item_id",)).to_arrow()["item_id"].to_pylist()
    }
    windows = catalog.load_table(STAC_CHECKPOINTS).scan(selected_fields=("window_start", "window_end")).to_arrow()
    for window in windows.to_pylist():
        inside = {
            item["id"]
            for item in server.items
            if window["window_start"] <= datetime.fromisoformat(item["properties"]["datetime"]) < window["window_end"]
        }
        assert inside <= stored, window


@pytest.mark.parametrize("kills", [10, pytest.param(20, marks=pytest.mark.long)])
def test_an_ingest_that_is_killed_repeatedly_ends_like_an_undisturbed_one(
    server: FaultyServer, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ITEMS", BATCH)  # restored at the end
    run_ingest(tmp_path / "undisturbed", server.url)
    expected = tables(tmp_path / "undisturbed")
    assert len(expected[STAC_ITEMS]) + len(expected[STAC_REJECTS]) == ITEMS

    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["ingestion.run", "support.faulty_stac_server"])
    chance = random.Random(20)
    home = tmp_path / "killed"
    sizes = []
    for kill in range(kills):
        receiver, sender = processes.Pipe(duplex=False)
        process = processes.Process(target=run_ingest, args=(home, server.url, sender))
        process.start()
        sender.close()
        # Each run is killed later than the run before.
        while receiver.recv() < kill * ITEMS // (kills + 3):
            pass
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        process.join()
        receiver.close()
        assert process.exitcode == -signal.SIGKILL
        sizes.append(sum(len(rows) for name, rows in tables(home).items() if name != STAC_CHECKPOINTS))
        assert_complete_as_recorded(home, server)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > kills // 2, "the kills fell into different places"
    assert sizes[-1] < ITEMS, "no kill came after the end"

    run_ingest(home, server.url)
    assert tables(home) == expected

    catalog = open_catalog(Settings().replace(home=home))
    before = [len(catalog.load_table(name).snapshots()) for name in expected]
    run_ingest(home, server.url)
    assert [len(catalog.load_table(name).snapshots()) for name in expected] == before
