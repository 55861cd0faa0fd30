"""`python -m stack.bases FILE [--plan]`: pins the base images of a deployment by their digests, in its file.

A tag names another image every few weeks. A deployment looks up the digest of a base image that has none, and writes it
into the file; later ones build from the same bytes until a person removes it. `--plan` says what would be looked up.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lakehouse.errors import ChiplakeError, one_line
from lakehouse.settings import PROJECT_DIR
from stack.config import Config, config_of, read_config

SPARK_DOCKERFILE: Final = "docker/spark.Dockerfile"
CLAY_DOCKERFILE: Final = "docker/clay.Dockerfile"
# The keys of the file, with the Dockerfile whose ARG BASE is their default.
DOCKERFILES: Final = {"spark_base": SPARK_DOCKERFILE, "clay_base": CLAY_DOCKERFILE}

_ARG: Final = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
# `{{.Manifest.Digest}}` alone prints a table, as buildx has its own format for what begins with `{{.Manifest`.
_FORMAT: Final = "{{json .Manifest.Digest}}"
_LONGEST_S: Final = 120


@dataclass(frozen=True)
class Base:
    """The base image of one image."""

    key: str  # of the deployment's file
    image: str  # such as python:3.11-slim, with or without @sha256:…

    @property
    def name(self) -> str:
        """The image without its digest."""
        return self.image.partition("@")[0]

    @property
    def is_pinned(self) -> bool:
        """Return whether the image has a digest."""
        return "@" in self.image

    @property
    def default(self) -> str:
        """The image that the Dockerfile names."""
        return dockerfile_base(DOCKERFILES[self.key])


def dockerfile_base(dockerfile: str) -> str:
    """Return the base image that a Dockerfile of the project names."""
    found = _ARG.findall((PROJECT_DIR / dockerfile).read_text())
    (image,) = found
    return str(image)


def bases(config: Config) -> tuple[Base, ...]:
    """Return the base images of a deployment: those of its file, else those that the Dockerfiles name."""
    given = {"spark_base": config.spark_base, "clay_base": config.clay_base}
    return tuple(Base(key, image or dockerfile_base(DOCKERFILES[key])) for key, image in given.items())


def base_lines(config: Config, shown: str) -> Iterator[str]:
    """Describe the base images, each in a line; of those without a digest, say that a deployment looks it up.

    Args:
        config: the choices of the deployment.
        shown: name of its file.
    """
    for base in bases(config):
        line = f"{base.key}: {base.image}"
        if not base.is_pinned:
            line += f", whose digest a deployment looks up and writes into {shown}"
        elif base.name != base.default:
            line += f" ({DOCKERFILES[base.key]} names {base.default}; {base.key}: null takes that)"
        yield line


def digest_of(base: Base) -> str:
    """Ask the registry for the digest of an image, by Docker.

    https://docs.docker.com/reference/cli/docker/buildx/imagetools/inspect/

    Returns:
        `sha256:` and 64 hexadecimal digits: of the list of all platforms, if the image has several.

    Raises:
        ChiplakeError: Docker or the registry does not give it.
    """
    command = ["docker", "buildx", "imagetools", "inspect", base.image, "--format", _FORMAT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_found(base, str(error)) from error
    digest = done.stdout.strip().strip('"')
    if done.returncode or not _DIGEST.fullmatch(digest):
        raise _not_found(base, done.stderr.strip() or done.stdout.strip() or "Docker said nothing")
    return digest


def pinned_text(text: str, images: Mapping[str, str]) -> str:
    """Return the text of a deployment's file with other base images. Everything else stays, also comments.

    Args:
        text: the file.
        images: image with its digest by key of the file.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    for key, image in images.items():
        line = re.compile(rf"^{key}:[^#\r\n]*?(?=[ \t]*(?:#[^\r\n]*)?\r?$)", re.MULTILINE)
        if line.search(text):
            text = line.sub(f"{key}: {image}", text, count=1)
        else:
            added = (f"# Base image of {DOCKERFILES[key]}, as deploy.sh found it.", f"{key}: {image}", "")
            text = end.join((text.rstrip("\r\n"), *added))
    return text


def pin(path: Path, config: Config) -> Config:
    """Look up the digests that are missing, and write them into the deployment's file.

    Args:
        path: the file.
        config: its content.

    Returns:
        The choices with the digests.

    Raises:
        ChiplakeError: a digest cannot be found, or the file cannot be written; then it stays as it is.
    """
    images = {base.key: f"{base.name}@{digest_of(base)}" for base in bases(config) if not base.is_pinned}
    if not images:
        return config
    by_hand = "; write them into it by hand: " + ", ".join(f"{key}: {image}" for key, image in images.items())
    try:
        with path.open(newline="") as file:
            text = pinned_text(file.read(), images)
        pinned = _checked(text, path, config.model_copy(update=images), by_hand)
        with path.open("w", newline="") as file:
            file.write(text)
    except OSError as error:
        raise ChiplakeError(f"cannot write the base images into {path}: {error.strerror}{by_hand}") from error
    return pinned


def _checked(text: str, path: Path, expected: Config, by_hand: str) -> Config:
    """Check that a text has the expected choices before it replaces the file."""
    try:
        found: Config | None = config_of(text, path)
    except ChiplakeError:
        found = None
    if found != expected:
        raise ChiplakeError(f"{path} has not one line for each key, so deploy.sh does not change it{by_hand}")
    return expected


def _not_found(base: Base, said: str) -> ChiplakeError:
    return ChiplakeError(
        f"cannot find the digest of the base image {base.image}: {one_line(said)}. Check that `docker buildx "
        f"imagetools inspect {base.image}` shows it (the plugin buildx, the network, docker login), or set "
        f"{base.key}: IMAGE@sha256:… in the deployment's file"
    )


def main() -> None:
    """Pin the base images, or with `--plan` say what would be pinned; print them."""
    file, *options = sys.argv[1:]
    path = Path(file)
    config = read_config(path)
    pinned = config if "--plan" in options else pin(path, config)
    for line in base_lines(pinned, file):
        print(f"    {line}")
    if pinned != config:
        print(f"    written into {file}: commit it; docs/operations.md says how to take newer ones")


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
