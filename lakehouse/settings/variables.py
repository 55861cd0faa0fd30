"""The variables `CHIPLAKE_…` of the environment and of `.env` files, and those among them that nothing reads."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from lakehouse.errors import ChiplakeError
from lakehouse.notices import notice

PROJECT_DIR = Path(__file__).resolve().parents[2]
PREFIX = "CHIPLAKE_"  # of the environment variables of all settings

ENV_FILE_VARIABLE: Final = "CHIPLAKE_ENV_FILE"

# Variables that are not settings: of the tests, of profiles.yml, of the servers and of the images.
_OTHER_VARIABLES: Final = frozenset(
    {
        ENV_FILE_VARIABLE,
        *("CHIPLAKE_THRIFT_HOST", "CHIPLAKE_THRIFT_PORT"),
        *("CHIPLAKE_DEVICE", "CHIPLAKE_EXPECTED_MODEL_ID", "CHIPLAKE_JOB_USER", "CHIPLAKE_ML_ROOT"),
        *("CHIPLAKE_DEPLOYMENT_FILE", "CHIPLAKE_SAMPLE_DATA", "CHIPLAKE_UPDATE_SNAPSHOTS"),
        # Of the dbt plugin.
        *("CHIPLAKE_ALL_BANDS", "CHIPLAKE_ALL_PROBABILITIES", "CHIPLAKE_CODE_DIGEST", "CHIPLAKE_CODE_VERSION"),
        *("CHIPLAKE_FILL_MASK_VERSION", "CHIPLAKE_LOST_LIMITS"),
    }
)
_OTHER_PREFIXES: Final = ("CHIPLAKE_AIRFLOW_",)
_LEAST_LIKENESS: Final = 0.6  # of names without their prefix, 0 to 1: below, a name is not a misspelling of another


def env_files() -> tuple[Path, ...]:
    """Return the `.env` files, those of the project and of the working directory; a later one has priority.

    CHIPLAKE_ENV_FILE names another file instead; if it is empty, no file is read.
    """
    named = os.environ.get(ENV_FILE_VARIABLE)
    if named is not None:
        return (Path(named),) if named else ()
    return tuple(dict.fromkeys(folder / ".env" for folder in (PROJECT_DIR, Path.cwd())))


def file_variables() -> dict[str, str]:
    """Return the variables of the `.env` files, in upper case.

    Raises:
        ChiplakeError: a file cannot be read.
    """
    found: dict[str, str] = {}
    for path in env_files():
        if not path.is_file():
            continue
        try:
            values = dotenv_values(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ChiplakeError(f"{path} cannot be read: {error}; correct it, or set {ENV_FILE_VARIABLE}=") from error
        found |= {name.upper(): value for name, value in values.items() if value is not None}
    return found


def all_variables() -> dict[str, str]:
    """Return the variables of the `.env` files and of the environment, which has priority, in upper case."""
    return file_variables() | {name.upper(): value for name, value in os.environ.items()}


@contextmanager
def variables_in_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables in the environment of this process while the context lasts, for a library that reads it."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)


def notice_unknown(variables: Iterable[str], settings: Iterable[str]) -> None:
    """Tell the user about variables `CHIPLAKE_…` that are not read, once a process.

    Args:
        variables: names of variables that are set, in upper case.
        settings: names of the variables of all settings.
    """
    known = {*settings, *_OTHER_VARIABLES}
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in known and not name.startswith(_OTHER_PREFIXES):
            notice(f"{name} is not a setting and has no effect; {_remedy(name, known)}")


def _remedy(name: str, known: Iterable[str]) -> str:
    # Without the prefix, which all names share and which would make any two of them alike.
    by_ending: Mapping[str, str] = {one.removeprefix(PREFIX): one for one in sorted(known)}
    nearest = difflib.get_close_matches(name.removeprefix(PREFIX), by_ending, n=1, cutoff=_LEAST_LIKENESS)
    return f"did you mean {by_ending[nearest[0]]}?" if nearest else "`chiplake doctor` lists the settings"
