"""Environment variables of Airflow's scheduler and workers, which decide the graph of the DAG.

A DAG file must not read Airflow Variables when it is parsed, so environment variables decide the graph.

CHIPLAKE_AIRFLOW_RUNTIME         local (default), thrift or aws: where the jobs run
CHIPLAKE_AIRFLOW_PROJECT         root folder of the project; default the folder above that of the DAG file
CHIPLAKE_AIRFLOW_BIN             folder of the programs `chiplake` and `dbt`; default .venv/bin in the project
CHIPLAKE_AIRFLOW_MANIFEST        manifest that `dbt parse` writes; default target/manifest.json in the project
CHIPLAKE_AIRFLOW_START           first day, YYYY-MM-DD: Airflow catches up with all days since; default no catching up
CHIPLAKE_AIRFLOW_RETRIES         how often Airflow tries a failed task again; default 2
CHIPLAKE_AIRFLOW_RETRY_DELAY_S   seconds before the first of these tries; each later delay is twice as long; default 300
CHIPLAKE_AIRFLOW_POLL_S          seconds between two checks of a job on AWS or of a model that dbt builds; default 30
CHIPLAKE_AIRFLOW_TASK_HOURS      longest time of a task, and of a job on AWS; default 12
CHIPLAKE_AIRFLOW_RUN_HOURS       longest time of a run, after which it fails; default 24
CHIPLAKE_AIRFLOW_OWNER           owner of the DAG and of its tasks; default chiplake
CHIPLAKE_TARGET_SCHEMA           schema of the models, the first part of the assets' names; default chiplake
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

RUNTIMES: Final = ("local", "thrift", "aws")
SENTINEL_2A_LAUNCH: Final = datetime(2015, 6, 23, tzinfo=UTC)
_PROJECT: Final = Path(__file__).resolve().parent.parent.parent

T = TypeVar("T")


@dataclass(frozen=True)
class Environment:
    """The environment variables `CHIPLAKE_AIRFLOW_…`, read and checked."""

    runtime: str  # one of RUNTIMES
    project: Path
    bin: Path
    manifest: Path
    start: datetime | None  # None: Airflow does not catch up
    retries: int
    retry_delay: timedelta
    poll_s: int  # seconds
    longest_task: timedelta
    longest_run: timedelta
    owner: str
    target_schema: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """Read the environment variables.

        Args:
            variables: environment variables by name, such as `os.environ`.

        Raises:
            ValueError: a variable has an impossible value. Airflow shows the message as the DAG's import error.
        """

        def get(name: str, default: str) -> str:
            return variables.get(f"CHIPLAKE_AIRFLOW_{name}") or default

        def parse(name: str, default: str, parser: Callable[[str], T], expected: str) -> T:
            try:
                return parser(get(name, default))
            except ValueError as error:
                raise ValueError(f"CHIPLAKE_AIRFLOW_{name}={get(name, default)}: expected {expected}") from error

        runtime = get("RUNTIME", "local")
        if runtime not in RUNTIMES:
            raise ValueError(f"CHIPLAKE_AIRFLOW_RUNTIME={runtime}: choose from {', '.join(RUNTIMES)}")
        project = Path(get("PROJECT", str(_PROJECT)))
        return cls(
            runtime=runtime,
            project=project,
            bin=Path(get("BIN", str(project / ".venv" / "bin"))),
            manifest=Path(get("MANIFEST", str(project / "target" / "manifest.json"))),
            start=parse("START", "", _optional_midnight, "a day such as 2023-08-01"),
            retries=parse("RETRIES", "2", int, "a whole number"),
            retry_delay=timedelta(seconds=parse("RETRY_DELAY_S", "300", float, "seconds")),
            poll_s=parse("POLL_S", "30", int, "whole seconds"),
            longest_task=timedelta(hours=parse("TASK_HOURS", "12", float, "hours")),
            longest_run=timedelta(hours=parse("RUN_HOURS", "24", float, "hours")),
            owner=get("OWNER", "chiplake"),
            target_schema=variables.get("CHIPLAKE_TARGET_SCHEMA") or "chiplake",
        )


def _optional_midnight(day: str) -> datetime | None:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) if day else None
