"""The app of the cdk command: `cdk synth`, `cdk diff`. `deploy.sh` in the project's root runs all of a deployment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stack.synth import make_app

from lakehouse.errors import ChiplakeError

if __name__ == "__main__":
    try:
        make_app(Path(os.environ.get("CDK_OUTDIR", "cdk.out")), {}).synth()
    except ChiplakeError as error:
        sys.exit(f"chiplake: {error}")
