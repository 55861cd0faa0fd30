"""`python -m stack.synth FOLDER FILE [ACCOUNT REGION]`: writes the assembly; needs no cdk command and no network."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from lakehouse.errors import ChiplakeError
from stack.config import Config, read_config
from stack.stack import LakehouseStack

_CDK_JSON: Final = Path(__file__).resolve().parent.parent / "cdk.json"


def make_app(folder: Path, config: Config) -> App:
    """Make the app.

    Args:
        folder: folder of the assembly.
        config: the choices of the deployment.

    Raises:
        ChiplakeError: the Airflow Variables of the deployment are not those that the DAG reads.
    """
    context: dict[str, Any] = json.loads(_CDK_JSON.read_text())["context"]
    app = App(outdir=str(folder), context=context)
    LakehouseStack(app, config)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def main() -> None:
    """Write the assembly into a folder, in place of an earlier one."""
    folder, file, *place = sys.argv[1:]
    config = read_config(Path(file))
    if place:
        config = config.model_copy(update=dict(zip(("account", "region"), place, strict=True)))
    shutil.rmtree(folder, ignore_errors=True)
    make_app(Path(folder), config).synth()


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
