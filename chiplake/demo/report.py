"""The demo's report: a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from chiplake.output import Cell, print_table
from embedding.wire import UNTRAINED


@dataclass(frozen=True)
class DemoSummary:
    """The numbers of one demo run."""

    scenes: int
    cells: int
    chips: int
    valid_before: float  # mean share of valid pixels in the chips as acquired, 0 to 1
    valid_after: float  # the same after filling
    embeddings: int
    model_id: str
    is_untrained: bool  # the model's weights are seeded, not learnt
    changed_cells: tuple[str, ...]  # cells with a change found on the day of the planted change
    planted_cells: tuple[str, ...]  # cells of the planted change

    @property
    def found_cells(self) -> tuple[str, ...]:
        """The cells of the planted change in which a change was found."""
        return tuple(cell for cell in self.planted_cells if cell in self.changed_cells)


def print_summary(summary: DemoSummary) -> None:
    """Print the results of a demo run."""
    found, planted = summary.found_cells, summary.planted_cells
    others = len(set(summary.changed_cells) - set(planted))
    model = Text(summary.model_id)
    if summary.is_untrained:
        model.append(f" ({UNTRAINED})", "yellow")
    rows: list[tuple[str, Cell]] = [
        ("scenes", f"{summary.scenes:,}"),
        ("grid cells", f"{summary.cells:,}"),
        ("chips", f"{summary.chips:,}"),
        ("valid pixels", f"{summary.valid_before:.1%} as acquired, {summary.valid_after:.1%} after filling"),
        ("embeddings", f"{summary.embeddings:,}"),
        ("model", model),
        ("changes found", f"{len(summary.changed_cells):,} ({others:,} outside the planted change)"),
        ("planted change", _verdict(found, planted)),
    ]
    print_table(("", ""), rows, title="Chiplake demo", header=False)


def _verdict(found: Sequence[str], planted: Sequence[str]) -> Cell:
    if not planted:
        return "none"
    if not found:
        return Text.assemble(("not found", "red"), f" in {', '.join(planted)}")
    if len(found) < len(planted):
        return Text.assemble((f"found in {len(found)} of {len(planted)} cells", "yellow"), f": {', '.join(found)}")
    return Text.assemble(("found", "green"), f" in {', '.join(found)}")
