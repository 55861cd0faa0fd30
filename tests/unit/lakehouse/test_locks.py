"""One writer of a table at a time, in all processes; a dead writer holds nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse.catalog import pyiceberg_properties
from lakehouse.locks import HeldLock, Holder, LockedError, table_lock, table_lock_path, take
from lakehouse.settings import PROJECT_DIR, Settings

# Takes the lock of a table, says so, and holds it until it is killed or its standard input ends.
WRITER = """
import sys
from lakehouse.catalog import pyiceberg_properties
from lakehouse.locks import table_lock
from lakehouse.settings import Settings
with table_lock(pyiceberg_properties(Settings().lake), sys.argv[1]):
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIPLAKE_LOCK_WAIT_MINUTES", "0.5")
    return tmp_path / "lake"


@contextmanager
def writer(table: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes a table."""
    program = folder / "nightly_writer.py"
    program.write_text(WRITER)
    with subprocess.Popen(
        [sys.executable, str(program), table],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def properties(wait_minutes: float = 0.5) -> dict[str, str]:
    return pyiceberg_properties(Settings().replace(lock_wait_minutes=wait_minutes).lake)


def started(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"


def test_a_second_writer_waits_and_says_for_whom(home: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    with writer("chiplake.fct_chips", tmp_path) as first:
        started(first)

        def end_first(line: str) -> None:
            lines.append(line)
            assert first.stdin is not None
            first.stdin.close()

        with table_lock(properties(), "chiplake.fct_chips", end_first):
            assert first.wait(10) == 0
    assert len(lines) == 1
    said = re.fullmatch(
        rf"chiplake\.fct_chips is being written by process {first.pid} on \S+ "
        r"\(nightly_writer\.py chiplake\.fct_chips\) since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; waiting for up to 30 s",
        lines[0],
    )
    assert said, lines


def test_a_killed_writers_lock_is_free(home: Path, tmp_path: Path) -> None:
    with writer("chiplake.fct_chips", tmp_path) as first:
        started(first)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    with table_lock(properties(wait_minutes=0), "chiplake.fct_chips"):
        pass


def test_a_sleeping_writer_keeps_its_lock_and_the_second_gives_up_in_one_line(home: Path, tmp_path: Path) -> None:
    with writer("chiplake.fct_chips", tmp_path) as first:
        started(first)
        first.send_signal(signal.SIGSTOP)
        with (
            pytest.raises(LockedError, match=rf"process {first.pid} .* it was waited for 1 s; run this again") as error,
            table_lock(properties(wait_minutes=1 / 60), "chiplake.fct_chips", lambda _: None),
        ):
            pass
    assert "\n" not in str(error.value)


def test_only_writers_of_the_same_table_of_the_same_lake_meet(home: Path, tmp_path: Path) -> None:
    other_lake = pyiceberg_properties(Settings().replace(home=tmp_path / "other", lock_wait_minutes=0).lake)
    with writer("chiplake.fct_chips", tmp_path) as first:
        started(first)
        with (
            table_lock(properties(wait_minutes=0), "dev_ann.fct_chips"),
            table_lock(properties(wait_minutes=0), "chiplake.fct_filled_chips"),
            table_lock(other_lake, "chiplake.fct_chips"),
        ):
            pass
        with pytest.raises(LockedError), table_lock(properties(wait_minutes=0), "chiplake.FCT_CHIPS"):
            pass


def test_threads_of_one_process_write_one_after_the_other(home: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def write(number: int) -> None:
        with table_lock(properties(), "chiplake.fct_chips", lambda _: None):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1, 1, 1]


def test_a_failed_write_frees_the_lock(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), table_lock(properties(wait_minutes=0), "chiplake.fct_chips"):
        raise ZeroDivisionError
    with table_lock(properties(wait_minutes=0), "chiplake.fct_chips"):
        pass


def test_an_interrupt_ends_the_wait(home: Path) -> None:
    given_up = threading.Event()
    with table_lock(properties(), "chiplake.fct_chips"):
        began = time.monotonic()
        with (
            pytest.raises(LockedError, match="the wait was interrupted"),
            table_lock(properties(), "chiplake.fct_chips", lambda _: given_up.set(), given_up),
        ):
            pass
    assert time.monotonic() - began < 5


def test_catalogs_with_their_own_concurrency_have_no_locks(home: Path) -> None:
    rest = Settings().replace(catalog="rest", warehouse="s3://lake/warehouse")
    with table_lock(pyiceberg_properties(rest.lake), "raw.t"), table_lock(pyiceberg_properties(rest.lake), "raw.t"):
        pass
    assert not home.exists()


def test_the_command_that_is_named_shows_no_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/bin/chiplake", "ingest", "--api", "https://user:secret@stac.example/v1"])
    held = take(table_lock_path(home, "raw.t"), Holder.here())
    assert isinstance(held, HeldLock)
    stored = json.loads(table_lock_path(home, "raw.t").read_text())
    held.free()
    assert stored["command"].startswith("chiplake ingest --api https://")
    assert "secret" not in stored["command"]
    assert stored["process"] == os.getpid()
