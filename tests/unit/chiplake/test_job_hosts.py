"""The hosts of a processing job, from SageMaker's file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from chiplake.job_hosts import Hosts, read_hosts, wait_for_addresses, wait_until_none
from lakehouse.errors import ChiplakeError


def write_hosts(root: Path, folder: str, content: object) -> None:
    path = root / folder / "resourceconfig.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("folder", ["config", "input/config"])
def test_the_primary_is_the_first_of_the_sorted_hosts(tmp_path: Path, folder: str) -> None:
    content = {
        "current_host": "algo-2",
        "hosts": ["algo-3", "algo-1", "algo-2"],
        "current_instance_type": "ml.m5.large",
    }
    write_hosts(tmp_path, folder, content)
    hosts = read_hosts(tmp_path)
    assert hosts.names == ("algo-1", "algo-2", "algo-3")
    assert (hosts.current, hosts.primary, hosts.is_primary) == ("algo-2", "algo-1", False)


def test_the_newer_place_of_the_file_counts(tmp_path: Path) -> None:
    write_hosts(tmp_path, "input/config", {"current_host": "old", "hosts": ["old"]})
    write_hosts(tmp_path, "config", {"current_host": "new", "hosts": ["new"]})
    assert read_hosts(tmp_path).current == "new"


def test_without_the_file_there_is_one_host(tmp_path: Path) -> None:
    hosts = read_hosts(tmp_path)
    assert hosts.names == ("algo-1",)
    assert hosts.is_primary


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"current_host": "algo-1"},
        {"current_host": "algo-1", "hosts": []},
        {"current_host": "algo-1", "hosts": "algo-1"},
        {"current_host": "algo-3", "hosts": ["algo-1", "algo-2"]},
        {"current_host": 1, "hosts": [1]},
    ],
)
def test_a_file_that_does_not_name_this_host_is_an_error(tmp_path: Path, content: object) -> None:
    write_hosts(tmp_path, "config", content)
    with pytest.raises(
        ChiplakeError, match=r"resourceconfig\.json: hosts must be a list of names that has current_host"
    ):
        read_hosts(tmp_path)


def test_a_file_that_is_not_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "resourceconfig.json").write_text("{")
    with pytest.raises(ChiplakeError, match=r"resourceconfig\.json is not valid JSON"):
        read_hosts(tmp_path)


def test_a_host_without_an_address_is_named() -> None:
    wait_for_addresses(Hosts("127.0.0.1", ("127.0.0.1", "localhost")), wait_s=0.1)
    absent = "algo-9.invalid"  # RFC 2606: no name ends so
    with pytest.raises(ChiplakeError, match=r"^no address of algo-9\.invalid in 0\.1 s: did these hosts"):
        wait_for_addresses(Hosts("127.0.0.1", ("127.0.0.1", absent)), wait_s=0.1)


def test_waiting_ends_as_soon_as_nothing_is_missing() -> None:
    answers = [("a", "b"), ("b",), ()]
    began = time.monotonic()
    assert wait_until_none(lambda: answers.pop(0), wait_s=60) == ()
    assert answers == []
    assert time.monotonic() - began < 30


def test_waiting_ends_at_its_limit() -> None:
    assert wait_until_none(lambda: ("b",), wait_s=0.1) == ("b",)
