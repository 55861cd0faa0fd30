"""What every session of a Thrift server has: the registered functions, and those that lock a table.

Each client has a session of its own, with its own temporary views, variables and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import SparkSession

from chiplake.server_locks import ServerLocks
from lakehouse.locks import LOCK_FUNCTION, UNLOCK_FUNCTION
from lakehouse.settings import CATALOG_NAME
from python_udfs.sql_function import SqlFunction


def share_functions(spark: SparkSession, functions: Iterable[SqlFunction]) -> None:
    """Give the functions of a session to every session that is opened later.

    Spark registers functions in one session only. A new session copies the registry of Spark's own functions.

    Args:
        spark: the session in which they are registered.
        functions: those to share.
    """
    jvm: Any = spark.sparkContext._jvm
    analysis = jvm.org.apache.spark.sql.catalyst.analysis
    state = spark._jsparkSession.sessionState()
    for function in functions:
        name = jvm.org.apache.spark.sql.catalyst.FunctionIdentifier(function.name)
        if function.kind == "table":
            own, shared = state.tableFunctionRegistry(), analysis.TableFunctionRegistry.builtin()
        else:
            own, shared = state.functionRegistry(), analysis.FunctionRegistry.builtin()
        builder, info = own.lookupFunctionBuilder(name).get(), own.lookupFunction(name).get()
        shared.registerFunction(name, info, builder)


def share_locks(spark: SparkSession, locks: ServerLocks, sessions: ClientSessions) -> None:
    """Give every session that is opened later the functions that take and free the lock of a table.

    Args:
        spark: any session of the application.
        locks: those of the server.
        sessions: notices the sessions that take a lock.
    """

    def take(session: str, table: str, command: str) -> str:
        holder = locks.take(session, table, command)
        return "" if holder is None else holder.model_dump_json()

    def free(session: str, table: str) -> str:
        return "freed" if locks.free(session, table) else ""

    ensure_callback_server_started(spark.sparkContext._gateway)  # type: ignore[no-untyped-call]
    for name, arity, function in ((LOCK_FUNCTION, 2, take), (UNLOCK_FUNCTION, 1, free)):
        _register(spark, name, _ServerFunction(spark, sessions, name, arity, function))


class ClientSessions:
    """The sessions of a server's clients, and what has to be done when one ends."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._by_handle: Any = None

    def watch(self, server: Any) -> None:
        """Watch the sessions of a HiveThriftServer2."""
        services = {service.getClass().getSimpleName(): service for service in server.getServices()}
        manager = services["SparkSQLCLIService"].getSessionManager().getOperationManager()
        self._by_handle = manager.sessionToContexts()

    def ended(self) -> set[str]:
        """Return the ids of the sessions that have ended since the last call, and close what they left open.

        Spark forgets the catalog of a session that ends, and leaves its connections to SQLite open.
        """
        ended = set()
        for name, session in list(self._known.items()):
            if self._by_handle.containsValue(session) is False:
                _close_catalog(session)
                del self._known[name]
                ended.add(name)
        # Py4J's `values()` asks for the value of each key in turn, and a session that has just ended has no value.
        for entry in self._by_handle.entrySet():
            self.see(entry.getValue())
        return ended

    def see(self, session: Any) -> str:
        """Return the id of a session, whose end will be noticed even if it comes before the next look at all."""
        name = str(session.sessionUUID())
        self._known.setdefault(name, session)
        return name


def _close_catalog(session: Any) -> None:
    session.sessionState().catalogManager().catalog(CATALOG_NAME).icebergCatalog().close()


class _ServerFunction:
    """A scalar function of literals that runs in the server's process, when Spark analyses the statement.

    A registered Python function would run in a worker process. Spark calls this one once, in the thread of the client's
    session, and puts the returned literal in its place.
    """

    def __init__(
        self, spark: SparkSession, sessions: ClientSessions, name: str, arity: int, function: Callable[..., str]
    ) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._sessions = sessions
        self._name, self._arity, self._function = name, arity, function

    def apply(self, expressions: Any) -> Any:
        """Return the literal that replaces the call."""
        sql = self._jvm.org.apache.spark.sql
        session = self._sessions.see(sql.classic.SparkSession.getActiveSession().get())
        arguments = _texts(expressions)
        if len(arguments) != self._arity:
            raise ValueError(f"{self._name} takes {self._arity} texts")
        return sql.catalyst.expressions.Literal.create(
            self._function(session, *arguments), sql.types.DataTypes.StringType
        )

    class Java:
        """The Java interface that Py4J implements by this class."""

        implements: ClassVar[Sequence[str]] = ["scala.Function1"]


def _texts(expressions: Any) -> list[str]:
    return [str(expressions.apply(index).eval(None)) for index in range(expressions.size())]


def _register(spark: SparkSession, name: str, function: _ServerFunction) -> None:
    jvm: Any = spark.sparkContext._jvm
    catalyst = jvm.org.apache.spark.sql.catalyst
    info = catalyst.expressions.ExpressionInfo("chiplake", name)
    catalyst.analysis.FunctionRegistry.builtin().registerFunction(catalyst.FunctionIdentifier(name), info, function)
