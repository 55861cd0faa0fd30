"""Models of a user: dbt-spark's textbook models, one model in several materializations, and wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from support.dbt_projects import DbtProject

EVENTS: Final = "raw.own_events"  # a table of a user: id int, name string, at timestamp

_SELECT: Final = f"select id, name, at from {EVENTS}"
_NEW: Final = _SELECT + " {% if is_incremental() %}where at > (select max(at) from {{ this }}){% endif %}"

TEXTBOOK: Final = {
    "models/own/own_append.sql": "{{ config(materialized='incremental', incremental_strategy='append') }} " + _NEW,
    "models/own/own_merge.sql": (
        "{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }} " + _NEW
    ),
}

FIRST_EVENTS: Final = (
    f"create table {EVENTS} (id int, name string, at timestamp) using iceberg",
    f"insert into {EVENTS} select id, 'first', timestamp '2024-01-01' from range(60)",
)
# Ten new events and, of the first five, a second version.
_LATER_EVENTS: Final = (
    f"insert into {EVENTS} select id, 'later', timestamp '2024-01-02' from range(60, 70)",
    f"update {EVENTS} set name = 'changed', at = timestamp '2024-01-02' where id < 5",
)


def check_textbook_models(
    project: DbtProject, schema: str, run: Callable[[str], Any], ask: Callable[[str], Any], *options: str
) -> None:
    """Run the textbook models twice and once with a full refresh, and compare their rows with those that dbt promises.

    Args:
        project: has the models TEXTBOOK.
        schema: into which it builds.
        run: runs a statement.
        ask: returns the rows of a query.
        options: of dbt.
    """

    def rows_of(model: str) -> list[tuple[int, str]]:
        return sorted((int(row[0]), str(row[1])) for row in ask(f"select id, name from {schema}.{model}"))

    command = ("run", "--select", "own_append", "own_merge", *options)
    first = [(number, "first") for number in range(60)]
    project.build(*command)
    assert (rows_of("own_append"), rows_of("own_merge")) == (first, first)

    for statement in _LATER_EVENTS:
        run(statement)
    later = [(number, "later") for number in range(60, 70)]
    changed = [(number, "changed") for number in range(5)]
    project.build(*command)
    assert rows_of("own_append") == sorted([*first, *changed, *later])
    assert rows_of("own_merge") == [*changed, *first[5:], *later]

    project.build(*command, "--full-refresh")
    assert rows_of("own_append") == rows_of("own_merge") == [*changed, *first[5:], *later]


# The environment decides the materialization: dbt parses only this file again.
CHANGING: Final = {
    "models/own/own_kinds.sql": "{{ config(materialized=env_var('OWN_KIND', 'table'), unique_key='id') }} " + _SELECT,
    "models/own/own_kinds.yml": """
models:
  - name: own_kinds
    description: "One row per user's event."
    columns:
      - {name: id, description: "The event's number."}
""",
    "models/own/own_default.sql": _SELECT,
}

# A test that keeps the rows that fail it.
STORED: Final = {
    "tests/dbt/own_stored.sql": "{{ config(store_failures=true, severity='warn') }} " + _SELECT + " where id < 3",
}

_EXACT: Final = "materialized='exact_incremental'"
WRONG: Final = {
    "own_wrong_strategy": (f"{_EXACT}, unique_key='id', incremental_strategy='append'", _SELECT),
    "own_wrong_merge": (f"{_EXACT}, unique_key='id', merge_update_columns=['name']", _SELECT),
    "own_wrong_key": (_EXACT, _SELECT),
    "own_wrong_format": (f"{_EXACT}, unique_key='id', file_format='parquet'", _SELECT),
    "own_wrong_filter": (f"{_EXACT}, unique_key='id'", _NEW),
}
WRONG_FILES: Final = {
    f"models/own/{name}.sql": f"{{{{ config({config}, tags=['wrong']) }}}} {select}"
    for name, (config, select) in WRONG.items()
}
# What the one line must say.
REFUSALS: Final = {
    "own_wrong_strategy": "it has no incremental_strategy",
    "own_wrong_merge": "it has no merge_update_columns",
    "own_wrong_key": "it needs unique_key",
    "own_wrong_format": "it needs file_format='iceberg'",
    "own_wrong_filter": "is_incremental() is always false",
}
