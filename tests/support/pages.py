"""The blocks of code in the project's pages, and a shell that runs the commands of a page one after the other.

A block is run if its language is `console`, `sql` or `python`. In a `console` block, a line that starts with `$ ` is a
command, which continues after a backslash and inside quotes, and the lines below it are its output. `...` in the output
matches any text, and alone in a line any number of lines. A block that cannot be run in a test has the comment
`<!-- not run: REASON -->` above it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lakehouse.settings import PROJECT_DIR

PAGES: Final = tuple(
    sorted(
        path.relative_to(PROJECT_DIR).as_posix()
        for pattern in (
            "*.md",
            "docs/**/*.md",
            "[a-z]*/README.md",
            "infrastructure/cdk/README.md",
            "tests/**/README.md",
        )
        for path in PROJECT_DIR.glob(pattern)
        if "node_modules" not in path.parts
    )
)
LANGUAGES: Final = ("console", "sql", "python")

_FENCE: Final = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str  # path in the project
    line: int  # line of the fence, counted from 1
    language: str
    text: str
    reason: str | None  # why it is not run

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """Return the commands of a `console` block, each with its output according to the page."""
        found: list[tuple[list[str], list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif found:
                command, output = found[-1]
                (command if not output and _goes_on("\n".join(command)) else output).append(line)
        return tuple(("\n".join(command), "\n".join(output)) for command, output in found)


def _goes_on(command: str) -> bool:
    """Return whether a command ends in a backslash or inside quotes."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return command.endswith("\\")


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("language")) + 1
        yield Block(page, line, fence["language"], fence["text"], fence["reason"])


def prints_as_said(printed: str, said: str) -> bool:
    """Return whether printed text matches the page, ignoring white space at the ends of lines."""
    if not said.strip():
        return True
    lines = [re.escape(line).replace(r"\.\.\.", ".*") for line in _without_padding(said)]
    pattern = "\n".join(r"(?:.*\n?)*?" if line == ".*" else line for line in lines)
    text = "\n".join(_without_padding(printed))
    return re.fullmatch(pattern.replace("(?:.*\\n?)*?\n", "(?:.*\\n)*?"), text) is not None


def _without_padding(text: str) -> list[str]:
    """Lines with one space for several, and three dashes for more."""
    return [re.sub("-{4,}", "---", " ".join(line.split())) for line in text.strip("\n").splitlines()]


class PageShell:
    """A shell that keeps its folder and its variables from one command to the next, as a reader's shell does."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._state = folder / "state.sh"
        self._state.parent.mkdir(parents=True, exist_ok=True)
        self._environment = dict(environment)
        self._folder = Path.cwd()

    def run(self, command: str, expected_code: int = 0) -> str:
        """Run a command, and return its standard output.

        Raises:
            AssertionError: it ends with another exit code.
        """
        script = f"{command}\ncode=$?\n{{ pwd; env -0; }} > {self._state}\nexit $code\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._folder, env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == expected_code, f"{command}\n{done.stdout}{done.stderr}"
        folder, _, variables = self._state.read_text().partition("\n")
        self._folder = Path(folder)
        kept = (variable.partition("=") for variable in variables.split("\0") if variable)
        self._environment = {name: value for name, _, value in kept if name not in ("_", "SHLVL")}
        return done.stdout


def environment_of_a_reader(home: Path, bin: Path) -> dict[str, str]:
    """Return a reader's environment: the project's programs on the path, and as the only setting the lake's home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHIPLAKE_", "DBT_"))}
    return kept | {
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_ENV_FILE": "",
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
