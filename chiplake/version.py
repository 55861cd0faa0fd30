"""The version of the project, which only pyproject.toml states."""

from __future__ import annotations

import importlib.metadata
import tomllib

from lakehouse.settings import PROJECT_DIR


def project_version() -> str:
    """Return the version of the code that runs, such as `0.1.0`.

    A checkout and the Spark image have pyproject.toml beside the packages; the metadata of an editable install may
    be of an earlier version. Only an installed wheel lacks the file.
    """
    pyproject = PROJECT_DIR / "pyproject.toml"
    if pyproject.is_file():
        return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])
    return importlib.metadata.version("chiplake")
