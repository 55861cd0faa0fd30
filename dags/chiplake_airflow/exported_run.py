"""The exported run in S3 whose objects the batch transform embeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.transform_job import INPUT_FOLDER, OUTPUT_FOLDER, answer_keys


@dataclass(frozen=True)
class ExportedRun:
    """Objects of chips that `chiplake embed export` wrote, and which of them have no answer yet."""

    bucket: str
    key: str  # of the run's folder, without / at its end
    objects: tuple[str, ...]  # names
    unanswered: tuple[str, ...]  # names

    @property
    def run_id(self) -> str:
        """Name of the run's folder."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def uri(self) -> str:
        """Address of the run's folder, without / at its end."""
        return f"s3://{self.bucket}/{self.key}"


def newest_run(bucket: str, keys: Sequence[str]) -> ExportedRun | None:
    """Find the newest complete export among keys of a bucket; None if there is none.

    An export writes its manifest last, so a folder without a manifest is incomplete.

    Args:
        bucket: name of the bucket.
        keys: keys below the prefix of the exports.
    """
    folders = sorted(key.removesuffix("/manifest.json") for key in keys if key.endswith("/manifest.json"))
    if not folders:
        return None
    folder = folders[-1]  # names of folders begin with the time of the export
    inputs, outputs = (f"{folder}/{part}/" for part in (INPUT_FOLDER, OUTPUT_FOLDER))
    objects = tuple(key.rsplit("/", 1)[-1] for key in keys if key.startswith(inputs) and not key.endswith("/"))
    answered = answer_keys(key for key in keys if key.startswith(outputs))
    return ExportedRun(bucket, folder, objects, tuple(name for name in objects if name not in answered))
