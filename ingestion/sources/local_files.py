"""Items from files: ItemCollection, single item, bare list, newline-delimited JSON, stac-geoparquet, static catalogue,
or a folder of any of these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingestion.model import CONCURRENCY, Origin, Received
from ingestion.sources.catalogue import read_catalog, read_local_catalog
from ingestion.sources.file_formats import SUFFIXES, BrokenFileError, is_catalog, read_file
from lakehouse.errors import ChiplakeError

__all__ = ["read_catalog", "read_items"]


def read_items(path: Path, allow_file_hrefs: bool = False, concurrency: int = CONCURRENCY) -> Iterator[Received]:
    """Everything that a file, or a folder with its sub-folders, holds in place of items, in a fixed order.

    A Catalog or Collection given by itself stands for all items that its links lead to. In a folder, catalogues are
    passed over, since their items lie beside them, and a broken file is one thing received that cannot be parsed.

    Args:
        path: the file or folder.
        allow_file_hrefs: links and assets may lead to local files outside the folder.
        concurrency: most requests at once, where a local catalogue links to a server.

    Raises:
        ChiplakeError: the path cannot be read, or a file named by itself is not what its name says.
    """
    path = path.absolute()
    return _read_folder(path, allow_file_hrefs) if path.is_dir() else _read_alone(path, allow_file_hrefs, concurrency)


def _read_alone(path: Path, allow_file_hrefs: bool, concurrency: int) -> Iterator[Received]:
    origins = _origins(path, path.parent, allow_file_hrefs)
    for entry in read_file(path):
        if entry.is_own_file and is_catalog(entry.content):
            yield from read_local_catalog(path, entry.content, allow_file_hrefs, concurrency)
        else:
            yield Received(entry.content, f"{path.name}#{entry.number}", origins[entry.is_own_file], entry.parse_error)


def _read_folder(folder: Path, allow_file_hrefs: bool) -> Iterator[Received]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise ChiplakeError(f"{folder} holds no STAC files; expected {', '.join(sorted(SUFFIXES))}")
    for file in files:
        name = file.relative_to(folder).as_posix()
        origins = _origins(file, folder, allow_file_hrefs)
        try:
            for entry in read_file(file):
                if not is_catalog(entry.content):
                    place = f"{name}#{entry.number}"
                    yield Received(entry.content, place, origins[entry.is_own_file], entry.parse_error)
        except BrokenFileError as error:
            yield Received("", f"{name}#{error.count}", origins[False], str(error))


def _origins(path: Path, root: Path, allow_file_hrefs: bool) -> tuple[Origin, Origin]:
    """The origin of one item among others in a file, and that of an item that is the file."""
    among_others, alone = (
        Origin(
            source=str(path),
            folder=str(path.parent),
            root=str(root),
            is_own_file=is_own_file,
            allow_file_hrefs=allow_file_hrefs,
        )
        for is_own_file in (False, True)
    )
    return among_others, alone
