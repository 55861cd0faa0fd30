"""The doctor finds missing parts and names the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiplake import doctor
from chiplake.doctor import Finding, examine
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.spark.jars import JARS


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty folder."""
    return Settings().replace(home=tmp_path / "lake", jars_dir=tmp_path / "jars")


def findings_of(settings: Settings) -> dict[str, Finding]:
    """Return the findings by their subject."""
    return {finding.subject: finding for finding in examine(settings).findings}


def test_missing_and_changed_jars_are_found(settings: Settings) -> None:
    changed, *missing = JARS
    settings.runtime.jars_dir.mkdir()
    path = settings.runtime.jars_dir / changed.file_name
    path.write_bytes(b"another jar")
    findings = findings_of(settings)
    assert [findings[jar.coordinate].is_good for jar in JARS] == [False] * len(JARS)
    assert findings[changed.coordinate].detail == f"wrong SHA-256 sum: delete {path} and run `chiplake setup`"
    assert {findings[jar.coordinate].detail for jar in missing} == {"missing: run `chiplake setup`"}


def test_a_missing_java_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise ChiplakeError("Java 17 or 21 is needed")

    monkeypatch.setattr(doctor, "check_java", refuse)
    assert findings_of(settings)["Java"] == Finding("Java", False, "Java 17 or 21 is needed")


def test_the_catalog_is_created_and_its_tables_are_counted(settings: Settings) -> None:
    finding = findings_of(settings)["sql catalog"]
    assert finding == Finding("sql catalog", True, f"7 tables, warehouse {settings.lake.warehouse_location}")


def test_a_catalog_that_cannot_be_opened_is_found(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where a folder should be")
    finding = findings_of(settings)["sql catalog"]
    assert not finding.is_good
    assert finding.detail.startswith("File exists: ")


def test_a_clay_checkpoint_is_optional_but_must_exist(settings: Settings, tmp_path: Path) -> None:
    assert findings_of(settings)["Clay checkpoint"].is_good
    path = tmp_path / "clay.ckpt"
    finding = findings_of(settings.replace(clay_checkpoint=path))["Clay checkpoint"]
    assert finding == Finding("Clay checkpoint", False, f"{path} does not exist")
