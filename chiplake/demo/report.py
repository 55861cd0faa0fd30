"""The demo's report: a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

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


def summarise(summary: DemoSummary, console: Console | None = None) -> Table:
    """Print the results of a demo run, and return the table."""
    table = Table(title="Chiplake demo", show_header=False, title_justify="left", min_width=64)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    weights = f" [yellow]({UNTRAINED})[/]" if summary.is_untrained else ""
    found, planted = summary.found_cells, summary.planted_cells
    others = len(set(summary.changed_cells) - set(planted))
    table.add_row("scenes", f"{summary.scenes:,}")
    table.add_row("grid cells", f"{summary.cells:,}")
    table.add_row("chips", f"{summary.chips:,}")
    table.add_row("valid pixels", f"{summary.valid_before:.1%} as acquired, {summary.valid_after:.1%} after filling")
    table.add_row("embeddings", f"{summary.embeddings:,}")
    table.add_row("model", f"{summary.model_id}{weights}")
    table.add_row("changes found", f"{len(summary.changed_cells):,} ({others:,} outside the planted change)")
    table.add_row("planted change", _verdict(found, planted))
    (console or Console()).print(table)
    return table


def _verdict(found: Sequence[str], planted: Sequence[str]) -> str:
    if not planted:
        return "none"
    if not found:
        return f"[red]not found[/] in {', '.join(planted)}"
    if len(found) < len(planted):
        return f"[yellow]found in {len(found)} of {len(planted)} cells[/]: {', '.join(found)}"
    return f"[green]found[/] in {', '.join(found)}"
