"""The lake that `chiplake demo` makes, and commands on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from lakehouse.catalog import open_catalog
from lakehouse.settings import PROJECT_DIR, Settings

BIN: Final = Path(sys.executable).parent


class Shell:
    """Runs commands in the project, on the lake of the demo."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, command: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [BIN / command, *arguments],
            cwd=PROJECT_DIR,
            env=os.environ | {"CHIPLAKE_HOME": str(self.home)} | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dbt(self, *arguments: str, **environment: str) -> str:
        """Run a plain dbt command, with its artefacts beside the lake."""
        paths = ["--target-path", str(self.target), "--log-path", str(self.home / "logs")]
        return self("dbt", "--no-use-colors", *arguments, *paths, **environment)

    @property
    def target(self) -> Path:
        """The folder of dbt's artefacts."""
        return self.home / "target"

    @property
    def demo_output(self) -> str:
        """The text that `chiplake demo` printed when it made the lake."""
        return (self.home.parent / "demo.txt").read_text()

    def rows(self, model: str) -> list[dict[str, Any]]:
        """Return the rows of a model, without pixels and embeddings."""
        table = open_catalog(Settings().replace(home=self.home)).load_table(f"chiplake.{model}")
        columns = [
            one.name for one in table.schema().fields if one.field_type.is_primitive and str(one.field_type) != "binary"
        ]
        found: list[dict[str, Any]] = table.scan(selected_fields=tuple(columns)).to_arrow().to_pylist()
        return found

    def snapshot_ids(self) -> dict[str, list[int]]:
        """Return the snapshots of every table, as PyIceberg sees them."""
        catalog = open_catalog(Settings().replace(home=self.home))
        tables = [name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
        return {
            ".".join(name): [snapshot.snapshot_id for snapshot in catalog.load_table(name).snapshots()]
            for name in tables
        }
