"""Assemblies that CDK writes, and how tests read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.settings import PROJECT_DIR

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [str(PROJECT_DIR / "infrastructure" / "cdk"), str(PROJECT_DIR), str(PROJECT_DIR / "dags")]
    ),
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
}


@dataclass(frozen=True)
class Synthesised:
    """An assembly."""

    folder: Path

    @property
    def template_path(self) -> Path:
        return self.folder / "chiplake.template.json"

    @property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(self.template_path.read_text())
        return template

    @property
    def assets(self) -> dict[str, Any]:
        assets: dict[str, Any] = json.loads((self.folder / "chiplake.assets.json").read_text())
        return assets

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {name: one for name, one in self.template["Resources"].items() if one["Type"] == kind}


def synthesise(folder: Path, *context: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stack.synth", str(folder), *context]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
