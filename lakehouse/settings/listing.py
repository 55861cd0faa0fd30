"""The list of all settings, for `chiplake doctor`, for dbt and for the reference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lakehouse.settings import Settings, variable_name
from lakehouse.settings.base import PROJECT_DIR, SettingsGroup


@dataclass(frozen=True)
class Setting:
    """One setting and its value in this process."""

    variable: str  # environment variable, such as CHIPLAKE_FILL_MAX_AGE_DAYS
    name: str  # dbt variable, such as fill_max_age_days
    group: str  # attribute of Settings, such as filling
    value: str  # in the form of an environment variable: text, or JSON; empty: no value
    default: str  # likewise; paths in the project are relative to it
    type: str  # JSON type and bounds, such as "integer, 1 to 250"
    description: str


def list_settings(settings: Settings) -> list[Setting]:
    """Return every setting, in the order of the groups and of their fields."""
    return [row for name, group in settings.groups() for row in _settings_of(name, group)]


def _settings_of(group_name: str, group: SettingsGroup) -> list[Setting]:
    values = group.model_dump(mode="json")
    schemas = _schemas(type(group))
    return [
        Setting(
            variable=group.variable(field),
            name=variable_name(group, field),
            group=group_name,
            value=_text(values[field]),
            default=_text(_default(info.default)),
            type=_type(schemas[field]),
            description=info.description or "",
        )
        for field, info in type(group).model_fields.items()
    ]


@cache
def _schemas(group: type[SettingsGroup]) -> dict[str, Any]:
    properties: dict[str, Any] = group.model_json_schema()["properties"]
    return properties


def _default(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.relative_to(PROJECT_DIR)) if value.is_relative_to(PROJECT_DIR) else str(value)
    return value


def _text(value: Any) -> str:
    """Return a value in the form of an environment variable; macro `setting` reads it with `fromjson`."""
    return value if isinstance(value, str) else json.dumps(value)


def _type(schema: dict[str, Any]) -> str:
    """Type and bounds of a setting, from its JSON schema."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    return " or ".join(map(_one_type, options))


def _one_type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema["type"] == "array":
        items = schema.get("items") or schema["prefixItems"][0]
        count = f"{schema['maxItems']} " if "maxItems" in schema else ""
        return f"list of {count}{items['type']}s"
    if schema["type"] == "object":
        return f"object of {_one_type(schema['additionalProperties'])}"
    return f"{schema['type']}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f", more than {schema['exclusiveMinimum']:g}"
    if low is not None and high is not None:
        return f", {low:g} to {high:g}"
    return "" if low is None else f", {low:g} or more"
