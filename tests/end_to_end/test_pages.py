"""Every command and query of the project's pages runs and prints the output that the page shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_sql
from support.demo_lake import BIN, Shell
from support.pages import Block, PageShell, blocks_of, environment_of_a_reader, prints_as_said

from lakehouse.settings import PROJECT_DIR

pytestmark = pytest.mark.java

PAGES = ("README.md", *sorted(path.relative_to(PROJECT_DIR).as_posix() for path in (PROJECT_DIR / "docs").glob("*.md")))
BLOCKS = [block for page in PAGES for block in blocks_of(page, (PROJECT_DIR / page).read_text()) if not block.reason]


CONSOLES = {
    page: [block for block in BLOCKS if block.page == page and block.language == "console"]
    for page in PAGES
    if any(block.page == page and block.language == "console" for block in BLOCKS)
}


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.fixture
def page_shell(shell: Shell, tmp_path: Path) -> PageShell:
    return PageShell(tmp_path, environment_of_a_reader(shell.home, BIN))


def of_language(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture(scope="module")
def sql_errors(shell: Shell) -> dict[str, str | None]:
    """Return the error of each query of the pages, or None; all queries run in one process."""
    blocks = of_language("sql")
    done = subprocess.run(
        [sys.executable, run_sql.__file__],
        input=json.dumps([block.text for block in blocks]),
        env=environment_of_a_reader(shell.home, BIN) | {"DBT_TARGET_PATH": str(shell.target)},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(map(named, blocks), json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("block", of_language("sql"), ids=named)
def test_a_query_runs(block: Block, sql_errors: dict[str, str | None]) -> None:
    assert sql_errors[named(block)] is None


@pytest.mark.parametrize("block", of_language("python"), ids=named)
def test_a_program_runs(block: Block, page_shell: PageShell) -> None:
    page_shell.run(f"cd {PROJECT_DIR} && python - <<'PROGRAM'\n{block.text}PROGRAM")


@pytest.mark.parametrize("page", list(CONSOLES))
def test_the_commands_of_a_page_print_the_output_that_it_shows(page: str, page_shell: PageShell) -> None:
    page_shell.run(f"cd {PROJECT_DIR}")
    for block in CONSOLES[page]:
        for command, said in block.commands:
            printed = page_shell.run(command)
            assert prints_as_said(printed, said), f"{named(block)}: {command}\n{printed}"
