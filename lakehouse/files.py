"""Files that are complete or absent."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes) -> None:
    """Write a complete file or none. An existing file is replaced."""
    with replaced_atomically(path) as file:
        file.write(content)


@contextmanager
def replaced_atomically(path: Path, is_durable: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the context ends; an exception in the context discards it.

    Args:
        path: the file; its folder is made if it is missing.
        is_durable: wait until the disk has the content, so that it is whole even after a power failure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A unique name: two attempts of one Spark task must not write to the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
