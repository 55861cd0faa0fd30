"""The jobs that a schedule runs, by name; each is idempotent and can be run again after any failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lakehouse.causes import failures_line, root_cause
from lakehouse.days import Days
from lakehouse.errors import AttentionError, ChiplakeError, IncompleteError, joined
from lakehouse.lake_record import meet_lake, refuse_lost_limits
from lakehouse.settings import PROJECT_DIR, get_settings
from lakehouse.settings.variables import variables_in_environment

if TYPE_CHECKING:
    from dbt_common.events.base_types import EventMsg

NOTHING_CHANGED: Final = "nothing has changed since the last complete night"
_WARNING: Final = "warning of"
# States of dbt's results: https://docs.getdbt.com/reference/artifacts/run-results-json
_FAILED_STATES: Final = ("error", "fail", "runtime error")
_DAY_S: Final = 86_400

OnLine = Callable[[str], None]  # takes one line about a finished step
Job = Callable[["Window", OnLine], None]


@dataclass(frozen=True)
class Window(Days):
    """The days of acquisition that a job is limited to.

    With `recompute`, chips of these days that were computed by older settings are computed again.
    """

    recompute: bool = False

    def dbt_vars(self) -> dict[str, str | bool]:
        """Return the dbt variables of the window."""
        days = {"start_date": self.start, "end_date": self.end}
        variables: dict[str, str | bool] = {name: day.isoformat() for name, day in days.items() if day}
        return variables | ({"recompute": True} if self.recompute else {})


def chip_extraction(window: Window, on_line: OnLine) -> None:
    """STAC items to fct_chips."""
    from chiplake.status import raise_if_unreadable

    dbt_build("chip_extraction", window, on_line)
    raise_if_unreadable(get_settings(), window)


def temporal_merge(window: Window, on_line: OnLine) -> None:
    """fct_chips to fct_filled_chips, fct_chip_statistics and fct_composites. The window does not limit statistics."""
    dbt_build("temporal_merge", window, on_line)


def embedding_generation(window: Window, on_line: OnLine) -> None:
    """fct_filled_chips to raw.clay_embeddings."""
    from embedding.pipeline import run_embedding

    # temporal_merge has also built int_embedding_inputs, but the settings may have changed since.
    dbt_build("embedding_generation", window, on_line)
    summary = run_embedding(get_settings(), window)
    on_line(f"{summary.embedded} embeddings by {summary.model_id} ({summary.weights})")
    summary.raise_if_incomplete()


def change_detection(window: Window, on_line: OnLine) -> None:
    """Embeddings and patches to fct_chip_changes and fct_change_events, for all days: the window does not limit it."""
    dbt_build("change_detection", window, on_line)


# In the order in which one job reads the tables of another.
NIGHTLY_JOBS: Final = (chip_extraction, temporal_merge, embedding_generation, change_detection)


def operations(window: Window, on_line: OnLine) -> None:
    """ops.stages and the marts to fct_pipeline_runs and fct_lake_quality. It is not recorded in ops.stages itself."""
    dbt_build("operations", window, on_line)


def freshness(window: Window, on_line: OnLine) -> None:
    """Check that the sources are as new as `freshness` in their YAML demands. It is not limited by days."""
    _run_dbt(["source", "freshness"], "dbt source freshness", window, on_line, AttentionError)


def tests(window: Window, on_line: OnLine) -> None:
    """Run every test on the whole lake, then make the dbt docs. It is not limited by days."""
    arguments = ["test", "--resource-type", "test", "--selector", tests.__name__]
    _run_dbt(arguments, "dbt test", window, on_line, AttentionError)
    folder = get_settings().jobs.docs_folder or PROJECT_DIR / "target" / "docs"
    _run_dbt(["docs", "generate", "--target-path", str(folder)], "dbt docs generate", window, on_line)


def nightly(window: Window, on_line: OnLine) -> None:
    """Run all jobs in order. Failures of single chips do not stop the later jobs; they are reported at the end."""
    run_id = _run_id()
    incomplete: list[IncompleteError] = []
    try:
        for job in NIGHTLY_JOBS:
            try:
                _run_stage(run_id, job.__name__, job, window, on_line)
            except IncompleteError as error:
                incomplete.append(error)
    except ChiplakeError:
        try:
            operations(window, on_line)  # analysts also look at a night that failed
        except ChiplakeError as error:
            on_line(f"fct_pipeline_runs lacks this night: {error}")
        raise
    operations(window, on_line)
    if incomplete:
        raise joined(incomplete)


JOBS: Final[dict[str, Job]] = {job.__name__: job for job in (*NIGHTLY_JOBS, operations, freshness, tests, nightly)}

# Only these jobs make chips; embeddings and changes follow the chips automatically.
RECOMPUTING_JOBS: Final = tuple(job.__name__ for job in (chip_extraction, temporal_merge, nightly))
# Jobs whose work a box limits.
LIMITED_JOBS: Final = (*RECOMPUTING_JOBS, embedding_generation.__name__)

# Jobs that a schedule need not run every night.
_NOW_AND_THEN: Final = (tests.__name__,)


def check_job(name: str, recompute: bool) -> None:
    """Check the name of a job, and that the job can recompute if it shall.

    Raises:
        ChiplakeError: the name is unknown, or `recompute` is set for a job that makes no chips.
    """
    if name not in JOBS:
        raise ChiplakeError(f"there is no job '{name}'; choose from {', '.join(JOBS)}")
    if recompute and name not in RECOMPUTING_JOBS:
        raise ChiplakeError(f"the job '{name}' makes no chips; recompute with {', '.join(RECOMPUTING_JOBS)}")


def check_can_wait(name: str) -> None:
    """Check that a job can be run only when it is due.

    Raises:
        ChiplakeError: it is another job.
    """
    if name not in _NOW_AND_THEN:
        raise ChiplakeError(f"the job '{name}' runs every night; only {', '.join(_NOW_AND_THEN)} can wait until due")


def run_job(name: str, window: Window, on_line: OnLine) -> None:
    """Run a job by name, and record its stages in ops.stages.

    A night does nothing if nothing has changed since the last one that did everything.

    Args:
        name: one of JOBS.
        window: the days of acquisition, and whether to recompute their chips.
        on_line: called with one line for each finished step.

    Raises:
        IncompleteError: the job ended, but some chips failed.
        ChiplakeError: the name is unknown, the job failed, or the lake was made with a box and none is set.
    """
    check_job(name, window.recompute)
    if name in LIMITED_JOBS:
        refuse_lost_limits(meet_lake(get_settings()))
    if name == nightly.__name__ and not window.recompute:
        _night_if_needed(window, on_line)
    elif name == nightly.__name__:
        JOBS[name](window, on_line)
    else:
        _run_stage(_run_id(), name, JOBS[name], window, on_line)


def _run_id() -> str:
    from chiplake.stage_record import new_run_id

    return get_settings().jobs.schedule_run_id or new_run_id()


def _run_stage(run_id: str, name: str, job: Job, window: Window, on_line: OnLine) -> None:
    from chiplake.stage_record import recorded_stage

    with recorded_stage(get_settings(), run_id, name, window, window.recompute):
        job(window, on_line)


def _night_if_needed(window: Window, on_line: OnLine) -> None:
    """Run all jobs, unless nothing has changed since the last night that did everything."""
    from chiplake.night_record import record_complete_night, was_complete
    from chiplake.stage_record import UNCHANGED, recorded_stage

    settings = get_settings()
    if not settings.jobs.compare_always and was_complete(settings, window):
        with recorded_stage(settings, _run_id(), nightly.__name__, window) as attempt:
            on_line(NOTHING_CHANGED)
            if attempt is not None:
                attempt.state = UNCHANGED
        return
    warnings: list[str] = []

    def note(line: str) -> None:
        if line.startswith(_WARNING):
            warnings.append(line)
        on_line(line)

    JOBS[nightly.__name__](window, note)
    if not warnings:  # a warning is given each night
        record_complete_night(settings, window)


def dbt_build(selector: str, window: Window, on_line: OnLine) -> None:
    """Run `dbt build` for a selector of selectors.yml in this process, on its Spark session.

    Args:
        selector: the name of the selector.
        window: the days of acquisition, and whether to recompute their chips; passed on as dbt variables.
        on_line: called with one line for each model, and for each test with a warning.

    Raises:
        ChiplakeError: a model or a test failed; the message names the first.
    """
    # A test that also reads models of a later job waits for that job. Unit tests do not depend on the data.
    arguments = ["build", "--indirect-selection", "buildable", "--exclude-resource-type", "unit_test"]
    _run_dbt([*arguments, "--selector", selector], f"dbt build --selector {selector}", window, on_line)


def _run_dbt(
    command: Sequence[str],
    name: str,
    window: Window,
    on_line: OnLine,
    error_of_node: type[ChiplakeError] = ChiplakeError,
) -> None:
    """Run a command of dbt in this process, on its Spark session; the other arguments are those of `dbt_build`.

    Args:
        command: the command and its own options.
        name: of the command, for messages.
        error_of_node: class of the error if a node failed; a command that cannot run is a ChiplakeError.
    """
    from dbt.cli.main import dbtRunner

    def on_event(event: EventMsg) -> None:
        if event.info.name == "LogModelResult":
            node = event.data.node_info.node_name
            on_line(f"{node}: {event.data.status}, {event.data.execution_time:.1f} s")
        elif event.info.name == "LogTestResult" and event.data.status == "warn":
            on_line(f"{_WARNING} {event.data.name}: {event.data.num_failures} rows")
        elif event.info.name == "LogFreshnessResult":
            on_line(f"{event.data.source_name}.{event.data.table_name}: {event.data.status}")
        elif event.info.name == "JinjaLogInfo" or (event.info.name == "Note" and event.info.level == "warn"):
            on_line(event.data.msg)  # rows that were there twice; a wait for another writer

    # Not the target of DBT_TARGET: jobs read and write the lake of the settings.
    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles"), "--target", "local"]
    arguments = ["--quiet", *command, *project, "--vars", json.dumps(window.dbt_vars())]
    lake = get_settings().lake
    # profiles.yml reads the environment, and the schema may be in a `.env` file only.
    with variables_in_environment({lake.variable("target_schema"): lake.target_schema}):
        done = dbtRunner(callbacks=[on_event]).invoke(arguments)
    if done.exception is not None:
        raise ChiplakeError(f"{name} cannot run: {root_cause(done.exception)}")
    if not done.success:
        raise error_of_node(_failure(name, getattr(done.result, "results", [])))


def _failure(name: str, results: Sequence[Any]) -> str:
    """Return the number of nodes that failed, and what caused the failure of the first one."""
    failed = [
        (result.node.name, result.message or _stale(result)) for result in results if result.status in _FAILED_STATES
    ]
    return failures_line(failed) if failed else f"{name} failed; see logs/dbt.log"


def _stale(result: Any) -> str:
    """Return how old the newest row of a source is; empty for a result of something else."""
    age = getattr(result, "age", None)
    return "" if age is None else f"the newest row of the source is {age / _DAY_S:.1f} days old"
