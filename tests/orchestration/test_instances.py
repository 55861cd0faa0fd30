"""The number of instances of a job, and the count of scenes that it follows from; a small server plays the API."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import chiplake_airflow.instances
import pytest
from chiplake_airflow.instances import InstanceRule, SceneSearch, choose_instances, count_scenes
from support.ports import free_port

SEARCH = SceneSearch("http://unused", "sentinel-2-l2a", "2023-08-03", "2023-08-13")


@contextmanager
def api(answer: bytes, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """Serve one answer to every request; yield the address, and a list of the requests' paths and bodies."""
    requests: list[Any] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, json.loads(body)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("scenes", "instances"), [(None, 2), (0, 2), (200, 2), (201, 3), (300, 3), (301, 4), (10_000, 5)]
)
def test_an_instance_for_every_hundred_scenes_within_bounds(scenes: int | None, instances: int) -> None:
    assert InstanceRule(minimum=2, maximum=5, scenes_per_instance=100).instances(scenes) == instances


def test_the_api_is_asked_only_if_the_variables_leave_a_choice() -> None:
    with api(b'{"numberMatched": 312}') as (address, requests):
        search = replace(SEARCH, api=address)
        assert choose_instances(search, lambda _name: None) == 1
        both = {"chiplake_spark_min_instances": "3", "chiplake_spark_max_instances": "3"}
        assert choose_instances(search, both.get) == 3
        assert requests == []
        assert choose_instances(search, {"chiplake_spark_max_instances": "9"}.get) == 4
    assert len(requests) == 1


def test_without_variables_a_job_has_one_instance() -> None:
    rule = InstanceRule.from_variables(lambda name: None)
    assert (rule.minimum, rule.maximum) == (1, 1)
    assert rule.instances(1_000_000) == 1


def test_the_rule_is_read_from_variables() -> None:
    given = {
        "chiplake_spark_min_instances": "2",
        "chiplake_spark_max_instances": "8",
        "chiplake_scenes_per_instance": "50",
    }
    assert InstanceRule.from_variables(given.get) == InstanceRule(2, 8, 50)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"chiplake_spark_max_instances": "many"},
            "Variable chiplake_spark_max_instances: 'many' is not a whole number",
        ),
        (
            {"chiplake_spark_min_instances": "2"},
            "2, 1 and 100; they must be 1 or more, and the first at most the second",
        ),
        ({"chiplake_spark_min_instances": "0"}, "0, 1 and 100; they must be 1 or more"),
        ({"chiplake_scenes_per_instance": "-1"}, "1, 1 and -1; they must be 1 or more"),
    ],
)
def test_wrong_variables_are_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InstanceRule.from_variables(given.get)


@pytest.mark.parametrize("answer", [{"numberMatched": 312, "features": [{}]}, {"context": {"matched": 312}}])
def test_the_count_of_the_api(answer: dict[str, Any]) -> None:
    with api(json.dumps(answer).encode()) as (address, requests):
        search = replace(SEARCH, api=f"{address}/", bbox="16.3,45.7,16.45,45.82", max_cloud="60")
        assert count_scenes(search) == 312
    expected = {
        "limit": 1,
        "collections": ["sentinel-2-l2a"],
        "datetime": "2023-08-03T00:00:00Z/2023-08-13T23:59:59.999999Z",
        "bbox": [16.3, 45.7, 16.45, 45.82],
        "query": {"eo:cloud_cover": {"lte": 60.0}},
    }
    assert requests == [("/v1/search", expected)]


def test_without_an_area_or_a_limit_of_cloud_neither_is_asked_for() -> None:
    with api(b'{"numberMatched": 0}') as (address, requests):
        assert count_scenes(replace(SEARCH, api=address)) == 0
    ((_, body),) = requests
    assert body.keys() == {"limit", "collections", "datetime"}


@pytest.mark.parametrize(
    "answer", [b'{"features": []}', b"[]", b'{"numberMatched": null}', b'{"numberMatched": "3"}', b'{"context": 3}']
)
def test_an_api_that_reports_no_count(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with api(answer) as (address, _), caplog.at_level(logging.WARNING):
        assert count_scenes(replace(SEARCH, api=address)) is None
    assert f"{address} reports no count of scenes" in caplog.text


@pytest.mark.parametrize(("answer", "status"), [(b"no such path", 404), (b"<html>", 200), (b"", 500)])
def test_an_api_that_does_not_answer_in_json(answer: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    with api(answer, status) as (address, _), caplog.at_level(logging.WARNING):
        assert count_scenes(replace(SEARCH, api=address)) is None
    assert f"{address} gave no count of scenes" in caplog.text


def test_an_api_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert count_scenes(replace(SEARCH, api=f"http://127.0.0.1:{free_port()}")) is None
    assert "gave no count of scenes" in caplog.text


def test_an_answer_that_is_too_large(caplog: pytest.LogCaptureFixture) -> None:
    with api(b'{"numberMatched": 3, "x": "' + b"x" * (5 * 2**20) + b'"}') as (address, _):
        assert count_scenes(replace(SEARCH, api=address)) is None
    assert "more than 4194304 bytes" in caplog.text


def test_an_answer_that_takes_too_long(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(chiplake_airflow.instances, "_WHOLE_ANSWER_S", 0.0)
    with api(b'{"numberMatched": 3}') as (address, _):
        assert count_scenes(replace(SEARCH, api=address)) is None
    assert "took longer than 0 s" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"api": "ftp://127.0.0.1"}, "Variable chiplake_stac_api: 'ftp://127.0.0.1' is not an http or https address"),
        ({"bbox": "1,2,x,4"}, "Variable chiplake_bbox: 'x' is not a number"),
        ({"max_cloud": "60%"}, "Variable chiplake_max_cloud: '60%' is not a number"),
    ],
)
def test_a_search_that_cannot_be_made(change: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count_scenes(replace(replace(SEARCH, api="http://127.0.0.1:9"), **change))
