"""The demo's report shows the numbers of the run."""

from __future__ import annotations

import pytest

from chiplake.demo.report import DemoSummary, print_summary

Capture = pytest.CaptureFixture[str]


def printed(summary: DemoSummary, capsys: Capture) -> str:
    print_summary(summary)
    return capsys.readouterr().out


def a_summary(changed: tuple[str, ...], is_untrained: bool = True) -> DemoSummary:
    return DemoSummary(
        scenes=10,
        cells=84,
        chips=410,
        valid_before=0.71,
        valid_after=0.983,
        embeddings=212,
        model_id="clay-seeded-tiny",
        is_untrained=is_untrained,
        changed_cells=changed,
        planted_cells=("a", "b"),
    )


def test_the_table_marks_seeded_weights_as_untrained(capsys: Capture) -> None:
    assert "untrained weights" in printed(a_summary(("a",)), capsys)
    assert "untrained" not in printed(a_summary(("a",), is_untrained=False), capsys)


@pytest.mark.parametrize(
    ("changed", "verdict", "others"),
    [
        ((), "not found in a, b", "0 (0 outside"),
        (("a", "z"), "found in 1 of 2 cells: a", "2 (1 outside"),
        (("b", "a"), "found in a, b", "2 (0 outside"),
    ],
)
def test_the_table_states_whether_the_planted_change_was_found(
    capsys: Capture, changed: tuple[str, ...], verdict: str, others: str
) -> None:
    text = printed(a_summary(changed), capsys)
    assert verdict in text
    assert others in text
