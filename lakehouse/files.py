"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; what was there is replaced."""
    with replaced_atomically(path) as file:
        file.write(content)


@contextmanager
def replaced_atomically(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes its place when the context ends, and is gone if it ends by an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unique, so that two attempts of one Spark task do not write into each other.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
