"""Fixtures for the tests of ingestion: their own lake, the command, servers, and a year of items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support.faulty_stac_server import Item, bare_item, items_of_a_year
from support.file_server import ServeFiles, serving_folders
from support.scripted_server import ServeAnswers, serving_answers
from support.searches import COUNT, FAST_RETRIES
from typer.testing import CliRunner

from chiplake.cli.ingest import ingest_command
from ingestion import run
from lakehouse.settings import Settings, get_settings


@pytest.fixture
def ingest_settings(tmp_path: Path) -> Settings:
    return Settings().replace(home=tmp_path / "lake")


@pytest.fixture(autouse=True)
def _fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an ingest retry as fast as the other tests do."""
    monkeypatch.setattr(run, "SEARCH_POLICY", FAST_RETRIES)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    get_settings.cache_clear()
    app = typer.Typer()
    app.command()(ingest_command)
    yield lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
    get_settings.cache_clear()


@pytest.fixture
def serve_files() -> Iterator[ServeFiles]:
    with serving_folders() as start:
        yield start


@pytest.fixture
def serve_answers() -> Iterator[ServeAnswers]:
    with serving_answers() as start:
        yield start


@pytest.fixture(scope="session")
def year() -> list[Item]:
    """Items of 2023, 300 of them within one second, with the members that a search needs."""
    return [bare_item(item) for item in items_of_a_year(COUNT, same_second=300)]


@pytest.fixture(scope="session")
def even_year() -> list[Item]:
    """Items of 2023 at equal intervals, with the members that a search needs."""
    return [bare_item(item) for item in items_of_a_year(COUNT)]


@pytest.fixture(scope="session")
def usable_year() -> list[Item]:
    """Items of 2023, 300 of them within one second, that become rows."""
    return items_of_a_year(COUNT, same_second=300)
