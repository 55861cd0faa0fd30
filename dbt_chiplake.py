"""dbt plugin: makes the Spark session that dbt-spark's session method then uses.

dbt loads every importable module named `dbt_*` and starts the classes in `plugins`. The interface is marked
experimental, so this stays thin: settings to dbt, session to Spark, comments to the catalog.
"""

from __future__ import annotations

import json
from typing import Any, Final

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.context import get_invocation_context

from lakehouse.bands import BAND_NAMES
from lakehouse.errors import ChiplakeError
from lakehouse.settings import InvalidSettingError, Settings, get_settings
from lakehouse.settings.listing import list_settings

PROJECT_NAME: Final = "chiplake"

# Commands that send SQL. All others (parse, list, deps, clean, ...) start no JVM.
_COMMANDS_WITH_SQL: Final = frozenset(
    {
        *("build", "run", "test", "show", "compile", "generate", "freshness"),
        *("seed", "snapshot", "run-operation", "retry", "clone"),
    }
)


class ChiplakePlugin(dbtPlugin):
    """Hands the settings to dbt, and for commands that send SQL starts the session, unless a server has one."""

    def initialize(self) -> None:
        """Called by dbt when it loads a project, before anything is parsed."""
        if self.project_name != PROJECT_NAME:
            return
        flags: Any = get_flags()  # type: ignore[no-untyped-call]
        settings = get_settings()
        _check_variables(settings, flags.VARS or {})
        # Macro `setting` reads these: the default of a dbt variable is the setting.
        values = {setting.variable: setting.value for setting in list_settings(settings)}
        values["CHIPLAKE_ALL_BANDS"] = json.dumps(BAND_NAMES)
        for variable, value in values.items():
            get_invocation_context().env[variable] = value  # type: ignore[index]
        if flags.WHICH in _COMMANDS_WITH_SQL and flags.TARGET != "thrift":
            from python_udfs.session import get_spark  # heavy: only where a session is wanted

            try:
                get_spark()
            except ChiplakeError as error:
                raise RuntimeError(str(error)) from None
        if flags.WHICH == "generate":
            _add_comments_to_catalog()


def _check_variables(settings: Settings, variables: dict[str, Any]) -> None:
    """Check dbt variables with the name of a setting as the settings are checked: they become SQL.

    Raises:
        RuntimeError: a variable has a value that the setting cannot have.
    """
    names = {setting.variable: setting.name for setting in list_settings(settings)}
    try:
        settings.replace(**{name: variables[name] for name in names.values() if name in variables})
    except InvalidSettingError as error:
        raise RuntimeError(f"dbt variable {names[error.variable]}: {error.reason}") from None


def _add_comments_to_catalog() -> None:
    """Let `dbt docs generate` write table and column comments.

    dbt-spark 1.11 drops them for tables that it must read with `describe`, as those of Iceberg.
    """
    from dbt.adapters.spark.impl import SparkAdapter

    read_columns = SparkAdapter._get_columns_for_catalog

    def with_comments(self: Any, relation: Any) -> Any:
        rows = self.execute_macro("get_columns_in_relation_raw", kwargs={"relation": relation})
        comments: dict[str, str | None] = {}
        for row in rows:
            comments.setdefault(row["col_name"], row["comment"] or None)
        described = {row["col_name"]: row["data_type"] for row in rows}
        for column in read_columns(self, relation):
            column["column_comment"] = comments.get(column["column_name"])
            column["table_comment"] = described.get("Comment") or None
            yield column

    SparkAdapter._get_columns_for_catalog = with_comments  # type: ignore[method-assign]


plugins = [ChiplakePlugin]
