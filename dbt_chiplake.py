"""dbt plugin: makes the Spark session that the session method of dbt-spark then uses.

dbt imports every module named `dbt_*` and starts the classes in `plugins`. The interface is marked as experimental, so
this plugin does little: it passes the settings to dbt, starts the session, locks the table of a model while it is
written, and tells dbt of the catalog's views, comments and types.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, Final, Self

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.context import get_invocation_context
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager_client import add_callback_to_manager
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note
from dbt_common.exceptions import DbtRuntimeError

from chiplake.dbt_failures import FailureReport
from chiplake.stage_record import Attempt, start_attempt
from chiplake.version import project_version
from lakehouse.bands import BAND_NAMES, PROBABILITIES
from lakehouse.catalog import pyiceberg_properties
from lakehouse.causes import message_of, root_cause
from lakehouse.code_digest import code_digest
from lakehouse.days import Days, parse_day
from lakehouse.errors import ChiplakeError
from lakehouse.lake_record import ServedLake, meet_lake
from lakehouse.locks import Holder, LockedError, lock_call, table_lock, unlock_call, wait_for
from lakehouse.notices import notice
from lakehouse.settings import PROJECT_DIR, InvalidSettingError, Settings, get_settings
from lakehouse.settings.lake import DEFAULT_SCHEMA
from lakehouse.settings.listing import list_settings
from lakehouse.settings.variables import variables_in_environment

PROJECT_NAME: Final = "chiplake"

_RunSql = Callable[[str], Sequence[Sequence[Any]]]  # runs a statement and returns its rows

# Commands that send SQL. The others (parse, list, deps, clean and so on) need no JVM.
_COMMANDS_WITH_SQL: Final = frozenset(
    {
        *("build", "run", "test", "show", "compile", "generate", "freshness"),
        *("seed", "snapshot", "run-operation", "retry", "clone"),
    }
)
# Commands that write the pipeline's tables.
_COMMANDS_THAT_WRITE: Final = frozenset({"build", "run", "retry"})
# Commands that a schedule runs as a stage.
_COMMANDS_OF_STAGES: Final = frozenset({"build", "run", "test"})
# Commands that read a target of profiles.yml.
_COMMANDS_WITH_TARGET: Final = _COMMANDS_WITH_SQL | {"parse", "list"}

_WRITING_NODES: Final = frozenset({"model", "seed", "snapshot"})
_SESSION: Final = "session"  # methods of a connection
_THRIFT: Final = "thrift"
_interrupted = threading.Event()  # ends the waits for locks


class ChiplakePlugin(dbtPlugin):
    """Passes the settings to dbt, and starts the session for commands that send SQL if the target's method is session.

    Every model, seed and snapshot, and every test that stores its failures, holds the lock of its table from its plan
    to its last write.
    """

    def initialize(self) -> None:
        """Prepare a run of dbt. dbt calls this when it loads a project, before it parses anything."""
        if self.project_name != PROJECT_NAME:
            return
        command = _Command.given()
        settings = get_settings()
        _check_variables(settings, command.variables)
        _check_schema(settings, get_invocation_context().env, command)
        # The macro `setting` reads these, so that the settings are the defaults of the dbt variables.
        values = {setting.variable: setting.value for setting in list_settings(settings)}
        values["CHIPLAKE_ALL_BANDS"] = json.dumps(BAND_NAMES)
        values["CHIPLAKE_ALL_PROBABILITIES"] = json.dumps(PROBABILITIES)
        values["CHIPLAKE_FILL_MASK_VERSION"] = _mask_version(settings, command)
        values["CHIPLAKE_CODE_DIGEST"] = _code_digest(settings, command)
        values["CHIPLAKE_CODE_VERSION"] = project_version()
        values["CHIPLAKE_LOST_LIMITS"] = json.dumps(_lost_limits(settings, command))
        for variable, value in values.items():
            get_invocation_context().env[variable] = value  # type: ignore[index]
        _keep_parsed_files(values)
        if command.name in _COMMANDS_WITH_SQL:
            if command.owns_session:
                _start_session()
            _list_views()
            _shorten_errors()
            attempt = _recorded_attempt(settings, command)
            is_quiet = get_flags().QUIET  # type: ignore[no-untyped-call]
            if attempt is not None or not is_quiet:
                add_callback_to_manager(FailureReport(attempt, is_quiet))
            _lock_tables()
        if command.name == "generate":
            _describe_catalog()


@dataclass(frozen=True)
class _Command:
    """What dbt was asked for. The name of a target says nothing; users have profiles of their own."""

    name: str
    variables: Mapping[str, Any]
    credentials: Any  # of the target; None if the command has none

    @classmethod
    def given(cls) -> Self:
        """Read the command line. `dbt retry` has the target and the variables of the command that it repeats."""
        from dbt.config.runtime import load_profile

        flags: Any = get_flags()  # type: ignore[no-untyped-call]
        first = _repeated(flags) if flags.WHICH == "retry" else {}
        variables = flags.VARS or first.get("vars") or {}
        if flags.WHICH not in _COMMANDS_WITH_TARGET:
            return cls(flags.WHICH, variables, None)
        profile, target = flags.PROFILE or first.get("profile"), flags.TARGET or first.get("target")
        return cls(flags.WHICH, variables, load_profile(flags.PROJECT_DIR, variables, profile, target).credentials)

    @property
    def days(self) -> Days:
        """The days of acquisition that the command is limited to; the macros refuse text that is no day."""
        start, end = (self.variables.get(name) for name in ("start_date", "end_date"))
        with suppress(ValueError, ChiplakeError):
            return Days(parse_day(str(start)) if start else None, parse_day(str(end)) if end else None)
        return Days()

    @property
    def owns_session(self) -> bool:
        """Whether Spark runs in this process."""
        return self.credentials is not None and self.credentials.method == _SESSION


def _repeated(flags: Any) -> dict[str, Any]:
    """Return the arguments of the command that `dbt retry` repeats, empty if there was no such command."""
    path = Path(flags.PROJECT_DIR) / (flags.STATE or flags.TARGET_PATH or "target") / "run_results.json"
    arguments: dict[str, Any] = json.loads(path.read_text())["args"] if path.is_file() else {}
    return arguments


def _recorded_attempt(settings: Settings, command: _Command) -> Attempt | None:
    """Record the start of the stage that a schedule runs dbt for; None if dbt was called by hand."""
    jobs = settings.jobs
    if not jobs.schedule_run_id or not jobs.schedule_stage or command.name not in _COMMANDS_OF_STAGES:
        return None
    return start_attempt(
        settings, jobs.schedule_run_id, jobs.schedule_stage, command.days, bool(command.variables.get("recompute"))
    )


def _start_session() -> None:
    from python_udfs.session import get_spark  # a heavy import

    try:
        get_spark()
    except ChiplakeError as error:
        raise RuntimeError(str(error)) from None


def _check_variables(settings: Settings, variables: Mapping[str, Any]) -> None:
    """Validate dbt variables named like settings by the rules of the settings, as their values become SQL.

    Args:
        settings: the settings of this process.
        variables: the dbt variables of the command line.

    Raises:
        RuntimeError: a variable has a value that the setting cannot have.
    """
    names = {setting.variable: setting.name for setting in list_settings(settings)}
    try:
        settings.replace(**{name: variables[name] for name in names.values() if name in variables})
    except InvalidSettingError as error:
        raise RuntimeError(f"dbt variable {names[error.variable]}: {error.reason}") from None


def _check_schema(settings: Settings, environment: Mapping[str, str], command: _Command) -> None:
    """Check that dbt builds into the schema of the settings, which all other commands read.

    Raises:
        RuntimeError: it would build into another schema.
    """
    variable, schema = settings.lake.variable("target_schema"), settings.lake.target_schema
    if environment.get(variable, DEFAULT_SCHEMA) != schema:
        raise RuntimeError(
            f"{variable} is in a .env file, which dbt's profile does not read: export {variable}={schema}"
        )
    if command.credentials is not None and command.credentials.schema != schema:
        of_profile = command.credentials.schema
        raise RuntimeError(
            f"dbt's profile has the schema {of_profile}, and {variable} is {schema}, which the other commands read: "
            f"export {variable}={of_profile}, or correct the profile"
        )


def _keep_parsed_files(values: Mapping[str, str]) -> None:
    """Let dbt keep what it parsed before, for models that read settings.

    dbt compares the variables that a model reads with those of the process, where settings at their defaults are
    missing, so it would parse these models again in each run.

    Args:
        values: the variables of this run.
    """
    from dbt.parser.partial import PartialParsing

    compare = getattr(PartialParsing.build_env_vars_to_files, "__wrapped__", PartialParsing.build_env_vars_to_files)

    @wraps(compare)
    def with_settings(self: Any) -> Any:
        with variables_in_environment(values):
            return compare(self)

    PartialParsing.build_env_vars_to_files = with_settings  # type: ignore[method-assign]


@cache
def _list_views() -> None:
    """Let dbt know the views of a schema. dbt-spark 1.11 asks an Iceberg catalog for its tables only."""
    from dbt.adapters.contracts.relation import RelationType
    from dbt.adapters.spark.impl import SparkAdapter

    list_tables = SparkAdapter.list_relations_without_caching

    def with_views(self: Any, schema_relation: Any) -> list[Any]:
        try:
            tables = list_tables(self, schema_relation)
        except DbtRuntimeError:
            # dbt asks for the schemas of all nodes, but makes only those of the selected ones.
            if self.check_schema_exists(schema_relation.database, schema_relation.schema):
                raise
            return []
        if not tables and not self.check_schema_exists(schema_relation.database, schema_relation.schema):
            return tables
        views = self.execute_macro("list_views", kwargs={"schema": schema_relation.schema})
        return tables + [
            self.Relation.create(schema=namespace, identifier=name, type=RelationType.View)
            for namespace, name, is_temporary in views
            if not is_temporary
        ]

    SparkAdapter.list_relations_without_caching = with_views  # type: ignore[method-assign]


def _mask_version(settings: Settings, command: _Command) -> str:
    """Return name and digest of the user's own mask, for the rules of filling and composites; empty without one.

    Raises:
        RuntimeError: the mask cannot be loaded.
    """
    name = str(command.variables.get("fill_mask", settings.filling.mask))
    if not name:
        return ""
    from python_udfs.own_mask import find_mask  # a heavy import

    try:
        return find_mask(name, settings.runtime.function_names).version
    except ChiplakeError as error:
        raise RuntimeError(str(error)) from None


def _code_digest(settings: Settings, command: _Command) -> str:
    """Return the digest of the code that makes rows; empty for a command that makes none."""
    if command.name not in _COMMANDS_THAT_WRITE:
        return ""
    return code_digest(PROJECT_DIR, settings.runtime.function_names)


def _lost_limits(settings: Settings, command: _Command) -> dict[str, str]:
    """Compare the settings with those that the lake was made with, and tell the user what differs.

    Without a session of its own, this is the lake of the server.

    Returns:
        Why a setting must not be left out, by its name: the macro `limit` refuses a model that needs it.

    Raises:
        RuntimeError: the lake cannot be opened.
    """
    if command.name not in _COMMANDS_THAT_WRITE:
        return {}
    try:
        if command.owns_session:
            found = meet_lake(settings, command.variables)
        else:
            with _connection(command.credentials) as run:
                lake = ServedLake(run, lambda table: _lock_of_server(run, table))
                found = meet_lake(settings, command.variables, lake)
    except ChiplakeError as error:
        raise RuntimeError(str(error)) from None
    for difference in found:
        if not difference.is_lost_limit:
            notice(difference.line)
    return {difference.name: difference.line for difference in found if difference.is_lost_limit}


@contextmanager
def _connection(credentials: Any) -> Iterator[_RunSql]:
    """Connect to the server of a target, apart from dbt's own connections, and yield what runs a statement.

    Raises:
        ChiplakeError: no server answers, or a statement fails.
    """
    from dbt.adapters.contracts.connection import Connection
    from dbt.adapters.spark.connections import SparkConnectionManager

    connection = Connection(type="spark", name=PROJECT_NAME, credentials=credentials)
    try:
        handle: Any = SparkConnectionManager.open(connection).handle
    except DbtRuntimeError as error:
        raise ChiplakeError(f"{error.msg}; start a server with `chiplake serve`, or correct dbt's profile") from error

    def run(statement: str) -> Sequence[Sequence[Any]]:
        cursor = handle.handle.cursor()  # of the driver: dbt's own looks for an answer every few seconds only
        try:
            cursor.execute(statement)
            rows: Sequence[Sequence[Any]] = cursor.fetchall() if cursor.description else []
        except Exception as error:
            raise ChiplakeError(root_cause(error)) from error
        return rows

    try:
        yield run
    finally:
        handle.close()


def _shorten_errors() -> None:
    """Let dbt report a failed statement in one line, without the stack traces of Spark, Hive and Python.

    dbt's log has the whole message.
    """
    from dbt.adapters.events.logging import AdapterLogger
    from dbt.adapters.spark.connections import SparkConnectionManager
    from dbt.adapters.sql import SQLConnectionManager

    log = AdapterLogger("Spark")
    read_rows: Any = SQLConnectionManager.__dict__["get_result_from_cursor"].__func__

    @contextmanager
    def exception_handler(_manager: Any, sql: str) -> Iterator[None]:
        try:
            yield
        except DbtRuntimeError as error:
            log.debug(f"Error while running:\n{sql}\n{error.msg}")
            error.msg = root_cause(error.msg) + _query_in(error.msg)
            raise
        except Exception as error:
            message = message_of(error)
            log.debug(f"Error while running:\n{sql}\n{message}")
            raise DbtRuntimeError(root_cause(error) + _query_in(message)) from error

    def get_result_from_cursor(cls: Any, cursor: Any, limit: int | None) -> Any:
        with exception_handler(cls, "fetch"):  # a session computes a query when its rows are fetched
            return read_rows(cls, cursor, limit)

    SparkConnectionManager.exception_handler = exception_handler  # type: ignore[method-assign]
    SparkConnectionManager.get_result_from_cursor = classmethod(get_result_from_cursor)  # type: ignore[assignment]


def _query_in(message: str) -> str:
    """Return the query that Spark shows below a syntax error, with the place of the error; empty for other errors."""
    heading = "\n\n== SQL ==\n"
    query = message.partition(heading)[2].partition("\n\tat ")[0].rstrip()
    return heading + query if query else ""


def _lock_tables() -> None:
    """Let dbt hold the lock of a table while it writes a model, a seed or a snapshot, whatever its materialization.

    These are the hooks that dbt has for adapters: it calls the first before the materialization, and the second after
    it, also after a failure.
    """
    from dbt.adapters.spark.impl import SparkAdapter

    def take_lock(adapter: Any, config: Any) -> ExitStack:
        node = config.model
        lock = ExitStack()
        if node.resource_type in _WRITING_NODES or getattr(node, "should_store_failures", False):
            table = f"{node.schema}.{node.alias}"
            try:
                lock.enter_context(lock_of(adapter, table))
            except LockedError as error:
                raise DbtRuntimeError(str(error)) from None
        return lock

    def lock_of(adapter: Any, table: str) -> AbstractContextManager[None]:
        method = adapter.config.credentials.method
        if method == _SESSION:
            return table_lock(pyiceberg_properties(get_settings().lake), table, _say, _interrupted)
        if method == _THRIFT:
            return _lock_of_server(lambda statement: adapter.execute(statement, fetch=True)[1].rows, table)
        return nullcontext()  # `chiplake serve` answers by Thrift only

    def free_lock(_adapter: Any, _config: Any, lock: ExitStack) -> None:
        lock.close()

    def cancel_open_connections(adapter: Any) -> Any:
        _interrupted.set()
        return adapter.connections.cancel_open()

    _interrupted.clear()
    SparkAdapter.pre_model_hook = take_lock  # type: ignore[method-assign]
    SparkAdapter.post_model_hook = free_lock  # type: ignore[method-assign]
    SparkAdapter.cancel_open_connections = cancel_open_connections  # type: ignore[method-assign]


@contextmanager
def _lock_of_server(run: _RunSql, table: str) -> Iterator[None]:
    """Hold a lock in the process that owns the Spark session. The server frees it when this client's session ends.

    Args:
        run: runs a statement in the session of this client.
        table: name with schema.

    Raises:
        LockedError: another writer held the lock for too long.
    """

    def call(statement: str) -> str:
        return run(statement)[0][0] or ""

    def attempt() -> Holder | None:
        holder = call(lock_call(table))
        return Holder.model_validate_json(holder) if holder else None

    wait_for(attempt, table, get_settings().lake.lock_wait_minutes, _say, _interrupted)
    try:
        yield
    finally:
        try:
            call(unlock_call(table))
        except (DbtRuntimeError, ChiplakeError) as error:  # the connection is gone; the error of the model says why
            _say(f"the lock of {table} is freed when the session ends: {error}", EventLevel.DEBUG)


def _say(line: str, level: EventLevel = EventLevel.WARN) -> None:
    fire_event(Note(msg=line), level=level)


def _describe_catalog() -> None:
    """Let `dbt docs generate` write the comments of tables and columns, and whole types such as `array<string>`.

    dbt-spark 1.11 reads the printed schema, which has no comments, and no more of such a type than `array`.
    """
    from dbt.adapters.spark.impl import SparkAdapter

    read_columns = SparkAdapter._get_columns_for_catalog

    def described_columns(self: Any, relation: Any) -> Any:
        rows = self.execute_macro("get_columns_in_relation_raw", kwargs={"relation": relation})
        return describe_columns(read_columns(self, relation), list(rows))

    SparkAdapter._get_columns_for_catalog = described_columns  # type: ignore[method-assign]


def describe_columns(
    columns: Iterable[Mapping[str, Any]], rows: Sequence[Mapping[str, str | None]]
) -> Iterator[dict[str, Any]]:
    """Add what Spark says of a table to the columns of dbt's catalog.

    Args:
        columns: columns of the catalog, by dbt-spark.
        rows: rows of `describe table extended`: the columns, an empty row or one that begins with `#`, then facts about
            partitions and the table.
    """
    names = [row["col_name"] or "# " for row in rows]
    end = next((number for number, name in enumerate(names) if name.startswith("# ")), len(rows))
    described = dict(zip(names[:end], rows, strict=False))
    facts = {name: row["data_type"] for name, row in zip(names[end:], rows[end:], strict=True)}
    for column in columns:
        row = described.get(column["column_name"], {})
        yield {
            **column,
            "column_type": row.get("data_type") or column["column_type"],
            "column_comment": row.get("comment") or None,
            "table_comment": facts.get("Comment") or None,
        }


plugins = [ChiplakePlugin]
