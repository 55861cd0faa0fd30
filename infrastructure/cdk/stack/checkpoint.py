"""`python -m stack.checkpoint OUTPUTS [FILE]`: packs a Clay checkpoint, uploads it, prints the stack's parameters.

Without FILE, the checkpoint is the object `models/clay/v1.0/model.pth` of the bucket. The stack keeps the version of
this object in a parameter, beside the keys of what was made from it: a version that the stack knows is not read, and
nothing is printed. With FILE, the version that is there counts as known, so that the next deployment keeps the file.

A key has the SHA-256 digest of its object: an object that the bucket holds is not sent again, and a rollback finds the
older ones.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedding.aws import S3Place, client, error_code, list_objects, plain_errors, session, upload_files
from embedding.model.card import card_path, preprocessing_of, write_weights
from embedding.server.package import write_package
from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings
from lakehouse.spark.jars import sha256_of
from stack import layout


def upload_checkpoint(checkpoint: Path, bucket: str, s3: Any) -> tuple[str, str]:
    """Upload the packed server, and the checkpoint with its card, which tells jobs the id of the model.

    Returns:
        The keys of the model data and of the checkpoint.

    Raises:
        ChiplakeError: the checkpoint cannot be used, or AWS refuses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive, weights = write_package(Path(folder), checkpoint)
        print(f"    {weights.card(preprocessing_of(get_settings().clay)).model_id}", file=sys.stderr)
        model = _upload(s3, [archive], S3Place(bucket, f"{layout.MODELS}/{sha256_of(archive)[:16]}"))
        card = card_path(Path(folder) / checkpoint.name)
        write_weights(card, weights)
        files = [path for path in (checkpoint, checkpoint.with_suffix(".json"), card) if path.is_file()]
        return model, _upload(s3, files, S3Place(bucket, f"{layout.CHECKPOINTS}/{sha256_of(checkpoint)[:16]}"))


def raw_version(bucket: str, s3: Any) -> str | None:
    """Return the version of the checkpoint that somebody copied to the bucket; None if nobody did.

    Raises:
        ChiplakeError: AWS refuses it.
    """
    with plain_errors(f"cannot read s3://{bucket}/{layout.RAW_CHECKPOINT}"):
        try:
            head = s3.head_object(Bucket=bucket, Key=layout.RAW_CHECKPOINT)
        except ClientError as error:
            if error_code(error) == "404":
                return None
            raise
    return str(head["VersionId"])  # the stack's bucket is versioned


def upload_raw(version: str, bucket: str, s3: Any) -> tuple[str, str]:
    """Download the checkpoint that somebody copied to the bucket, with its JSON file if there is one, and upload it.

    Args:
        version: the object's version.
        bucket: name of the bucket.
        s3: client of S3.

    Returns:
        As `upload_checkpoint`.

    Raises:
        ChiplakeError: as `upload_checkpoint`; the message names the object.
    """
    place = S3Place(bucket, layout.RAW_CHECKPOINT.rpartition("/")[0])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / Path(layout.RAW_CHECKPOINT).name
        sidecar = checkpoint.with_suffix(".json")
        print(f"    {(place / checkpoint.name).uri} is new", file=sys.stderr)
        with plain_errors(f"cannot read {place.uri}"):
            s3.download_file(bucket, layout.RAW_CHECKPOINT, str(checkpoint), ExtraArgs={"VersionId": version})
            if (place / sidecar.name).prefix in list_objects(s3, place):
                s3.download_file(bucket, (place / sidecar.name).prefix, str(sidecar))
        try:
            return upload_checkpoint(checkpoint, bucket, s3)
        except ChiplakeError as error:
            raise ChiplakeError(
                f"{str(error).replace(folder, place.uri)}; the model stays as it was, and the next deployment tries "
                "this object again: replace it by a Clay checkpoint, or remove it"
            ) from error


def _upload(s3: Any, files: list[Path], place: S3Place) -> str:
    sent = upload_files(s3, files, place, lambda: None)
    key = (place / files[0].name).prefix
    print(f"    {key}: {'sent' if sent else 'already there'}", file=sys.stderr)
    return key


def main() -> None:
    """Upload the checkpoint and print one parameter a line; print nothing if there is no new one."""
    outputs_file, *files = sys.argv[1:]
    ((_, outputs),) = json.loads(Path(outputs_file).read_text()).items()
    bucket = outputs["BucketName"]
    with plain_errors("cannot upload the checkpoint"):
        s3 = client(session(), "s3")
    try:
        version = raw_version(bucket, s3)
    except ChiplakeError as error:
        if files:
            raise
        # Whoever deploys by roles of the CDK may have no right to the bucket.
        print(f"    {error}; the model stays as it was", file=sys.stderr)
        return
    if files:
        model, checkpoint = upload_checkpoint(Path(files[0]), bucket, s3)
    elif version is None or version == outputs.get("KnownCheckpointVersion"):
        return
    else:
        model, checkpoint = upload_raw(version, bucket, s3)
    print(f"ModelDataKey={model}")
    print(f"CheckpointKey={checkpoint}")
    if version is not None:
        print(f"CheckpointVersion={version}")


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
