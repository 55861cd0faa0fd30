"""What shapes the graph: environment variables of Airflow, as a DAG file must not read Variables when it is parsed.

CHIPLAKE_AIRFLOW_RUNTIME         local (default), thrift or aws: where the work runs
CHIPLAKE_AIRFLOW_PROJECT         the project's root; default the folder above that of the DAG file
CHIPLAKE_AIRFLOW_BIN             programs of the project's environment; default .venv/bin in the project
CHIPLAKE_AIRFLOW_MANIFEST        dbt's manifest, as `dbt parse` writes it; default target/manifest.json in the project
CHIPLAKE_AIRFLOW_START           first day, YYYY-MM-DD: all days since are caught up with; default: no catching up
CHIPLAKE_AIRFLOW_RETRIES         how often a failed task is tried again; default 2
CHIPLAKE_AIRFLOW_RETRY_DELAY_S   how long before the first of these, seconds, then twice as long; default 300
CHIPLAKE_AIRFLOW_POLL_S          seconds between two looks at a job on AWS, or at a model that is built; default 30
CHIPLAKE_AIRFLOW_OWNER           owner of the DAG and its tasks; default chiplake
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

RUNTIMES: Final = ("local", "thrift", "aws")
SENTINEL_2A_LAUNCH: Final = datetime(2015, 6, 23, tzinfo=UTC)
_ROOT: Final = Path(__file__).resolve().parents[2]

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Where the work runs, where the project is, and how a task is tried again."""

    runtime: str  # one of RUNTIMES
    project: Path
    bin: Path
    manifest: Path
    start: datetime | None  # None: no catching up
    retries: int
    retry_delay: timedelta
    poll_s: int  # seconds between two looks at a job on AWS, or at a model that is built
    owner: str

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Layout:
        """Read it from environment variables.

        Raises:
            ValueError: one of them has a value it cannot have; Airflow shows the words as the DAG's import error.
        """

        def get(name: str, default: str) -> str:
            return environment.get(f"CHIPLAKE_AIRFLOW_{name}") or default

        runtime = get("RUNTIME", "local")
        if runtime not in RUNTIMES:
            raise ValueError(f"CHIPLAKE_AIRFLOW_RUNTIME={runtime}: choose from {', '.join(RUNTIMES)}")
        project = Path(get("PROJECT", str(_ROOT)))
        start = get("START", "")

        def read(name: str, default: str, parse: Callable[[str], T], expected: str) -> T:
            try:
                return parse(get(name, default))
            except ValueError as error:
                raise ValueError(f"CHIPLAKE_AIRFLOW_{name}={get(name, default)}: expected {expected}") from error

        return cls(
            runtime=runtime,
            project=project,
            bin=Path(get("BIN", str(project / ".venv" / "bin"))),
            manifest=Path(get("MANIFEST", str(project / "target" / "manifest.json"))),
            start=read("START", "", _midnight, "a day such as 2023-08-01") if start else None,
            retries=read("RETRIES", "2", int, "a number"),
            retry_delay=timedelta(seconds=read("RETRY_DELAY_S", "300", float, "seconds")),
            poll_s=read("POLL_S", "30", int, "seconds"),
            owner=get("OWNER", "chiplake"),
        )


def _midnight(day: str) -> datetime:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
