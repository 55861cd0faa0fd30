"""Airflow for tests: its home is a temporary folder, and it can only reach loopback."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chiplake_airflow.managed_versions import MANAGED_VERSIONS

from lakehouse.settings import PROJECT_DIR
from support.ports import free_port, wait_for_port

BIN = Path(sys.executable).parent
# Managed Airflow as AWS installs it; made by `make setup`.
MANAGED_BINS = {version: PROJECT_DIR / f".venv-airflow-{version}" / "bin" for version in MANAGED_VERSIONS}
OLDEST_BIN, NEWEST_BIN = MANAGED_BINS[MANAGED_VERSIONS[0]], MANAGED_BINS[MANAGED_VERSIONS[-1]]
DAGS = PROJECT_DIR / "dags"
_START_S = 180  # for the API server of Airflow


@dataclass(frozen=True)
class Airflow:
    """An installation of Airflow, and the environment variables of its commands."""

    bin: Path
    environment: Mapping[str, str]

    def graphs(self, environments: Mapping[str, Mapping[str, str]], dags: Path = DAGS) -> dict[str, dict[str, Any]]:
        """Parse a folder of DAGs in each of these environments, as a scheduler does; see print_graph.py."""
        done = subprocess.run(
            [self.bin / "python", PROJECT_DIR / "tests" / "orchestration" / "print_graph.py", dags],
            env=dict(self.environment),
            input=json.dumps(environments),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        graphs: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["graphs"]
        return graphs

    def set_up(self) -> None:
        """Make the database and serialise the DAGs into it, as the DAG processor does."""
        for command in (("db", "migrate"), ("dags", "reserialize")):
            done = self(*command)
            assert done.returncode == 0, done.stdout

    def asset_events(self, *numbers: str) -> dict[str, list[dict[str, Any]]]:
        """Return what each event of an asset says, by the name of the asset.

        Args:
            numbers: the keys of `extra` to return.
        """
        query = "select name, asset_event.extra from asset_event join asset on asset.id = asset_event.asset_id"
        with closing(sqlite3.connect(Path(self.environment["AIRFLOW_HOME"]) / "airflow.db")) as connection:
            found = connection.execute(query).fetchall()
        events: dict[str, list[dict[str, Any]]] = {}
        for name, extra in found:
            events.setdefault(name, []).append({key: json.loads(extra).get(key) for key in numbers})
        return events

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Airflow to its end. `stdout` has its output and its log."""
        with self.start(*arguments, **environment) as process:
            output, _ = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of Airflow. Its output and its log go to `stdout`."""
        return subprocess.Popen(
            [self.bin / "airflow", *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def airflow_servers(airflow: Airflow, folder: Path) -> Iterator[None]:
    """Run Airflow's API server, scheduler and triggerer while the context lasts, as AWS does. DAGs are not paused.

    Args:
        airflow: an Airflow without a database.
        folder: folder of the logs of the servers.
    """
    port = str(free_port())
    environment = {
        **airflow.environment,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret that all servers of a test share, and nobody else has",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
    }
    Airflow(airflow.bin, environment).set_up()
    with ExitStack() as stack:
        for name in ("api-server", "scheduler", "triggerer"):
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            command = [airflow.bin / "airflow", name]
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            stack.callback(_kill_all, server)
            if name == "api-server":  # a task that starts before it answers fails
                wait_for_port(int(port), server, _START_S)
        yield


def _kill_all(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)  # its children, too
    server.wait()


def write_manifest(folder: Path) -> Path:
    """Write the dbt manifest of the project; `dbt parse` starts no JVM."""
    project = ("--project-dir", PROJECT_DIR, "--profiles-dir", PROJECT_DIR / "profiles")
    command: list[str | Path] = [BIN / "dbt", "--quiet", "parse", *project]
    command += ["--target-path", folder, "--log-path", folder]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)})
    return folder / "manifest.json"


def airflow_at(home: Path, manifest: Path, bin: Path = BIN) -> Airflow:
    """Return an Airflow with an empty home and without examples."""
    if not bin.is_dir():
        pytest.fail(f"no Airflow at {bin.parent}: run `make setup`", pytrace=False)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "CHIPLAKE_A"))}
    return Airflow(
        bin,
        environment
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "false",
            "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            # `dags test` of Airflow 3.0 does not put the DAGs folder on the path, as its scheduler does.
            "PYTHONPATH": f"{PROJECT_DIR}{os.pathsep}{DAGS}",
            "CHIPLAKE_AIRFLOW_RUNTIME": "local",
            "CHIPLAKE_AIRFLOW_BIN": str(BIN),
            "CHIPLAKE_AIRFLOW_MANIFEST": str(manifest),
        },
    )
