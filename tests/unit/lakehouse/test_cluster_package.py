"""The package that a job sends to a Spark cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from embedding.runs.export import check_objects
from embedding.runs.files import Run
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.spark.cluster import cluster_conf, is_cluster, write_package


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        ("local", False),
        ("local[*]", False),
        ("local[2,4]", False),
        ("local-cluster[2,1,1024]", True),
        ("spark://local:7077", True),
        ("yarn", True),
        ("k8s://https://127.0.0.1:6443", True),
    ],
)
def test_a_master_is_a_cluster_unless_tasks_run_in_the_driver(master: str, expected: bool) -> None:
    assert is_cluster(Settings().replace(spark_master=master).runtime) is expected


def test_the_package_is_the_same_for_the_same_code_and_holds_what_executors_import(tmp_path: Path) -> None:
    package = write_package(tmp_path / "one")
    again = write_package(tmp_path / "other")
    assert package.name == again.name
    assert package.read_bytes() == again.read_bytes()
    assert list(package.parent.iterdir()) == [package]
    with zipfile.ZipFile(package) as members:
        assert all(name.endswith(".py") for name in members.namelist())

    modules = "chiplake, embedding.runs.export, embedding.runs.object_writer, python_udfs.extract.chips as used"
    code = f"import {modules}; print(used.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == f"{package}/python_udfs/extract/chips.py", done.stderr


def test_executors_get_settings_for_reading_rasters_but_no_credentials() -> None:
    environment = {"AWS_REGION": "eu-central-1", "AWS_SECRET_ACCESS_KEY": "secret", "PC_SDK_SUBSCRIPTION_KEY": "secret"}
    conf = cluster_conf(Settings().runtime, environment)
    assert conf["spark.executorEnv.AWS_REGION"] == "eu-central-1"
    assert "secret" not in conf.values()
    assert all(Path(jar).is_file() for jar in conf["spark.jars"].split(","))


def test_objects_that_executors_wrote_elsewhere_are_reported(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.input_dir.mkdir(parents=True)
    (run.input_dir / "chips-00000.arrow").touch()
    check_objects(run, ["chips-00000.arrow"])
    with pytest.raises(ChiplakeError, match=r"1 of 2 objects .* CHIPLAKE_HOME must be on a file system"):
        check_objects(run, ["chips-00000.arrow", "chips-00001.arrow"])
