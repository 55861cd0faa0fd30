"""Where export runs are: in a folder of this machine, or in S3, which Spark's executors need no shared folder for.

A run in S3 has the files of a run in a folder (embedding/runs/files.py), below `<CHIPLAKE_TRANSFORM_S3_URI>/<run_id>`.
An object of S3 appears whole or not at all, so nothing is renamed. The transform and the load work on a copy of the run
in the folder. A partial export in S3 has no manifest and is left to the bucket's rules, because another machine may be
writing it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Protocol

from embedding.aws import PARALLEL, S3Place, client, download, list_objects, put_bytes, session
from embedding.runs.files import (
    LOADED,
    MANIFEST,
    ExportedObject,
    LoadReport,
    Manifest,
    Run,
    find_run,
    is_run_id,
    make_manifest,
    new_run,
    new_run_id,
    unfinished_runs,
)
from lakehouse.errors import ChiplakeError
from lakehouse.files import write_atomically
from lakehouse.transform_job import INPUT_FOLDER, OUTPUT_FOLDER

if TYPE_CHECKING:
    from embedding.model.card import ModelCard
    from lakehouse.settings import Settings

# Of the keys below a run. `jobs/` has what SageMaker's jobs were sent.
_OF_A_RUN: Final = re.compile(rf"(?:{INPUT_FOLDER}|{OUTPUT_FOLDER})/.*[^/]|{re.escape(MANIFEST)}")


class NewRun(Protocol):
    """A run that an export writes."""

    @property
    def run_id(self) -> str:
        """The id; ids sort by time."""

    @property
    def input_dir(self) -> Path | S3Place:
        """Where its objects belong."""

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which objects of these names do not exist."""

    def write_manifest(self, card: ModelCard, bands: tuple[str, ...], objects: Iterable[ExportedObject]) -> Manifest:
        """Write the manifest, which completes the export."""

    def manifest(self) -> Manifest:
        """Read the manifest."""


class RunStore(Protocol):
    """The export runs of a lake."""

    def new(self) -> NewRun:
        """Name a new run; write nothing."""

    def unfinished(self) -> list[str]:
        """Return the ids of runs that are exported and not loaded, the oldest first."""

    def open(self, run_id: str) -> Run:
        """Return an exported run as a folder of this machine.

        Raises:
            ChiplakeError: the run does not exist.
        """

    def mark_loaded(self, report: LoadReport) -> None:
        """Keep that a run is loaded, in addition to the mark in its folder."""


def run_store(settings: Settings) -> RunStore:
    """Return where the settings have the runs.

    Raises:
        ChiplakeError: they are in S3, and no address is set.
    """
    if settings.transform.export_to == "home":
        return FolderStore(settings.lake.transform_dir)
    if settings.transform.s3_uri is None:
        raise ChiplakeError("CHIPLAKE_TRANSFORM_EXPORT_TO=s3 needs CHIPLAKE_TRANSFORM_S3_URI; set it")
    place = S3Place.parse(settings.transform.s3_uri)
    return S3Store(place, client(session(), "s3"), settings.lake.transform_dir)


@dataclass(frozen=True)
class FolderStore:
    """Runs in a folder of this machine."""

    transform_dir: Path

    def new(self) -> NewRun:
        """Name a new run; write nothing."""
        return new_run(self.transform_dir)

    def unfinished(self) -> list[str]:
        """Return the ids of runs that are exported and not loaded, the oldest first."""
        return [run.run_id for run in unfinished_runs(self.transform_dir)]

    def open(self, run_id: str) -> Run:
        """Return an exported run.

        Raises:
            ChiplakeError: the run does not exist.
        """
        return find_run(self.transform_dir, run_id)

    def mark_loaded(self, report: LoadReport) -> None:
        """Do nothing: the mark in the run's folder is the only one."""


@dataclass(frozen=True)
class S3Run:
    """A run in S3 that an export writes."""

    place: S3Place  # of the run
    s3: Any

    @property
    def run_id(self) -> str:
        """The id; ids sort by time."""
        return PurePosixPath(self.place.prefix).name

    @property
    def input_dir(self) -> S3Place:
        """Prefix of the objects of chips."""
        return self.place / INPUT_FOLDER

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which objects of these names do not exist."""
        keys = list_objects(self.s3, self.input_dir)
        return [name for name in names if (self.input_dir / name).prefix not in keys]

    def write_manifest(self, card: ModelCard, bands: tuple[str, ...], objects: Iterable[ExportedObject]) -> Manifest:
        """Write the manifest, which completes the export."""
        manifest = make_manifest(self.run_id, card, bands, objects)
        put_bytes(self.s3, self.place / MANIFEST, manifest.model_dump_json(indent=2).encode())
        return manifest

    def manifest(self) -> Manifest:
        """Read the manifest."""
        return Manifest.model_validate_json(download(self.s3, self.place / MANIFEST))


@dataclass(frozen=True)
class S3Store:
    """Runs in S3, and copies of them in a folder of this machine."""

    place: S3Place
    s3: Any
    transform_dir: Path

    def new(self) -> NewRun:
        """Name a new run; write nothing."""
        return S3Run(self.place / new_run_id(), self.s3)

    def unfinished(self) -> list[str]:
        """Return the ids of runs that are exported and not loaded, the oldest first."""
        keys = list_objects(self.s3, self.place)
        ids = sorted({self._below(self.place, key).split("/")[0] for key in keys})
        return [run_id for run_id in ids if is_run_id(run_id) and self._is_unfinished(run_id, keys)]

    def open(self, run_id: str) -> Run:
        """Return a copy of an exported run. What an earlier call has copied is not copied again.

        Raises:
            ChiplakeError: the run does not exist.
        """
        place, run = self.place / run_id, Run(self.transform_dir / run_id)
        names = [self._below(place, key) for key in list_objects(self.s3, place)]
        if not is_run_id(run_id) or MANIFEST not in names:
            raise ChiplakeError(
                f"{run_id}: no export run of this id in {self.place}; make one with `chiplake embed export`"
            )
        wanted = [name for name in names if _OF_A_RUN.fullmatch(name) and not (run.path / name).is_file()]
        with ThreadPoolExecutor(PARALLEL) as pool:
            # The manifest last, as it says that the run is complete.
            list(pool.map(lambda name: self._copy(place, name, run), (name for name in wanted if name != MANIFEST)))
        if MANIFEST in wanted:
            self._copy(place, MANIFEST, run)
        run.gather_answers()
        return run

    def mark_loaded(self, report: LoadReport) -> None:
        """Mark the run in S3 as loaded."""
        place = self.place / report.run_id / LOADED
        put_bytes(self.s3, place, report.model_dump_json(indent=2).encode())

    def _copy(self, place: S3Place, name: str, run: Run) -> None:
        write_atomically(run.path / name, download(self.s3, place / name))

    def _is_unfinished(self, run_id: str, keys: Mapping[str, int]) -> bool:
        place = self.place / run_id
        return (place / MANIFEST).prefix in keys and (place / LOADED).prefix not in keys

    @staticmethod
    def _below(place: S3Place, key: str) -> str:
        return key.removeprefix(f"{place.prefix}/")
