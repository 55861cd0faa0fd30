"""The app of the cdk command: `cdk diff`, `cdk destroy`. `deploy.sh` in the project's root runs all of a deployment.

The choices are those of `../deployment.yaml`, or of the file that CHIPLAKE_DEPLOYMENT_FILE names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stack.config import DEPLOYMENT_FILE, read_config
from stack.synth import make_app

from lakehouse.errors import ChiplakeError

if __name__ == "__main__":
    try:
        config = read_config(Path(os.environ.get("CHIPLAKE_DEPLOYMENT_FILE", DEPLOYMENT_FILE)))
        make_app(Path(os.environ.get("CDK_OUTDIR", "cdk.out")), config).synth()
    except ChiplakeError as error:
        sys.exit(f"chiplake: {error}")
