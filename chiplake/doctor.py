"""The checks of `chiplake doctor`: Java, jars, catalog, Clay checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakehouse.catalog import ensure_sources
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.spark.jars import JARS, Jar, check_java, sha256_of


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    subject: str
    is_good: bool
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Check everything that the pipeline needs on this machine. Nothing is fetched."""
    jars = [_jar(settings.runtime.jars_dir, jar) for jar in JARS]
    return [_java(), *jars, _catalog(settings), _checkpoint(settings.clay.checkpoint)]


def _java() -> Finding:
    try:
        return Finding("Java", True, check_java())
    except ChiplakeError as error:
        return Finding("Java", False, str(error))


def _jar(jars_dir: Path, jar: Jar) -> Finding:
    path = jars_dir / jar.file_name
    if not path.exists():
        return Finding(jar.coordinate, False, "missing: run `chiplake setup`")
    if sha256_of(path) != jar.sha256:
        return Finding(jar.coordinate, False, f"wrong SHA-256 sum: delete {path} and run `chiplake setup`")
    return Finding(jar.coordinate, True, "SHA-256 sum is right")


def _catalog(settings: Settings) -> Finding:
    subject = f"{settings.lake.catalog} catalog"
    try:
        catalog = ensure_sources(settings)
        tables = sum(len(catalog.list_tables(namespace)) for namespace in catalog.list_namespaces())
    except Exception as error:  # any error of the catalog's client is the finding
        return Finding(subject, False, f"{type(error).__name__}: {error}")
    return Finding(subject, True, f"{tables} tables, warehouse {settings.lake.warehouse_location}")


def _checkpoint(path: Path | None) -> Finding:
    if path is None:
        return Finding("Clay checkpoint", True, "not set: a seeded encoder with untrained weights takes its place")
    return Finding("Clay checkpoint", path.exists(), str(path) if path.exists() else f"{path} does not exist")
