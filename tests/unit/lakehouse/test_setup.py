"""Errors of a machine without the right tools, and of wrong settings: one line with the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR, InvalidSettingError, Settings
from lakehouse.spark import jars

BIN = Path(sys.executable).parent


def _fake_java(home: Path, version: str) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return home


@pytest.mark.parametrize("version", ["17.0.15", "21"])
def test_a_java_that_spark_supports_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path, version)))
    assert jars.check_java() == version


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_392", "24"])
def test_java_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path, version)))
    with pytest.raises(ChiplakeError, match=f'Java 17 or 21 is needed and .* is version "{version}'):
        jars.check_java()


def test_a_missing_java_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    with pytest.raises(ChiplakeError, match="does not run: install it or set JAVA_HOME"):
        jars.check_java()


@pytest.mark.parametrize("version", ["11.0.2", None])
def test_make_reports_in_one_line_which_java_it_needs(tmp_path: Path, version: str | None) -> None:
    home = _fake_java(tmp_path, version) if version else tmp_path / "none"
    script = PROJECT_DIR / "scripts" / "check_tools.sh"
    done = subprocess.run(
        ["sh", script, sys.executable], env=os.environ | {"JAVA_HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("chiplake: Java 17 or 21 is needed")


def test_a_jar_with_a_wrong_sum_is_refused_and_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Path(Settings().runtime.jars_dir) / jars.JARS[-1].file_name
    if not good.exists():
        pytest.skip("no jars here: run `chiplake setup`")
    changed = jars.Jar(jars.JARS[-1].group, jars.JARS[-1].artifact, jars.JARS[-1].version, "0" * 64)
    monkeypatch.setattr(jars, "JARS", (changed,))

    def deliver(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[3]) / "jars"
        folder.mkdir(parents=True)
        (folder / f"{changed.group}_{changed.file_name}").write_bytes(good.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(jars, "check_java", lambda: "17")
    monkeypatch.setattr(subprocess, "run", deliver)  # in place of the resolver
    with pytest.raises(ChiplakeError, match=r"is not the jar recorded in lakehouse\.spark\.jars"):
        jars.ensure_jars(Settings().replace(jars_dir=tmp_path / "jars").runtime)
    assert list((tmp_path / "jars").glob("*.jar")) == []


def test_unknown_bands_are_refused_and_known_ones_sorted() -> None:
    assert Settings().replace(bands=("nir", "blue")).cutting.bands == ("blue", "nir")
    with pytest.raises(InvalidSettingError, match=r"unknown bands \['B99'\]; choose from blue, green"):
        Settings().replace(bands=("blue", "B99"))


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["run", "no_such_job"], {}, 2, "there is no job 'no_such_job'"),
        (["run", "nightly", "--start-date", "yesterday"], {}, 2, "--start-date"),
        (["run", "nightly", "--start-date", "2023-08-02", "--end-date", "2023-08-01"], {}, 1, "is after the end date"),
        (["ingest", "--items", "/no/such/file.json"], {}, 2, "/no/such/file.json does not exist"),
        (["doctor"], {"CHIPLAKE_BANDS": '["B99"]'}, 1, "setting CHIPLAKE_BANDS: unknown bands"),
    ],
)
def test_the_command_line_ends_with_one_line_and_the_right_code(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], code: int, message: str
) -> None:
    done = subprocess.run(
        [BIN / "chiplake", *arguments],
        env=os.environ | {"CHIPLAKE_HOME": str(tmp_path), "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(done.stderr.splitlines()) == 1
