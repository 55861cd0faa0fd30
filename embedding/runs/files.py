"""The files of an embedding run, and what state it is in.

    <transform_dir>/<run_id>/input/chips-00000.arrow      an object of chips
    <transform_dir>/<run_id>/manifest.json                written last: the export is whole
    <transform_dir>/<run_id>/output/chips-00000.arrow.out the server's answer
    <transform_dir>/<run_id>/loaded.json                  the answers are in raw.clay_embeddings

Every file is written under another name and then renamed, so a file that is there is whole.
"""

from __future__ import annotations

import fcntl
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from embedding.wire import MEDIA_TYPE_OF_SUFFIX
from lakehouse.errors import ChiplakeError
from lakehouse.files import write_atomically

if TYPE_CHECKING:
    from embedding.model.weights import ModelCard

OUT_SUFFIX: Final = ".out"
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


class ExportedObject(BaseModel):
    """One object of chips."""

    model_config = ConfigDict(frozen=True)

    name: str  # file name in input/
    chips: int
    size: int  # bytes
    sha256: str


class Manifest(BaseModel):
    """What one export wrote."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    model_id: str
    weights: str  # `checkpoint`, or `untrained weights`
    dimension: int  # length of an embedding of this model
    bands: tuple[str, ...]
    objects: tuple[ExportedObject, ...]

    @property
    def chips(self) -> int:
        """Chips in all objects together."""
        return sum(entry.chips for entry in self.objects)


class LoadReport(BaseModel):
    """What one load did; written as the mark that a run is loaded."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    embedded: int  # embeddings written
    errors: int  # answers that are errors, where the table has no embedding
    unchanged: int  # answers that the table had already, or had better
    unanswered_objects: tuple[str, ...]  # objects without an answer: their chips are exported again


@dataclass(frozen=True)
class Run:
    """One run's directory."""

    path: Path

    @property
    def run_id(self) -> str:
        """The id, which sorts by time."""
        return self.path.name

    @property
    def input_dir(self) -> Path:
        """Where the objects of chips are."""
        return self.path / "input"

    @property
    def output_dir(self) -> Path:
        """Where the answers are."""
        return self.path / "output"

    @property
    def manifest_path(self) -> Path:
        """The manifest; there once the export is whole."""
        return self.path / "manifest.json"

    @property
    def loaded_path(self) -> Path:
        """The mark that the answers were loaded."""
        return self.path / "loaded.json"

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            ChiplakeError: there is none, or it cannot be read.
        """
        try:
            return Manifest.model_validate_json(self.manifest_path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ChiplakeError(
                f"{self.manifest_path}: no manifest of an export; remove {self.path} to have its chips exported again"
            ) from error

    def gather_answers(self) -> None:
        """Move answers that lie deeper in `output/` up: how SageMaker names their folder is not said clearly."""
        for path in sorted(self.output_dir.glob(f"*/**/*{OUT_SUFFIX}")):
            path.replace(self.output_dir / path.name)

    def write_manifest(self, card: ModelCard, bands: tuple[str, ...], objects: Iterable[ExportedObject]) -> Manifest:
        """Write the manifest, by which the export is whole.

        Args:
            card: the model that the chips are for.
            bands: what the objects hold.
            objects: all that were written.
        """
        manifest = Manifest(
            run_id=self.run_id,
            model_id=card.model_id,
            weights=card.weights,
            dimension=card.dimension,
            bands=bands,
            objects=tuple(objects),
        )
        write_atomically(self.manifest_path, manifest.model_dump_json(indent=2).encode())
        return manifest

    def mark_loaded(self, report: LoadReport) -> None:
        """Leave the mark, so that no later run takes this one up again."""
        write_atomically(self.loaded_path, report.model_dump_json(indent=2).encode())


def objects_of(input_dir: Path) -> list[Path]:
    """Return the objects of chips of a directory, in the order of their names."""
    return sorted(path for path in input_dir.iterdir() if path.suffix in MEDIA_TYPE_OF_SUFFIX and path.name[0] != ".")


def answer_path(output_dir: Path, name: str) -> Path:
    """Return where the answer to the object of this name belongs."""
    return output_dir / f"{name}{OUT_SUFFIX}"


def new_run(transform_dir: Path) -> Run:
    """Name a new run. Nothing is written."""
    return Run(transform_dir / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")


def find_run(transform_dir: Path, run_id: str) -> Run:
    """Find an exported run.

    Raises:
        ChiplakeError: there is no such run.
    """
    run = Run(transform_dir / run_id)
    if not _RUN_ID.fullmatch(run_id) or not run.manifest_path.is_file():
        raise ChiplakeError(f"{run_id}: there is no such run in {transform_dir}; see `chiplake embed export`")
    return run


def unfinished_runs(transform_dir: Path) -> list[Run]:
    """Runs that were exported and not loaded, oldest first."""
    return [run for run in _runs(transform_dir) if run.manifest_path.is_file() and not run.loaded_path.is_file()]


def remove_partial_exports(transform_dir: Path) -> None:
    """Remove what killed exports left. Call it only inside `exclusively`."""
    for run in _runs(transform_dir):
        if not run.manifest_path.is_file():
            shutil.rmtree(run.path)


@contextmanager
def exclusively(transform_dir: Path) -> Iterator[None]:
    """Hold the transform directory: two runs at once would embed the same chips twice.

    Raises:
        ChiplakeError: another process holds it.
    """
    transform_dir.mkdir(parents=True, exist_ok=True)
    with (transform_dir / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ChiplakeError(f"another embedding run works in {transform_dir}; wait until it ends") from error
        yield


def _runs(transform_dir: Path) -> list[Run]:
    if not transform_dir.is_dir():
        return []
    return [Run(path) for path in sorted(transform_dir.iterdir()) if path.is_dir() and _RUN_ID.fullmatch(path.name)]
