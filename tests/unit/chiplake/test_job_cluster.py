"""How the hosts of a job wait for Spark's master and workers; a small server plays the master's page."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.ports import free_port

from chiplake.job_cluster import (
    Daemon,
    host_environment,
    master_address,
    wait_for_end_of_master,
    wait_for_master,
    wait_for_workers,
)
from chiplake.job_hosts import Hosts
from lakehouse.errors import ChiplakeError

HOSTS = Hosts("127.0.0.1", ("127.0.0.1", "algo-2", "algo-3"))


@contextmanager
def page(states: dict[str, str]) -> Iterator[int]:
    """Serve the state of a master with some workers; yield the port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/json/"
            workers = [{"host": host, "state": state, "cores": 4} for host, state in states.items()]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "ALIVE", "workers": workers}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def daemon(kind: str, script: str) -> Iterator[Daemon]:
    """Run a script of Python in place of a daemon."""
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            yield Daemon(kind, process)
        finally:
            process.kill()


def test_the_addresses_of_the_cluster() -> None:
    hosts = Hosts("algo-2", ("algo-1", "algo-2"))
    assert master_address(hosts) == "spark://algo-1:7077"
    assert host_environment(hosts) == {"SPARK_LOCAL_IP": "algo-2", "SPARK_LOCAL_HOSTNAME": "algo-2"}


def test_all_workers_have_registered() -> None:
    with page(dict.fromkeys(HOSTS.names, "ALIVE")) as port:
        wait_for_workers(HOSTS, (), wait_s=5, port=port)


def test_the_master_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with page(dict.fromkeys(HOSTS.names, "ALIVE")) as port:
        wait_for_workers(HOSTS, (), wait_s=1, port=port)


def test_a_host_that_never_comes_is_named() -> None:
    with (
        page({"127.0.0.1": "ALIVE", "algo-3": "DEAD"}) as port,
        pytest.raises(ChiplakeError, match=r"^2 of 3 hosts did not join in 0\.2 s: algo-2, algo-3; their logs say why"),
    ):
        wait_for_workers(HOSTS, (), wait_s=0.2, port=port)


def test_a_master_without_a_page_has_no_workers() -> None:
    with pytest.raises(ChiplakeError, match=r"3 of 3 hosts did not join"):
        wait_for_workers(HOSTS, (), wait_s=0.2, port=free_port())


def test_a_daemon_that_ends_before_all_have_come_is_the_error() -> None:
    with daemon("master", "raise SystemExit(7)") as master:
        master.process.wait()
        with pytest.raises(ChiplakeError, match=r"Spark's master ended with exit code 7"):
            wait_for_workers(HOSTS, (master,), wait_s=60, port=free_port())


def test_a_primary_that_never_comes_is_named() -> None:
    with pytest.raises(ChiplakeError, match=r"on the primary host 127\.0\.0\.1 did not come up in 0\.2 s"):
        wait_for_master(HOSTS, wait_s=0.2, port=free_port())


def test_a_host_works_until_the_master_is_down() -> None:
    ended = threading.Event()
    with daemon("worker", "import time; time.sleep(60)") as worker:

        def work(port: int) -> None:
            wait_for_end_of_master(HOSTS, worker, port, poll_s=0.1)
            ended.set()

        with page({}) as port:
            wait_for_master(HOSTS, wait_s=5, port=port)
            thread = threading.Thread(target=work, args=(port,))
            thread.start()
            assert not ended.wait(1)
        assert ended.wait(10)
        thread.join()


def test_a_worker_that_ends_before_the_master_is_an_error() -> None:
    with (
        page({}) as port,
        daemon("worker", "raise SystemExit(3)") as worker,
        pytest.raises(ChiplakeError, match=r"Spark's worker ended with exit code 3"),
    ):
        wait_for_end_of_master(HOSTS, worker, port, poll_s=0.1)
