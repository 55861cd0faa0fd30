"""An ingest that is killed, again and again, and then run once more ends as one that nobody disturbed."""

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
BATCH = 40  # many commits, so that kills fall into all that is done between and during them
KILLS = 20
OF_THE_RUN = {"ingested_at", "rejected_at", "completed_at", "written"}  # when a row was written, by which run


def items() -> list[dict[str, Any]]:
    """Usable items over a year, and among them some that are not."""
    made = [light_item(number, YEAR_START + number * (YEAR / ITEMS)) for number in range(ITEMS)]
    for number in range(0, ITEMS, 40):
        made[number] = made[number] | {"assets": {}}
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with serving(items()) as server:
        yield server


def run_ingest(home: Path, api: str, progress: Connection | None = None) -> None:
    """One run, in a process of its own if it is to be killed; tells how many items it has dealt with."""
    batches.BATCH_ITEMS = BATCH  # type: ignore[misc]

    def tell(summary: IngestSummary) -> None:
        if progress is not None:
            progress.send(summary.written + summary.unchanged + summary.rejected_total)

    filters = Filters(start=YEAR_START, end=YEAR_START + YEAR, collection="sentinel-2-l2a")
    ingest(IngestRequest(api=api, filters=filters), Settings().replace(home=home), tell)


def tables(home: Path) -> dict[str, list[str]]:
    """Every row of every table of the ingest but for what tells which run wrote it, sorted."""
    catalog = open_catalog(Settings().replace(home=home))
    found = {}
    for name in (STAC_ITEMS, STAC_REJECTS, STAC_CHECKPOINTS):
        rows = catalog.load_table(name).scan().to_arrow().to_pylist()
        found[name] = sorted(repr({key: value for key, value in row.items() if key not in OF_THE_RUN}) for row in rows)
    return found


def assert_complete_as_recorded(home: Path, server: FaultyServer) -> None:
    """No window is called complete before its items are stored."""
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


def test_killed_twenty_times_and_run_again_it_ends_as_undisturbed(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ITEMS", BATCH)  # is put back at the end
    run_ingest(tmp_path / "undisturbed", server.url)
    expected = tables(tmp_path / "undisturbed")
    assert len(expected[STAC_ITEMS]) + len(expected[STAC_REJECTS]) == ITEMS

    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["ingestion.run", "faulty_stac_server"])
    chance = random.Random(20)
    home = tmp_path / "killed"
    sizes = []
    for kill in range(KILLS):
        listen, tell = processes.Pipe(duplex=False)
        process = processes.Process(target=run_ingest, args=(home, server.url, tell))
        process.start()
        tell.close()
        # Each run is killed in what none before it has reached, some time after it has dealt with so many items.
        while listen.recv() < kill * ITEMS // (KILLS + 3):
            pass
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        process.join()
        listen.close()
        assert process.exitcode == -signal.SIGKILL
        sizes.append(sum(len(rows) for name, rows in tables(home).items() if name != STAC_CHECKPOINTS))
        assert_complete_as_recorded(home, server)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > KILLS // 2, "the kills fell into different places"
    assert sizes[-1] < ITEMS, "no kill came after the end"

    run_ingest(home, server.url)
    assert tables(home) == expected

    before = [len(open_catalog(Settings().replace(home=home)).load_table(name).snapshots()) for name in expected]
    run_ingest(home, server.url)
    assert [
        len(open_catalog(Settings().replace(home=home)).load_table(name).snapshots()) for name in expected
    ] == before
