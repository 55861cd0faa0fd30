"""sqlfluff plugin: renders models by dbt as for an empty lake, without Spark (`templater = chiplake` in .sqlfluff)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlfluff.core.plugin import hookimpl
from sqlfluff.core.templaters.base import RawTemplater
from sqlfluff_templater_dbt.templater import DbtTemplater


class ChiplakeTemplater(DbtTemplater):  # type: ignore[misc]  # sqlfluff has no types
    """The dbt templater of sqlfluff, with the settings of Chiplake and with no table to be found."""

    name = "chiplake"

    @cached_property
    def dbt_config(self) -> Any:
        """Called before the project is parsed, where dbt's own commands would start plugins."""
        from dbt.adapters.spark.impl import SparkAdapter
        from dbt.flags import get_flags
        from dbt.plugins import set_up_plugin_manager

        config = super().dbt_config
        # Not a command that sends SQL, so the plugin starts no session; and without tables there is nothing to ask.
        object.__setattr__(get_flags(), "WHICH", "lint")  # type: ignore[no-untyped-call]
        SparkAdapter.list_relations_without_caching = lambda self, schema_relation: []  # type: ignore[method-assign]
        set_up_plugin_manager(config.project_name)
        return config


@hookimpl
def get_templaters() -> list[type[RawTemplater]]:
    """The templaters that sqlfluff may be told to use."""
    return [ChiplakeTemplater]
