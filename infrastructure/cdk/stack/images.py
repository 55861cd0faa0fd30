"""The two container images. Synthesis only hashes them; `cdk deploy` builds and pushes those that changed."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import IgnoreMode, Stack, aws_ecr_assets

from lakehouse.settings import PROJECT_DIR
from stack.bases import CLAY_DOCKERFILE, SPARK_DOCKERFILE
from stack.config import Config


def make_spark_image(stack: Stack, config: Config) -> aws_ecr_assets.DockerImageAsset:
    """Make the image of processing jobs."""
    return _make_image(stack, "SparkImage", SPARK_DOCKERFILE, _given(BASE=config.spark_base))


def make_clay_image(stack: Stack, config: Config) -> aws_ecr_assets.DockerImageAsset:
    """Make the image of the inference server."""
    arguments = _given(BASE=config.clay_base, TORCH_INDEX=config.torch_index)
    return _make_image(stack, "ClayImage", CLAY_DOCKERFILE, arguments)


def _given(**arguments: str | None) -> dict[str, str]:
    """Return the arguments of a build that have a value; the Dockerfile has defaults for the others."""
    return {name: value for name, value in arguments.items() if value}


def _make_image(stack: Stack, name: str, dockerfile: str, arguments: dict[str, str]) -> aws_ecr_assets.DockerImageAsset:
    return aws_ecr_assets.DockerImageAsset(
        stack,
        name,
        directory=str(PROJECT_DIR),
        file=dockerfile,
        exclude=_ignored(PROJECT_DIR / f"{dockerfile}.dockerignore"),
        ignore_mode=IgnoreMode.DOCKER,
        platform=aws_ecr_assets.Platform.LINUX_AMD64,
        build_args=arguments,
    )


def _ignored(path: Path) -> list[str]:
    """Read the patterns of a .dockerignore. CDK finds it only beside a file named Dockerfile."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
