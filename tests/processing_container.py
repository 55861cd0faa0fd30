"""A SageMaker processing job as its container sees it: the layout of /opt/ml under a folder, then the entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers.aws import AwsServer

from chiplake.settings import PROJECT_DIR

ML_ROOT = "/opt/ml"


def image_environment(root: Path) -> dict[str, str]:
    """What the image sets for a process, with the project in place of /opt/chiplake."""
    path = [str(PROJECT_DIR / "docker"), str(Path(sys.executable).parent), os.environ["PATH"]]
    inherited = ("JAVA_HOME", "CHIPLAKE_JARS_DIR", "LANG")
    return {
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": str(PROJECT_DIR),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CHIPLAKE_ML_ROOT": str(root),
        "TMPDIR": str(root.parent),
        "HOME": str(root.parent),
        **{name: os.environ[name] for name in inherited if name in os.environ},
    }


def lay_out(root: Path, job: Mapping[str, Any], aws: AwsServer) -> list[str]:
    """Make the folders of a job, bring its inputs, and return its command."""
    s3 = aws.client("s3")
    for one in job.get("ProcessingInputs", []):
        source = one["S3Input"]
        bucket, _, prefix = source["S3Uri"].removeprefix("s3://").partition("/")
        folder = _below(root, source["LocalPath"])
        folder.mkdir(parents=True, exist_ok=True)
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            s3.download_file(bucket, entry["Key"], str(folder / entry["Key"].rsplit("/", 1)[-1]))
    for one in job.get("ProcessingOutputConfig", {}).get("Outputs", []):
        _below(root, one["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
    config = root / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    specification = job["AppSpecification"]
    command = [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", [])]
    return [word.replace(ML_ROOT, str(root)) for word in command]


def run_container(root: Path, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the entry point."""
    (root / "output").mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        command,
        cwd="/",
        env={**image_environment(root), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _below(root: Path, path: str) -> Path:
    return root / Path(path).relative_to(ML_ROOT)
