"""A standalone Spark cluster of the hosts of a processing job.

The primary runs Spark's master and a worker, and the application once all workers have registered. Each other host
runs a worker until the master goes down, which it does when the application has ended.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

from chiplake.job_hosts import Hosts, wait_for_addresses, wait_until_none
from chiplake.job_resources import DAEMON_MEMORY, ClusterResources
from lakehouse.errors import ChiplakeError
from lakehouse.spark.jars import spark_home

_MASTER_PORT: Final = 7077
# Of the master's page, which also gives the state of the cluster as JSON. It shows whether the master is up, because
# the master logs each connection to its own port.
_PAGE_PORT: Final = 8080
_ANSWER_S: Final = 5.0
_POLL_S: Final = 2.0
_LOST_POLLS: Final = 3  # so many in a row that fail: the master is down
_END_S: Final = 20.0  # from SIGTERM to SIGKILL of a daemon; SageMaker gives the whole job 120


@dataclass(frozen=True)
class Daemon:
    """A process of Spark's master or of a worker."""

    kind: str
    process: subprocess.Popen[bytes]

    def failure(self) -> str:
        """Return that it has ended; empty while it runs."""
        code = self.process.poll()
        return "" if code is None else f"Spark's {self.kind} ended with exit code {code}; the log above says why"


@dataclass(frozen=True)
class Place:
    """What a daemon needs on its host."""

    hosts: Hosts
    resources: ClusterResources
    environment: Mapping[str, str]  # with the credentials of the job
    scratch: Path  # on the disk with the most free space


def master_address(hosts: Hosts) -> str:
    """Return the address of the cluster."""
    return f"spark://{hosts.primary}:{_MASTER_PORT}"


def host_environment(hosts: Hosts) -> dict[str, str]:
    """Return the variables by which a process of Spark listens at, and is known by, the name of its host."""
    return {"SPARK_LOCAL_IP": hosts.current, "SPARK_LOCAL_HOSTNAME": hosts.current}


@contextmanager
def primary_daemons(place: Place, wait_s: float) -> Iterator[tuple[Daemon, ...]]:
    """Run the master and the worker of the primary. All workers have registered when the context begins.

    Args:
        place: the primary.
        wait_s: longest time until all hosts have an address, and again until all workers have registered, seconds.

    Raises:
        ChiplakeError: a host did not come, or a daemon ended.
    """
    wait_for_addresses(place.hosts, wait_s)
    address = ["--host", place.hosts.current, "--port", str(_MASTER_PORT), "--webui-port", str(_PAGE_PORT)]
    with _daemon(place, "Master", address) as master, _worker(place) as worker:
        wait_for_workers(place.hosts, (master, worker), wait_s)
        _say(f"all {len(place.hosts.names)} hosts have joined the Spark cluster of {place.hosts.primary}")
        yield master, worker


def wait_for_workers(hosts: Hosts, daemons: tuple[Daemon, ...], wait_s: float, port: int = _PAGE_PORT) -> None:
    """Wait until a worker of every host has registered with the master.

    Args:
        hosts: the hosts of the job.
        daemons: of the primary.
        wait_s: longest time, seconds.
        port: of the master's page.

    Raises:
        ChiplakeError: a host did not come, or a daemon ended.
    """

    def missing() -> tuple[str, ...]:
        for daemon in daemons:
            if failure := daemon.failure():
                raise ChiplakeError(failure)
        registered = _registered(hosts.primary, port)
        return tuple(name for name in hosts.names if name not in registered)

    if absent := wait_until_none(missing, wait_s):
        raise ChiplakeError(
            f"{len(absent)} of {len(hosts.names)} hosts did not join in {wait_s:g} s: {', '.join(absent)}; their logs "
            "say why. In subnets of your own, the security group must let the hosts of a job reach each other"
        )


def work_for_primary(place: Place, wait_s: float) -> None:
    """Run a worker from when the master has come up until it goes down.

    Args:
        place: a host that is not the primary.
        wait_s: longest time until all hosts have an address, and again until the master is up, seconds.

    Raises:
        ChiplakeError: the master did not come up, or the worker ended before it.
    """
    wait_for_addresses(place.hosts, wait_s)
    wait_for_master(place.hosts, wait_s)
    with _worker(place) as worker:
        wait_for_end_of_master(place.hosts, worker)
        _say(f"the Spark cluster of {place.hosts.primary} has ended, and with it the work of this host")


def wait_for_master(hosts: Hosts, wait_s: float, port: int = _PAGE_PORT) -> None:
    """Wait until the master is up.

    Raises:
        ChiplakeError: it did not come up.
    """
    if wait_until_none(lambda: () if _is_up(hosts.primary, port) else (hosts.primary,), wait_s):
        raise ChiplakeError(
            f"Spark's master on the primary host {hosts.primary} did not come up in {wait_s:g} s; its log says why. "
            "In subnets of your own, the security group must let the hosts of a job reach each other"
        )


def wait_for_end_of_master(hosts: Hosts, worker: Daemon, port: int = _PAGE_PORT, poll_s: float = _POLL_S) -> None:
    """Wait until the master is down.

    Raises:
        ChiplakeError: the worker of this host ended although the master is up.
    """
    lost = 0
    while lost < _LOST_POLLS:
        lost = 0 if _is_up(hosts.primary, port) else lost + 1
        if lost == 0 and (failure := worker.failure()):
            raise ChiplakeError(failure)
        time.sleep(poll_s)


@contextmanager
def _worker(place: Place) -> Iterator[Daemon]:
    cores = place.resources.worker_cores(place.hosts.is_primary)
    # Its memory is only the limit of what an application may ask for; spark.executor.memory says how much it is.
    options = ["--host", place.hosts.current, "--cores", str(cores), "--work-dir", str(place.scratch / "executors")]
    with _daemon(place, "Worker", [*options, master_address(place.hosts)]) as worker:
        yield worker


@contextmanager
def _daemon(place: Place, kind: str, arguments: Sequence[str]) -> Iterator[Daemon]:
    """Run a daemon in the foreground, whose log is this process's standard error, and end it with the context."""
    home = spark_home()
    environment = {
        "SPARK_DAEMON_MEMORY": DAEMON_MEMORY,
        **place.environment,
        **host_environment(place.hosts),
        "SPARK_HOME": str(home),
        # Workers look for the master at its port only.
        "SPARK_MASTER_OPTS": "-Dspark.port.maxRetries=0 -Dspark.ui.killEnabled=false",
    }
    process = subprocess.Popen(
        [home / "bin" / "spark-class", f"org.apache.spark.deploy.{kind.lower()}.{kind}", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
    )
    try:
        yield Daemon(kind.lower(), process)
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _say(text: str) -> None:
    print(f"smspark-submit: {text}", file=sys.stderr, flush=True)


def _registered(primary: str, port: int) -> set[str]:
    """Return the hosts whose workers the master knows as alive; empty while the master does not answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not know the hosts of a job
    try:
        with direct.open(f"http://{primary}:{port}/json/", timeout=_ANSWER_S) as answer:
            state = json.load(answer)
    except (OSError, HTTPException, ValueError):  # it is starting
        return set()
    return {worker["host"] for worker in state["workers"] if worker["state"] == "ALIVE"}


def _is_up(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_ANSWER_S):
            return True
    except OSError:
        return False
