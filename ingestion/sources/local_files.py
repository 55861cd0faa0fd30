"""Items from local files: ItemCollection, single item, list of items, newline-delimited JSON, stac-geoparquet, static
catalogue, or a folder of any of these."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from ingestion.model import CONCURRENCY, Origin, Received
from ingestion.sources.catalogue import read_local_catalog
from ingestion.sources.item_file import SUFFIXES, BrokenFileError, is_catalog, read_file, suffix_of
from lakehouse.errors import ChiplakeError


def read_items(
    path: Path, allow_file_hrefs: bool = False, concurrency: int = CONCURRENCY
) -> Generator[Received, None, None]:
    """Yield the items of a file, or of a folder with its sub-folders, in a fixed order.

    For a Catalog or Collection, read the items to which its links lead. In a folder, skip catalogues, since the items
    are in the folder too, and yield a broken file as one entry that cannot be parsed.

    Args:
        path: file or folder.
        allow_file_hrefs: links and hrefs may lead to local files outside the folder.
        concurrency: most requests at the same time, if a local catalogue links to a server.

    Raises:
        ChiplakeError: the path cannot be read, or a single file is not what its name says.
    """
    path = path.absolute()
    return _read_folder(path, allow_file_hrefs) if path.is_dir() else _read_single(path, allow_file_hrefs, concurrency)


def _read_single(path: Path, allow_file_hrefs: bool, concurrency: int) -> Generator[Received, None, None]:
    origins = _origins(path, path.parent, allow_file_hrefs)
    for entry in read_file(path):
        if entry.is_own_file and is_catalog(entry.content):
            yield from read_local_catalog(path, entry.content, allow_file_hrefs, concurrency)
        else:
            yield Received(entry.content, f"{path.name}#{entry.number}", origins[entry.is_own_file], entry.parse_error)


def _read_folder(folder: Path, allow_file_hrefs: bool) -> Generator[Received, None, None]:
    files = sorted(file for file in folder.rglob("*") if suffix_of(file) in SUFFIXES and file.is_file())
    if not files:
        raise ChiplakeError(f"{folder} has no STAC files; expected {', '.join(sorted(SUFFIXES))}")
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
    """Return the origin of one item among others in a file, and that of an item that is the whole file."""
    among_others, whole = (
        Origin(
            source=str(path),
            folder=str(path.parent),
            root=str(root),
            is_own_file=is_own_file,
            allow_file_hrefs=allow_file_hrefs,
        )
        for is_own_file in (False, True)
    )
    return among_others, whole
