"""Commands, and the operator that runs them in the project's own environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator

from chiplake_airflow.days import FIRST_DAY, LAST_DAY
from chiplake_airflow.values import job_settings
from chiplake_airflow.variables import variable

EARTH_SEARCH: Final = "https://earth-search.aws.element84.com/v1"
INCOMPLETE: Final = 3  # exit code of a command that did all but for some chips: CHIPLAKE_INCOMPLETE_EXIT_CODE

DAYS: Final = (f"--start-date={FIRST_DAY}", f"--end-date={LAST_DAY}")


def option(flag: str, name: str) -> str:
    """An option whose value is a Variable; nothing if there is no such Variable."""
    return f"{{% set value = {variable(name, '')} %}}{{{{ '{flag}=' ~ value if value else '' }}}}"


_API: Final = f"'--api=' ~ {variable('chiplake_stac_api', EARTH_SEARCH)}"


def ingest_command(from_files: bool) -> tuple[str, ...]:
    """Arguments of `chiplake` that ingest the days of a run; `from_files`: also from files, by a Variable."""
    source = f"{{{{ {_API} }}}}"
    if from_files:
        items = variable("chiplake_stac_items", "")
        source = f"{{% set items = {items} %}}{{{{ '--items=' ~ items if items else {_API} }}}}"
    return (
        "ingest",
        source,
        *DAYS,
        option("--bbox", "chiplake_bbox"),
        option("--max-cloud", "chiplake_max_cloud"),
    )


def without_absent(arguments: Sequence[str]) -> list[str]:
    """The arguments that a template left something of."""
    return [argument for argument in arguments if argument.strip()]


class CommandOperator(BaseOperator):
    """Runs a program of the project's environment; what it prints is the task's log.

    Airflow's environment needs nothing of what the program needs. A program that ends as incomplete gives a warning in
    the log: what failed is rows with an error, and the next run tries them again.

    Args:
        command: the program and its arguments; empty ones are left out.
        cwd: the project.
    """

    template_fields: Sequence[str] = ("command",)
    ui_color = "#e8f0e4"

    def __init__(self, *, command: Sequence[str], cwd: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = list(command)
        self.cwd = str(cwd)
        self._hook: SubprocessHook | None = None

    def execute(self, context: Any) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: it failed; the words are the last that it said.
        """
        self._hook = SubprocessHook()
        environment = os.environ | job_settings() | {"CHIPLAKE_INCOMPLETE_EXIT_CODE": str(INCOMPLETE)}
        done = self._hook.run_command(without_absent(self.command), env=environment, cwd=self.cwd)
        if done.exit_code == INCOMPLETE:
            self.log.warning("Incomplete: %s", done.output)
        elif done.exit_code != 0:
            raise RuntimeError(f"exit code {done.exit_code}: {done.output}")

    def on_kill(self) -> None:
        """Stop the program, too."""
        if self._hook is not None:
            self._hook.send_sigterm()  # type: ignore[no-untyped-call]
