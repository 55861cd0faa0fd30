"""The files of an export run, and the states that they mark.

    <transform_dir>/<run_id>/input/chips-00000.arrow      an object of chips
    <transform_dir>/<run_id>/manifest.json                written last: the export is complete
    <transform_dir>/<run_id>/output/chips-00000.arrow.out the server's answer
    <transform_dir>/<run_id>/loaded.json                  the answers are in raw.clay_embeddings

Every file is written under another name and then renamed, so that no file is ever partial.
"""

from __future__ import annotations

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
from lakehouse.locks import exclusively

if TYPE_CHECKING:
    from embedding.model.card import ModelCard

OUT_SUFFIX: Final = ".out"
MANIFEST: Final = "manifest.json"
LOADED: Final = "loaded.json"
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


class ExportedObject(BaseModel):
    """One object of chips."""

    model_config = ConfigDict(frozen=True)

    name: str  # file name in input/
    chips: int
    size: int  # bytes
    sha256: str


class Manifest(BaseModel):
    """The result of one export: the content of manifest.json."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    model_id: str
    weights: str  # `checkpoint`, or `untrained weights`
    dimension: int  # length of an embedding of this model
    bands: tuple[str, ...]
    objects: tuple[ExportedObject, ...]

    @property
    def chips(self) -> int:
        """Number of chips in all objects."""
        return sum(entry.chips for entry in self.objects)


class LoadReport(BaseModel):
    """The result of one load: the content of loaded.json."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    embedded: int  # embeddings written
    errors: int  # answers that are errors, for chips without an embedding in the table
    unchanged: int  # answers not written: the table has them, or an embedding instead of their error
    unanswered_objects: tuple[str, ...]  # objects without an answer; their chips are exported again


@dataclass(frozen=True)
class Run:
    """The directory of one export run."""

    path: Path

    @property
    def run_id(self) -> str:
        """The id; ids sort by time."""
        return self.path.name

    @property
    def input_dir(self) -> Path:
        """Directory of the objects of chips."""
        return self.path / "input"

    @property
    def output_dir(self) -> Path:
        """Directory of the answers."""
        return self.path / "output"

    @property
    def manifest_path(self) -> Path:
        """The manifest, which exists once the export is complete."""
        return self.path / MANIFEST

    @property
    def loaded_path(self) -> Path:
        """The mark that the answers are loaded."""
        return self.path / LOADED

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            ChiplakeError: it is missing or cannot be read.
        """
        try:
            return Manifest.model_validate_json(self.manifest_path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ChiplakeError(
                f"{self.manifest_path}: no valid manifest; remove {self.path} to export its chips again"
            ) from error

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which objects of these names do not exist."""
        return [name for name in names if not (self.input_dir / name).is_file()]

    def gather_answers(self) -> None:
        """Move answers from subfolders of `output/` to it: SageMaker's docs leave open which subfolder it uses."""
        for path in sorted(self.output_dir.glob(f"*/**/*{OUT_SUFFIX}")):
            path.replace(self.output_dir / path.name)

    def write_manifest(self, card: ModelCard, bands: tuple[str, ...], objects: Iterable[ExportedObject]) -> Manifest:
        """Write the manifest, which completes the export.

        Args:
            card: the model that the chips are for.
            bands: of the objects.
            objects: all objects of the run.
        """
        manifest = make_manifest(self.run_id, card, bands, objects)
        write_atomically(self.manifest_path, manifest.model_dump_json(indent=2).encode())
        return manifest

    def mark_loaded(self, report: LoadReport) -> None:
        """Write loaded.json, so that this run is not continued again."""
        write_atomically(self.loaded_path, report.model_dump_json(indent=2).encode())


def make_manifest(run_id: str, card: ModelCard, bands: tuple[str, ...], objects: Iterable[ExportedObject]) -> Manifest:
    """Return the manifest of a run.

    Args:
        run_id: of the run.
        card: the model that the chips are for.
        bands: of the objects.
        objects: all objects of the run.
    """
    return Manifest(
        run_id=run_id,
        model_id=card.model_id,
        weights=card.weights,
        dimension=card.dimension,
        bands=bands,
        objects=tuple(objects),
    )


def objects_of(input_dir: Path) -> list[Path]:
    """Return the objects of chips of a directory, in the order of their names."""
    return sorted(path for path in input_dir.iterdir() if path.suffix in MEDIA_TYPE_OF_SUFFIX and path.name[0] != ".")


def answer_path(output_dir: Path, name: str) -> Path:
    """Return where the answer to the object of this name belongs."""
    return output_dir / f"{name}{OUT_SUFFIX}"


def new_run(transform_dir: Path) -> Run:
    """Name a new run; write nothing."""
    return Run(transform_dir / new_run_id())


def new_run_id() -> str:
    """Return the id of a new run."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def is_run_id(name: str) -> bool:
    """Return whether a name has the form of a run's id."""
    return _RUN_ID.fullmatch(name) is not None


def find_run(transform_dir: Path, run_id: str) -> Run:
    """Find an exported run.

    Raises:
        ChiplakeError: the run does not exist.
    """
    run = Run(transform_dir / run_id)
    if not is_run_id(run_id) or not run.manifest_path.is_file():
        raise ChiplakeError(
            f"{run_id}: no export run of this id in {transform_dir}; make one with `chiplake embed export`"
        )
    return run


def unfinished_runs(transform_dir: Path) -> list[Run]:
    """Return runs that are exported and not loaded, the oldest first."""
    return [run for run in _runs(transform_dir) if run.manifest_path.is_file() and not run.loaded_path.is_file()]


def remove_partial_exports(transform_dir: Path) -> None:
    """Remove what killed exports left behind. Call it inside `only_embedding_run` only."""
    for run in _runs(transform_dir):
        if not run.manifest_path.is_file():
            shutil.rmtree(run.path)


@contextmanager
def only_embedding_run(transform_dir: Path) -> Iterator[None]:
    """Lock the transform directory: two jobs at once would embed the same chips twice.

    Raises:
        LockedError: another process has locked it. A run may take hours, so it is not waited for.
    """
    with exclusively(transform_dir / ".lock", f"the folder of embedding runs {transform_dir}"):
        yield


def _runs(transform_dir: Path) -> list[Run]:
    if not transform_dir.is_dir():
        return []
    return [Run(path) for path in sorted(transform_dir.iterdir()) if path.is_dir() and is_run_id(path.name)]
