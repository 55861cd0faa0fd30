"""The DAG of one file follows the modules; modules that cannot be one file are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from scripts.write_single_dag import TARGET, SingleFileError, Sources, dag_file, single_file

# A program of three modules: one is imported inside a function, another one is left out.
PROGRAM = {
    "program": '''
"""Says Grüße.

Twice."""

from __future__ import annotations

import os

from parts.words import GREETING, greet

print(__doc__, GREETING, os.environ["CHIPLAKE_AIRFLOW_RUNTIME"], greet("aws"))
try:
    greet("local")
except ImportError as error:
    print(error)
''',
    "parts/words": '''
"""Words — of greeting."""

from __future__ import annotations

import os
from json import dumps

GREETING = dumps("Grüße")  # a comment


def greet(runtime: str) -> str:
    if runtime == "local":
        from parts.local import shout

        return shout(os.environ["HOME"])
    try:
        from parts.whisper import whisper
    except ModuleNotFoundError:
        return "silence"
    return whisper()
''',
    "parts/whisper": """
from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from parts.words import GREETING

if TYPE_CHECKING:
    from parts.words import greet

__all__ = ["whisper"]


def whisper() -> str:
    return GREETING.lower()
""",
    "parts/local": "import no_such_package",
}


def sources(folder: Path, modules: dict[str, str]) -> Sources:
    for name, text in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Sources({"program": folder, "parts": folder}, frozenset({"parts.local"}))


def test_the_file_follows_the_modules() -> None:
    """`python scripts/write_single_dag.py` updates it."""
    assert TARGET.read_text() == dag_file()


def test_one_file_does_what_its_modules_do(tmp_path: Path) -> None:
    text = single_file("program", sources(tmp_path, PROGRAM))
    assert "# Words — of greeting." in text
    assert "# a comment" in text
    assert "import no_such_package" not in text
    alone = tmp_path / "alone" / "program.py"
    alone.parent.mkdir()
    alone.write_text(text)
    done = subprocess.run([sys.executable, "-I", alone], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "Says Grüße.",
        "",
        'Twice. "Gr\\u00fc\\u00dfe" aws "gr\\u00fc\\u00dfe"',
        "this file has only the runtime aws; dags/ of the project has the others",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parts/whisper": "GREETING = 1\n\n\ndef whisper(): ..."},
            r"GREETING is defined by .*parts/w.*\.py and by .*parts/w.*\.py; rename",
        ),
        (
            {"parts/whisper": "from os import dumps\n\n\ndef whisper(): ..."},
            "dumps is defined by `from .* import dumps` and by `from .* import dumps`",
        ),
        (
            {"parts/whisper": "SETTINGS = 1\n\n\ndef whisper(): ..."},
            "SETTINGS is defined by the settings of the file and by",
        ),
        ({"parts/whisper": "def whisper(): ...\n\n\ndef print(): ..."}, "print is a name of Python's own"),
        ({"parts/whisper": "def say(): ..."}, r"parts/words.py:18: parts.whisper has no whisper"),
        ({"parts/whisper": "import parts.words\n\n\ndef whisper(): ..."}, r"parts/whisper.py:1: import the names"),
        ({"parts/whisper": "from .words import GREETING\n\n\ndef whisper(): ..."}, "write the whole name"),
        ({"parts/whisper": "from parts.words import GREETING as whisper"}, "import GREETING under its own name"),
        (
            {"parts/whisper": "from parts.local import shout as whisper"},
            "parts.local is left out; import it in the function",
        ),
        ({"program": "import os\n\nfrom parts.wrods import GREETING\n"}, "neither .*parts/wrods.py nor .* exists"),
        ({"program": "from parts.words import GREETING\n"}, "nothing reads os.environ"),
        (
            {"parts/words": "from parts.whisper import whisper\n\nGREETING = greet = 1", "program": PROGRAM["program"]},
            "modules import each other: parts.w.* imports parts.w.* imports parts.w",
        ),
    ],
)
def test_modules_that_cannot_be_one_file_are_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    found = sources(tmp_path, PROGRAM | changes)
    with pytest.raises(SingleFileError, match=message):
        single_file("program", found)


@pytest.mark.parametrize(
    ("variables", "schema"),
    [
        ({}, "chiplake"),
        ({"CHIPLAKE_TARGET_SCHEMA": "dev_ann", "CHIPLAKE_AIRFLOW_RUNTIME": "local"}, "dev_ann"),
    ],
)
def test_the_environment_has_priority_except_over_the_runtime(variables: dict[str, str], schema: str) -> None:
    """An Airflow may have CHIPLAKE_AIRFLOW_RUNTIME for another DAG."""
    text = TARGET.read_text()
    start, end = text.index("SETTINGS: "), text.index("# -----")
    names: dict[str, Any] = {"Final": Final, "os": SimpleNamespace(environ=variables)}
    exec(text[start:end], names)
    assert names["ENVIRONMENT"] == {"CHIPLAKE_TARGET_SCHEMA": schema, "CHIPLAKE_AIRFLOW_RUNTIME": "aws"}
