"""An empty lake for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from lakehouse.catalog import ensure_sources
from lakehouse.notices import forget_notices
from lakehouse.settings import Settings, get_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of an empty lake, also in the environment."""
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    get_settings.cache_clear()
    forget_notices()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    return ensure_sources(settings)


@pytest.fixture
def model_id(settings: Settings) -> str:
    from embedding.model.card import preprocessing_of
    from embedding.model.weights import describe_model

    return describe_model(None, preprocessing_of(settings.clay)).model_id
