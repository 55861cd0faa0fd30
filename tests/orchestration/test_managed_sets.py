"""The sets of packages of managed Airflow: the locks follow AWS's constraints, the environments follow the locks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from chiplake_airflow.managed_versions import MANAGED_VERSIONS
from packaging.markers import Marker
from packaging.utils import canonicalize_name
from support.airflow_home import MANAGED_BINS

from lakehouse.settings import PROJECT_DIR

# What AWS installs in each image.
KEY_PACKAGES = ("apache-airflow", "apache-airflow-providers-amazon", "apache-airflow-providers-common-compat",
    "apache-airflow-providers-standard", "boto3", "pydantic", "celery", "watchtower")  # fmt: skip
KEY_VERSIONS = {
    "3.0.6": ("3.0.6", "9.12.0", "1.7.3", "1.6.0", "1.39.11", "2.11.7", "5.5.2", "3.4.0"),
    "3.2.1": ("3.2.1", "9.25.0", "1.14.3", "1.12.3", "1.42.84", "2.13.1", "5.6.3", "3.4.0"),
    "3.3.1": ("3.3.1", "9.34.0", "1.18.0", "1.17.0", "1.43.56", "2.13.4", "5.6.3", "3.4.0"),
}
# Packages that a constraints file may lack: Airflow itself, what the tests add, and what celery[sqs] needs.
WITHOUT_CONSTRAINT = {
    *("apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"),
    *("astronomer-cosmos", "aenum", "pycurl"),
}
PINS = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"


def pins_of(path: Path, python: str) -> dict[str, str]:
    """Return the versions of a lock or of constraints for a version of Python, by canonical name."""
    environment = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    pins: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if found := re.match(r"([\w.-]+)==([^\s;]+)\s*(?:;\s*(.*?))?\s*\\?$", line):
            name, version, marker = found.groups()
            if marker is None or Marker(marker).evaluate(environment):
                pins[canonicalize_name(name)] = version
    return pins


def lock_of(version: str, python: str = "3.12.1") -> dict[str, str]:
    return pins_of(PROJECT_DIR / "tests" / "orchestration" / f"requirements-{version}.lock", python)


def test_the_makefile_has_the_versions_of_the_dag() -> None:
    (versions,) = re.findall(r"^AIRFLOW_VERSIONS := (.*)$", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE)
    assert tuple(versions.split()) == MANAGED_VERSIONS == tuple(KEY_VERSIONS)


@pytest.mark.parametrize("version", MANAGED_VERSIONS)
def test_a_lock_has_the_versions_that_aws_installs(version: str) -> None:
    lock = lock_of(version)
    assert tuple(lock[name] for name in KEY_PACKAGES) == KEY_VERSIONS[version]


@pytest.mark.parametrize("version", MANAGED_VERSIONS)
def test_a_lock_follows_every_constraint_of_aws(version: str, sample_data: Path) -> None:
    path = sample_data.parent / "aws" / "mwaa" / f"constraints-{version}.txt"
    if not path.is_file():
        pytest.skip(f"no constraints at {path}")
    constraints, lock = pins_of(path, "3.12.1"), lock_of(version)
    assert lock.keys() - constraints.keys() <= WITHOUT_CONSTRAINT
    assert {name: pin for name, pin in lock.items() if constraints.get(name, pin) != pin} == {}


@pytest.mark.parametrize("version", MANAGED_VERSIONS)
def test_a_lock_is_the_same_on_python_3_11(version: str) -> None:
    assert lock_of(version, "3.11.7") == lock_of(version)


@pytest.mark.airflow
@pytest.mark.parametrize("version", MANAGED_VERSIONS)
def test_an_environment_is_exactly_its_lock(version: str) -> None:
    python = MANAGED_BINS[version] / "python"
    # -I keeps the project, which has metadata of its own, off the path.
    listed = subprocess.run([python, "-I", "-c", PINS], check=True, capture_output=True, text=True).stdout
    installed = {canonicalize_name(name): pin for name, pin in json.loads(listed)}
    number = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    assert installed == lock_of(version, number)
