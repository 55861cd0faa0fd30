"""Arguments of the project's commands. They are templates: Airflow renders them when a task runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chiplake_airflow.days import FIRST_DAY, LAST_DAY
from chiplake_airflow.variables import variable

EARTH_SEARCH: Final = "https://earth-search.aws.element84.com/v1"
DAYS: Final = (f"--start-date={FIRST_DAY}", f"--end-date={LAST_DAY}")

_API: Final = f"'--api=' ~ {variable('chiplake_stac_api', EARTH_SEARCH)}"


def ingest_command(from_files: bool) -> tuple[str, ...]:
    """Return the arguments of `chiplake` that ingest the days of a run.

    Args:
        from_files: the Variable `chiplake_stac_items` may name files to read instead of an API.
    """
    source = f"{{{{ {_API} }}}}"
    if from_files:
        items = variable("chiplake_stac_items", "")
        source = f"{{% set items = {items} %}}{{{{ '--items=' ~ items if items else {_API} }}}}"
    return (
        "ingest",
        source,
        *DAYS,
        _option("--bbox", "chiplake_bbox"),
        _option("--max-cloud", "chiplake_max_cloud"),
    )


def without_empty(arguments: Sequence[str]) -> list[str]:
    """Drop the arguments that were rendered to nothing, such as the option of a Variable that is not set."""
    return [argument for argument in arguments if argument.strip()]


def _option(flag: str, name: str) -> str:
    """Return an option whose value is a Variable; it is rendered to nothing if the Variable is not set."""
    return f"{{% set value = {variable(name, '')} %}}{{{{ '{flag}=' ~ value if value else '' }}}}"
