"""Plugin of sqlfluff: dbt renders the models for an empty lake, without Spark (`templater = chiplake` in .sqlfluff)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlfluff.core.plugin import hookimpl
from sqlfluff.core.templaters.base import RawTemplater
from sqlfluff_templater_dbt.templater import DbtTemplater


class ChiplakeTemplater(DbtTemplater):  # type: ignore[misc]  # sqlfluff has no types
    """The dbt templater of sqlfluff, with the settings of Chiplake and without tables."""

    name = "chiplake"

    @cached_property
    def dbt_config(self) -> Any:
        """The configuration of dbt. sqlfluff reads it before parsing, when dbt itself would start plugins."""
        from dbt.adapters.spark.impl import SparkAdapter
        from dbt.flags import get_flags
        from dbt.plugins import set_up_plugin_manager

        config = super().dbt_config
        # The plugin starts no session for a command that sends no SQL. Without tables, no macro queries one.
        object.__setattr__(get_flags(), "WHICH", "lint")  # type: ignore[no-untyped-call]
        SparkAdapter.list_relations_without_caching = lambda *_: []  # type: ignore[method-assign]
        set_up_plugin_manager(config.project_name)
        return config


@hookimpl
def get_templaters() -> list[type[RawTemplater]]:
    """Return the templaters that this plugin adds."""
    return [ChiplakeTemplater]
