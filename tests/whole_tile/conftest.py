"""Minutes and gigabytes: these tests run only when asked for, `pytest tests/whole_tile`."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep out of a run whose arguments name neither this folder nor a file in it."""
    if collection_path != HERE and HERE not in collection_path.parents:
        return None
    asked = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return None if any(path == HERE or HERE in path.parents for path in asked) else True
