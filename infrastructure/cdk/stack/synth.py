"""`python -m stack.synth FOLDER [NAME=VALUE ...]`: writes the assembly; needs no cdk command and no network."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from lakehouse.errors import ChiplakeError
from stack.config import Config, read_config
from stack.stack import LakehouseStack

_CDK_JSON: Final = Path(__file__).resolve().parent.parent / "cdk.json"


def make_app(folder: Path, given: Mapping[str, str]) -> App:
    """Make the app.

    Args:
        folder: folder of the assembly.
        given: choices by name, besides those in the context of `cdk.json`.

    Raises:
        ChiplakeError: a choice does not exist, or its value is invalid.
    """
    for name in given:
        if name not in Config.model_fields:
            raise ChiplakeError(f"context {name}: no such choice; choose from {', '.join(Config.model_fields)}")
    context: dict[str, Any] = json.loads(_CDK_JSON.read_text())["context"]
    app = App(outdir=str(folder), context={**context, **given})
    LakehouseStack(app, read_config(app.node))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def main() -> None:
    """Write the assembly into a folder, in place of an earlier one."""
    folder = Path(sys.argv[1])
    given = dict(pair.split("=", 1) for pair in sys.argv[2:])
    shutil.rmtree(folder, ignore_errors=True)
    make_app(folder, given).synth()


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
