"""Models of a user: dbt-spark's textbook models, one model in several materializations, and wrong ones."""

from __future__ import annotations

from typing import Final

EVENTS: Final = "raw.own_events"  # a table of a user: id int, name string, at timestamp

_SELECT: Final = f"select id, name, at from {EVENTS}"
_NEW: Final = _SELECT + " {% if is_incremental() %}where at > (select max(at) from {{ this }}){% endif %}"

TEXTBOOK: Final = {
    "models/own/own_append.sql": "{{ config(materialized='incremental', incremental_strategy='append') }} " + _NEW,
    "models/own/own_merge.sql": (
        "{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }} " + _NEW
    ),
}

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
