"""The archive of classes: which archive fits, and a JVM that starts without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakehouse.settings import get_settings
from lakehouse.spark.class_archive import archive_options, archive_path
from lakehouse.spark.jars import ensure_jars


@pytest.fixture
def java_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "java"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch()
    (home / "release").write_text('JAVA_VERSION="17.0.15"')
    monkeypatch.setenv("JAVA_HOME", str(home))
    return home


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "jars" / name for name in ("a.jar", "b.jar")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.name)
    return paths


def test_an_archive_fits_one_java_and_one_set_of_jars(java_home: Path, jars: list[Path]) -> None:
    first = archive_path(jars)
    assert first == archive_path(jars)
    os.utime(jars[0], ns=(1, 1))
    of_other_jars = archive_path(jars)
    (java_home / "release").write_text('JAVA_VERSION="21"')
    assert len({first, of_other_jars, archive_path(jars), archive_path(jars[::-1])}) == 4


def test_without_an_archive_a_jvm_gets_no_option(java_home: Path, jars: list[Path]) -> None:
    assert archive_options(jars) == ""
    (java_home / "release").unlink()
    assert archive_path(jars) is None
    assert archive_options(jars) == ""


def test_setup_has_made_the_archive_of_this_environment() -> None:
    assert "-XX:SharedArchiveFile=" in archive_options(ensure_jars(get_settings().runtime))
