"""The generated reference matches the code."""

from __future__ import annotations

from scripts.write_reference import FOLDER, parsed_manifest, reference_pages


def test_the_reference_follows_the_code() -> None:
    """`python scripts/write_reference.py` updates the pages."""
    pages = reference_pages(parsed_manifest())
    assert {path.name for path in FOLDER.iterdir()} == set(pages)
    assert [name for name, text in pages.items() if (FOLDER / name).read_text() != text] == []
