"""The links of the pages lead to existing files and headings, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import LANGUAGES, PAGES, blocks_of

from lakehouse.settings import PROJECT_DIR


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (PROJECT_DIR / page).read_text()):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        linked = (PROJECT_DIR / page).parent / name if name else PROJECT_DIR / page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((PROJECT_DIR / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_states_its_language(page: str) -> None:
    """Tests do not run indented blocks, so such a block must not contain a command."""
    text = (PROJECT_DIR / page).read_text()
    assert re.findall(r"\n\n    (?:chiplake|dbt|make|export|airflow|\./deploy\.sh) .*", text) == []
    assert {block.language for block in blocks_of(page, text)} <= {*LANGUAGES, "text", "yaml", "toml"}
