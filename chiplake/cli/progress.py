"""The progress bar of the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

ShowProgress = Callable[[str, int, int | None], None]  # (description, done, total); None: the total is not known


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[ShowProgress]:
    """Show a progress bar on standard error, if that is a terminal, while the block runs.

    Args:
        description: the text in front of the bar, until the first update.
        total: the number of steps; None if it is not known.

    Yields:
        A function that updates the description, the number of steps done and the total.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(description, total=total)

        def show(description: str, done: int, total: int | None) -> None:
            progress.update(task, description=description, completed=done, total=total)

        yield show
