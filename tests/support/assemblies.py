"""Assemblies that CDK writes, and how tests read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

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
    name: str = "chiplake"  # of the deployment

    @property
    def template_path(self) -> Path:
        return self.folder / f"{self.name}.template.json"

    @property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(self.template_path.read_text())
        return template

    @property
    def assets(self) -> dict[str, Any]:
        assets: dict[str, Any] = json.loads((self.folder / f"{self.name}.assets.json").read_text())
        return assets

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {name: one for name, one in self.template["Resources"].items() if one["Type"] == kind}


def write_choices(path: Path, **choices: Any) -> Path:
    """Write the file of a deployment."""
    path.write_text(yaml.safe_dump(choices))
    return path


def synthesise(folder: Path, **choices: Any) -> subprocess.CompletedProcess[str]:
    file = write_choices(folder.with_suffix(".yaml"), **choices)
    command = [sys.executable, "-m", "stack.synth", str(folder), str(file)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def cfn_lint(synthesised: Synthesised) -> str:
    """Return what cfn-lint finds. CDK writes dependencies that are both explicit and implied (W3005)."""
    program = Path(sys.executable).parent / "cfn-lint"
    options = ("--regions", "eu-central-1", "--ignore-checks", "W3005")
    done = subprocess.run([program, *options, "--", synthesised.template_path], capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text_of(value: Any) -> str:
    """Return a value of the template with its references, as text."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(text_of(part) for part in parts)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
        case {"Ref": name}:
            return str(name)
    return str(value)
