"""Tables are whole where nobody looks at a terminal, and in a terminal their first column is."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chiplake.output import print_json, print_table

COLUMNS = ("setting", "value", "meaning")
NAME = "CHIPLAKE_FILL_CLOUD_DILATION_PIXELS"
MEANING = "Pixels this close to a cloud or its shadow are also filled; counted in pixels of 20 m."
BANDS = '["blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22"]'
ROWS = [(NAME, "0", MEANING), ("CHIPLAKE_BANDS", BANDS, "Bands to cut.")]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def in_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    stream = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        print_table(COLUMNS, ROWS, title="Settings")
    return stream.getvalue()


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_elsewhere_than_in_a_terminal_a_row_is_one_whole_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table(COLUMNS, ROWS, title="Settings")
    title, head, first, second = capsys.readouterr().out.splitlines()
    assert (title, head.split()) == ("Settings", list(COLUMNS))
    assert first.split("  ", 1)[0] == NAME
    assert first.endswith(MEANING)
    assert BANDS in second
    assert head.index("meaning") == first.index(MEANING) == second.index("Bands to cut.")


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_a_terminal_never_cuts_the_first_column(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = in_terminal(width, monkeypatch)
    assert NAME in text
    assert "CHIPLAKE_BANDS" in text
    assert "…" not in text


def test_a_terminal_shows_all_of_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in in_terminal(100, monkeypatch).splitlines() if "│" in line]
    assert max(map(len, lines)) <= 100
    meanings = " ".join(line.split("│")[3].strip() for line in lines)
    assert MEANING in meanings


def test_numbers_are_aligned_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("table", "files"), [("a", "5"), ("b", "1,000")], numbers=("files",))
    assert capsys.readouterr().out == "table  files\na          5\nb      1,000\n"


def test_json_has_times_and_paths_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2023, 8, 15, tzinfo=UTC), "path": Path("/lake"), "share": 0.5})
    assert json.loads(capsys.readouterr().out) == {"at": "2023-08-15T00:00:00+00:00", "path": "/lake", "share": 0.5}
