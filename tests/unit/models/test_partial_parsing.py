"""dbt keeps what it has parsed while files and settings stay the same. These tests start no JVM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from lakehouse.settings import PROJECT_DIR, get_settings


def parsed_again(target: Path) -> int | None:
    """Parse the project, and return the number of files that dbt parsed again; None if it kept nothing."""
    changed: list[int] = []

    def on_event(event: Any) -> None:
        if event.info.name == "PartialParsingEnabled":
            changed.append(event.data.changed)

    get_settings.cache_clear()
    places = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    places += ["--target-path", str(target)]
    done = dbtRunner(callbacks=[on_event]).invoke(["--quiet", "--log-level-file", "none", "parse", *places])
    assert done.success, done.exception
    return changed[0] if changed else None


def test_dbt_parses_again_only_what_reads_a_setting_that_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed_again(tmp_path) is None
    assert parsed_again(tmp_path) == 0
    monkeypatch.setenv("CHIPLAKE_FILL_MIN_COMPLETE", "0.5")
    changed = parsed_again(tmp_path)
    assert changed is not None
    assert 1 <= changed <= 10
    assert parsed_again(tmp_path) == 0
