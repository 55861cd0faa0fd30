"""What tests of ingestion share: a lake of their own, and its command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chiplake.cli.ingest import ingest_command
from lakehouse.settings import Settings, get_settings


@pytest.fixture
def ingest_settings(tmp_path: Path) -> Settings:
    return Settings().replace(home=tmp_path / "lake")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    get_settings.cache_clear()
    app = typer.Typer()
    app.command()(ingest_command)
    yield lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
    get_settings.cache_clear()
