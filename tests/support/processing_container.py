"""The container of a SageMaker processing job, without a container engine.

It has the layout of /opt/ml, the environment of the image, and the entry point as a process.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lakehouse.settings import PROJECT_DIR

ML_ROOT: Final = "/opt/ml"
HOST: Final = "algo-1"  # of a job with one instance
IMAGE_PROJECT: Final = "/opt/chiplake"
DOCKERFILE: Final = PROJECT_DIR / "docker" / "spark.Dockerfile"
# Variables of the image that do not apply here: this machine has its own programs, jars and user.
_OF_THE_IMAGE: Final = ("PATH", "CHIPLAKE_JARS_DIR", "CHIPLAKE_JOB_USER")


def image_environment(root: Path) -> dict[str, str]:
    """Return the environment that the image sets, with the project for /opt/chiplake and the parent of `root` for /tmp.

    Args:
        root: the folder that replaces /opt/ml of the container.
    """
    path = [str(PROJECT_DIR / "docker"), str(Path(sys.executable).parent), os.environ["PATH"]]
    inherited = ("JAVA_HOME", "CHIPLAKE_JARS_DIR", "LANG")
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    pairs = [pair for line in joined.splitlines() if line.startswith("ENV ") for pair in shlex.split(line)[1:]]
    variables = dict(pair.split("=", 1) for pair in pairs)
    return {
        **{
            name: in_place(value.replace("/tmp/", f"{root.parent}/"), root)
            for name, value in variables.items()
            if name not in _OF_THE_IMAGE
        },
        "PATH": os.pathsep.join(path),
        "CHIPLAKE_ML_ROOT": str(root),
        "TMPDIR": str(root.parent),
        "HOME": str(root.parent),
        **{name: os.environ[name] for name in inherited if name in os.environ},
    }


def in_place(words: str, root: Path) -> str:
    """Replace paths of the container by paths of this machine."""
    return words.replace(ML_ROOT, str(root)).replace(IMAGE_PROJECT, str(PROJECT_DIR))


def lay_out(root: Path, job: Mapping[str, Any], s3: Any, host: str = HOST, hosts: Sequence[str] = (HOST,)) -> list[str]:
    """Make the folders of one host of a job, download the job's inputs, and return its command.

    Args:
        root: the folder that replaces /opt/ml of the container.
        job: the request of CreateProcessingJob, or the answer of DescribeProcessingJob.
        s3: client of S3.
        host: name of the host.
        hosts: names of all hosts of the job.

    Raises:
        FileNotFoundError: an input does not exist; the message is that of AWS.
    """
    for one in job.get("ProcessingInputs") or []:
        _download(s3, one["S3Input"]["S3Uri"], _below(root, one["S3Input"]["LocalPath"]))
    for one in _outputs(job):
        _below(root, one["LocalPath"]).mkdir(parents=True, exist_ok=True)
    for folder in ("config", "output", "processing"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "config" / "resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": list(hosts)}))
    specification = job["AppSpecification"]
    command = [*specification["ContainerEntrypoint"], *(specification.get("ContainerArguments") or [])]
    return [in_place(word, root) for word in command]


def upload_outputs(root: Path, job: Mapping[str, Any], s3: Any) -> None:
    """Upload the files of the output folders to the job's S3 addresses, as at the end of a job."""
    for one in _outputs(job):
        folder = _below(root, one["LocalPath"])
        bucket, _, prefix = one["S3Uri"].removeprefix("s3://").partition("/")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            s3.upload_file(str(path), bucket, f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}".lstrip("/"))


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


def _download(s3: Any, uri: str, folder: Path) -> None:
    """Download an object, or all objects below a prefix, as S3DataType S3Prefix does."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    folder.mkdir(parents=True, exist_ok=True)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", []) if not entry["Key"].endswith("/")]
    if not keys:
        raise FileNotFoundError(f'No S3 objects found under S3 URL "{uri}" given in input data source')
    for key in keys:
        path = folder / (key.rsplit("/", 1)[-1] if key == prefix else key.removeprefix(prefix).lstrip("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(path))


def _outputs(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one["S3Output"] for one in (job.get("ProcessingOutputConfig") or {}).get("Outputs", [])]


def _below(root: Path, path: str) -> Path:
    return root / Path(path).relative_to(ML_ROOT)
