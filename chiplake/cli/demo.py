"""`chiplake demo`: the whole pipeline on synthetic scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    home: Annotated[Path | None, typer.Option(help="Folder of the lake; default demo/ in CHIPLAKE_HOME.")] = None,
) -> None:
    """Write a small archive of synthetic scenes, run the nightly job on it, and show the result."""
    from chiplake.demo.run import run_demo

    run_demo(home)
