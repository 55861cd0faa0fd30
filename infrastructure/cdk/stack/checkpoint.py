"""`python -m stack.checkpoint FILE OUTPUTS`: packs a Clay checkpoint, uploads it, prints the stack's parameters.

A key has the SHA-256 digest of its object: an object that the bucket holds is not sent again, and a rollback finds the
older ones.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from embedding.aws import S3Place, client, plain_errors, session, upload_files
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


def _upload(s3: Any, files: list[Path], place: S3Place) -> str:
    sent = upload_files(s3, files, place, lambda: None)
    key = (place / files[0].name).prefix
    print(f"    {key}: {'sent' if sent else 'already there'}", file=sys.stderr)
    return key


def main() -> None:
    """Upload the checkpoint and print one parameter a line."""
    outputs: dict[str, dict[str, str]] = json.loads(Path(sys.argv[2]).read_text())
    ((_, stack),) = outputs.items()
    with plain_errors("cannot upload the checkpoint"):
        s3 = client(session(), "s3")
    model, checkpoint = upload_checkpoint(Path(sys.argv[1]), stack["BucketName"], s3)
    print(f"ModelDataKey={model}")
    print(f"CheckpointKey={checkpoint}")


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
