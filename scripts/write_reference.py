"""Write docs/reference from the code: settings, functions of SQL, tables and columns, commands.

python scripts/write_reference.py            # writes the pages
python scripts/write_reference.py --check    # exits with 1 and names the pages that are out of date
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from chiplake.cli.main import app
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.settings.listing import list_settings
from python_udfs.registry import FUNCTIONS

FOLDER: Final = PROJECT_DIR / "docs" / "reference"
STAGES: Final = (
    "staging",
    "scenes",
    "chips",
    "filling",
    "composites",
    "embeddings",
    "anomalies",
    "changes",
    "operations",
)
_HEAD: Final = "<!-- Written by scripts/write_reference.py. Do not edit. -->\n"


def settings_page() -> str:
    """Every setting, by group."""
    rows: dict[str, list[Sequence[str]]] = {}
    for setting in list_settings(Settings()):
        default = f"`{setting.default}`" if setting.default not in ("", "null") else ""
        rows.setdefault(setting.group, []).append((f"`{setting.variable}`", setting.type, default, setting.description))
    parts = [
        "# Settings\n",
        "A setting is an environment variable, or a line of a file `.env`. The environment comes first, then the",
        "file of the working directory, then that of the project. `CHIPLAKE_ENV_FILE` names another file, or none",
        "if it is empty. `chiplake doctor` prints the current values. A variable `CHIPLAKE_…` that nothing reads",
        "is reported. A dbt variable of the same name, in lower case and without `CHIPLAKE_`, has the setting as",
        "its default. A list is its parts with commas between them, or JSON; an object is JSON.",
        "`CHIPLAKE_AIRFLOW_…` are in `dags/chiplake_airflow/environment.py`, `CHIPLAKE_THRIFT_…` in",
        "`profiles/profiles.yml`.\n",
    ]
    for group, of_group in rows.items():
        parts += [f"## {group}\n", *_table(("variable", "type", "default", "meaning"), of_group), ""]
    return _page(parts)


def functions_page() -> str:
    """Every Python function that SQL can call."""
    parts = [
        "# Functions of SQL\n",
        "Python functions that every session registers, beside Sedona's `ST_` and `RS_` functions. Arguments in",
        "brackets are optional. Null in gives null out.",
        "[your-own-models.md](../your-own-models.md) says how to add functions of your own.\n",
        *_table(
            ("function", "arguments", "returns", "meaning"),
            ((f"`{one.name}`", f"`{one.arguments}`", f"`{one.returns}`", one.doc) for one in FUNCTIONS),
        ),
    ]
    return _page(parts)


def tables_page(manifest: dict[str, Any]) -> str:
    """Every source and model with its columns, from dbt's manifest."""
    parts = [
        "# Tables\n",
        "Sources are written by Python, all other tables by dbt. `dbt docs` shows the same with the lineage.\n",
    ]
    sources = sorted(manifest["sources"].values(), key=lambda node: str(node["name"]))
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    parts.append("## Sources\n")
    for node in sources:
        parts += _columns_of(f"{node['schema']}.{node['name']}", node)
    for stage in STAGES:
        parts.append(f"## {stage.capitalize()}\n")
        for node in sorted((node for node in models if node["fqn"][1] == stage), key=lambda node: str(node["name"])):
            parts += _columns_of(node["name"], node)
    return _page(parts)


def commands_page() -> str:
    """Every command of the command line with its options, and the exit codes."""
    parts = [
        "# Commands\n",
        "`chiplake --debug COMMAND …` shows the traceback of an error, `chiplake --version` the version.\n",
        *_table(
            ("exit code", "meaning"),
            (
                ("0", "everything was done"),
                ("1", "an error; the line on standard error says what to do"),
                ("2", "wrong usage"),
                (
                    "3",
                    "done except for some chips, each a row with an error (or `CHIPLAKE_INCOMPLETE_EXIT_CODE`)",
                ),
            ),
        ),
        "",
    ]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        if inner:
            for inner_name, inner_command in inner.items():
                parts += _command(f"chiplake {name} {inner_name}", inner_command)
        else:
            parts += _command(f"chiplake {name}", command)
    return _page(parts)


def _command(name: str, command: Any) -> list[str]:
    rows = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        shown = parameter.name.upper() if parameter.param_type_name == "argument" else ", ".join(parameter.opts)
        default = parameter.default
        is_stated = not (default is None or default is False or callable(default))
        rows.append((f"`{shown}`", f"`{default}`" if is_stated else "", getattr(parameter, "help", None) or ""))
    table = [*_table(("argument", "default", "meaning"), rows), ""] if rows else []
    return [f"## `{name}`\n", f"{command.help}\n", *table]


def _columns_of(name: str, node: dict[str, Any]) -> list[str]:
    columns = (
        (f"`{one['name']}`", f"`{one['data_type']}`", _values(one["config"]["meta"]), one["description"])
        for one in node["columns"].values()
    )
    return [
        f"### `{name}`\n",
        f"{' '.join(node['description'].split())}\n",
        *_table(("column", "type", "values", "meaning"), columns),
        "",
    ]


def _values(meta: dict[str, str]) -> str:
    """Describe the values of a column: dtype and shape of an array, and units."""
    array = " ".join(meta[key] for key in ("dtype", "shape") if key in meta)
    return ", ".join(part for part in (array, meta.get("units")) if part)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = (["|".join(["", *(f" {_cell(cell)} " for cell in row), ""])] for row in rows)
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(line for (line,) in cells)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(parts: Iterable[str]) -> str:
    return _HEAD + "\n".join(parts).rstrip() + "\n"


def parsed_manifest() -> dict[str, Any]:
    """Parse the dbt project, without a JVM, and return its manifest."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("dbt")),
            "--quiet",
            "parse",
            "--target-path",
            folder,
            "--log-path",
            folder,
        ]
        subprocess.run(command, cwd=PROJECT_DIR, check=True)
        manifest: dict[str, Any] = json.loads((Path(folder) / "manifest.json").read_text())
    return manifest


def reference_pages(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the text of each page, by file name."""
    return {
        "settings.md": settings_page(),
        "functions.md": functions_page(),
        "tables.md": tables_page(manifest),
        "commands.md": commands_page(),
    }


def main() -> int:
    """Write or check the pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    outdated = []
    for name, text in reference_pages(parsed_manifest()).items():
        path = FOLDER / name
        if path.is_file() and path.read_text() == text:
            continue
        outdated.append(name)
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if outdated:
        print(f"{'out of date' if is_check else 'written'}: {', '.join(outdated)}")
    return 1 if is_check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
