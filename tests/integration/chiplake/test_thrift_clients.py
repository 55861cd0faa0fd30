"""Clients of `chiplake serve` have sessions of their own, with all functions, and their writers take turns."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyhive import hive
from support.dbt_projects import DbtProject
from support.ingests import write_items
from support.lakes import ingest_file
from support.own_models import FIRST_EVENTS, TEXTBOOK, check_textbook_models
from support.ports import free_port, wait_for_port
from support.scene_oracle import decode
from support.second_settings import (
    BANDS,
    BUILD,
    CELL,
    MAX_AGE_DAYS,
    second_settings,
    valid_pixels,
    write_small_archive,
)

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from lakehouse.lake_record import shaping_settings
from lakehouse.settings import PROJECT_DIR, Settings, get_settings

pytestmark = pytest.mark.java

START_S = 120
# A client that takes a lock and then waits until it is killed.
CLIENT = """
import sys, time
from pyhive import hive
cursor = hive.connect("127.0.0.1", int(sys.argv[1])).cursor()
cursor.execute("select chiplake_lock('chiplake.of_a_client', 'a client')")
print(cursor.fetchall(), flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Server:
    """A running `chiplake serve`."""

    port: int
    settings: Settings
    environment: dict[str, str]
    connections: list[Any] = field(default_factory=list)

    def connect(self) -> Client:
        """Open a session."""
        self.connections.append(hive.connect("127.0.0.1", self.port))
        return Client(self.connections[-1])


@dataclass(frozen=True)
class Client:
    """One session of the server."""

    connection: Any

    def run(self, statement: str) -> None:
        """Run a statement without an answer."""
        self.connection.cursor().execute(statement)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        cursor = self.connection.cursor()
        cursor.execute(query)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("served")
    port = free_port()
    variables = {
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_SPARK_MASTER": "local[2]",
        "CHIPLAKE_SHUFFLE_PARTITIONS": "4",
        "CHIPLAKE_BANDS": json.dumps(list(ArchiveSpec.tiny().bands)),
        "CHIPLAKE_THRIFT_PORT": str(port),
        "CHIPLAKE_FUNCTIONS": "support.own_masks:FUNCTIONS",
        "PYTHONPATH": os.pathsep.join([str(PROJECT_DIR), str(PROJECT_DIR / "tests")]),
    }
    environment = os.environ | variables
    command = [sys.executable, "-c", "from chiplake.cli.main import main; main()", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=PROJECT_DIR) as process:
        running = Server(port, Settings().replace(home=home), environment)
        try:
            wait_for_port(port, process, START_S)
            yield running
        finally:
            for connection in running.connections:
                connection.close()
            process.send_signal(signal.SIGINT)
            process.wait(60)


def test_views_variables_and_settings_of_two_clients_stay_apart(server: Server) -> None:
    ann, ben = server.connect(), server.connect()
    for client, number in ((ann, 1), (ben, 2)):
        client.run(f"create temporary view mine as select {number} as number")
        client.run(f"declare or replace variable mine__first_at int default {number}")
        client.run(f"set spark.sql.shuffle.partitions = {number}")
    ben.run("use raw")
    for client, number, schema in ((ann, 1, "default"), (ben, 2, "raw")):
        assert client.ask("select number, mine__first_at, current_schema() from mine") == [(number, number, schema)]
        assert client.ask("set spark.sql.shuffle.partitions") == [("spark.sql.shuffle.partitions", str(number))]


def test_every_client_has_all_functions_and_the_data_source(server: Server) -> None:
    for client in (server.connect(), server.connect()):
        assert client.ask("select chip_mean(cast(null as binary)), ST_AsText(ST_Point(1, 2))") == [
            (None, "POINT (1 2)")
        ]
        client.run("create temporary view s using chiplake options (work 'publish', table 't', run_id '1', staged 'b')")
        assert client.ask("describe s")[0][:2] == ("nothing", "int")


def test_a_client_waits_for_another_and_a_killed_one_holds_nothing(server: Server) -> None:
    ann, ben = server.connect(), server.connect()
    take = "select chiplake_lock('chiplake.t', 'dbt run -s \\'t\\'')"
    assert ann.ask(take) == [("",)]
    holder = json.loads(ben.ask(take)[0][0])
    assert holder["command"] == "chiplake serve for dbt run -s 't'"
    assert ben.ask("select chiplake_lock('chiplake.another', 'dbt run')") == [("",)]
    assert ann.ask("select chiplake_unlock('chiplake.t')") == [("freed",)]
    assert ben.ask(take) == [("",)]

    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(server.port)], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "[('',)]\n"
        take = "select chiplake_lock('chiplake.of_a_client', 'dbt run')"
        assert json.loads(ann.ask(take)[0][0])["command"] == "chiplake serve for a client"
        client.kill()
    until = time.monotonic() + 30
    while ann.ask(take) != [("",)]:
        assert time.monotonic() < until, "the lock of a killed client is still held"
        time.sleep(0.2)


@dataclass(frozen=True)
class DbtClient:
    """dbt on another machine: its own home has no lake."""

    server: Server
    folder: Path  # of its home and of dbt's files

    def run(self, schema: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of dbt over Thrift."""
        own = {
            "CHIPLAKE_HOME": str(self.folder / "home"),
            "CHIPLAKE_TARGET_SCHEMA": schema,
            "DBT_TARGET_PATH": str(self.folder / schema / "target"),
            "DBT_LOG_PATH": str(self.folder / schema),
        }
        command = [str(Path(sys.executable).with_name("dbt")), *arguments, "--target", "thrift", "--threads", "4"]
        command += ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
        return subprocess.run(
            command, env=self.server.environment | own | variables, capture_output=True, text=True, cwd=PROJECT_DIR
        )


def ingest_for(server: Server, archive: Archive, folder: Path) -> None:
    items = json.loads(archive.items_path.read_text())["features"]
    ingest_file(write_items(folder / "items.json", items), server.settings)


def check_two_builds_at_once(server: Server, dbt: DbtClient, schemas: tuple[str, str]) -> None:
    """Have two clients build and test all up to the chips into two schemas at once, and compare the chips."""
    build = ("build", "--select", "+fct_chips", "--indirect-selection", "buildable")
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda schema: dbt.run(schema, *build), schemas):
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    client = server.connect()
    counts = [
        client.ask(f"select count(*), count(distinct chip_id), count(red) from {one}.fct_chips") for one in schemas
    ]
    assert counts[0] == counts[1]
    rows, keys, with_pixels = counts[0][0]
    assert rows == keys == with_pixels > 0
    differing = "select count(*) from (select * from {}.fct_chips except all select * from {}.fct_chips)"
    assert client.ask(differing.format(*schemas)) == [(0,)]


@pytest.mark.slow
def test_two_builds_into_two_schemas_at_once_are_right(server: Server, tmp_path: Path) -> None:
    archive = write_archive(ArchiveSpec.tiny(), tmp_path / "archive")
    ingest_for(server, archive, tmp_path)
    check_two_builds_at_once(server, DbtClient(server, tmp_path), ("dev_ann", "dev_ben"))
    recorded = "select count(*), count(distinct setting) from raw.lake_settings where schema_name = '{}'"
    counts = [server.connect().ask(recorded.format(schema)) for schema in ("dev_ann", "dev_ben")]
    settings = len(shaping_settings(server.settings))
    assert counts == [[(settings, settings)]] * 2, "the settings of the first build into a schema, once"
    assert not (tmp_path / "home").exists()
    shutil.rmtree(archive.root)


@pytest.mark.long
def test_ten_times_two_builds_at_once_are_right(server: Server, tmp_path: Path) -> None:
    archive = write_archive(ArchiveSpec.tiny(), tmp_path / "archive")
    ingest_for(server, archive, tmp_path)
    for number in range(10):
        schemas = f"ann_{number}", f"ben_{number}"
        check_two_builds_at_once(server, DbtClient(server, tmp_path), schemas)
        print(f"two builds at once: {number + 1} of 10 are right", flush=True)
    shutil.rmtree(archive.root)


@pytest.mark.slow
def test_a_build_under_other_settings_passes_and_a_client_without_the_box_is_refused(
    server: Server, tmp_path: Path
) -> None:
    archive = write_small_archive(tmp_path / "archive")
    ingest_for(server, archive, tmp_path)
    dbt, schema = DbtClient(server, tmp_path), "second"
    settings = second_settings(schema) | {"CHIPLAKE_FILL_MASK": "bright_blue"}
    done = dbt.run(schema, *BUILD, **settings)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

    client = server.connect()
    chips = client.ask(f"select cell_id, count(*), count(blue), count(green) from {schema}.fct_chips group by cell_id")
    dates = len({scene.day for scene in archive.scenes})
    assert chips == [(CELL, dates, dates, 0)]
    age = "cast(get_json_object(rule_version, '$.max_age_days') as int)"
    filled = client.ask(f"select {age}, count(*) from {schema}.fct_filled_chips group by all")
    assert filled == [(MAX_AGE_DAYS, dates)]

    # The server's workers call the user's mask.
    layers = ("scl", "cloud_distance", "cloud_probability", *BANDS)
    rows = client.ask(
        f"select filled.base_valid_fraction, {', '.join(f'chips.{layer}' for layer in layers)} "
        f"from {schema}.fct_chips as chips "
        f"inner join {schema}.fct_filled_chips as filled on chips.chip_id = filled.chip_id"
    )
    assert len(rows) == dates
    for share, *frames in rows:
        chip = dict(zip(layers, frames, strict=True))
        valid = valid_pixels(chip)
        dark = decode(chip["blue"], "<u2", 256).reshape(128, 2, 128, 2).max(axis=(1, 3)) <= 1_000
        assert share == (valid & np.kron(dark, np.ones((2, 2), bool))).mean() < valid.mean()

    lost = settings | {"CHIPLAKE_BBOX": "null", "CHIPLAKE_FILL_MAX_AGE_DAYS": "60"}
    refused = dbt.run(schema, "run", "--select", "fct_chips", **lost)
    assert refused.returncode == 1
    assert "none is set here, so whole tiles would be cut: set CHIPLAKE_BBOX=" in refused.stdout
    assert "warning: CHIPLAKE_FILL_MAX_AGE_DAYS is 60 here; the lake was made with 7: " in refused.stderr
    assert "`chiplake settings --record` where the server runs" in refused.stderr
    assert not (tmp_path / "home").exists()
    shutil.rmtree(archive.root)


def test_textbook_models_of_a_user_keep_their_rows_over_thrift(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CHIPLAKE_HOME", "CHIPLAKE_THRIFT_PORT"):
        monkeypatch.setenv(variable, server.environment[variable])
    monkeypatch.setenv("CHIPLAKE_TARGET_SCHEMA", "dev_cem")
    get_settings.cache_clear()
    client = server.connect()
    for statement in FIRST_EVENTS:
        client.run(statement)
    try:
        project = DbtProject(tmp_path / "project", TEXTBOOK)
        check_textbook_models(project, "dev_cem", client.run, client.ask, "--target", "thrift")
    finally:
        get_settings.cache_clear()
