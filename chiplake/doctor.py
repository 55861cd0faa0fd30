"""The checks of `chiplake doctor`: Java, jars, catalog, the lake's settings, Clay checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyiceberg.catalog import Catalog

from lakehouse.catalog import ensure_sources
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError
from lakehouse.lake_record import Record, differences, read_records
from lakehouse.settings import Settings
from lakehouse.settings.lake import LakeSettings
from lakehouse.spark.jars import JARS, Jar, check_java, sha256_of


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    subject: str
    is_good: bool
    detail: str


@dataclass(frozen=True)
class Examination:
    """The results of all checks.

    Attributes:
        findings: a result a check.
        lake_settings: the settings that the lake was made with; empty if none are recorded.
    """

    findings: tuple[Finding, ...]
    lake_settings: Record


def examine(settings: Settings) -> Examination:
    """Check everything that the pipeline needs on this machine. Nothing is fetched."""
    findings = [_java(), *(_jar(settings.runtime.jars_dir, jar) for jar in JARS)]
    record: Record = {}
    try:
        catalog = ensure_sources(settings)
        findings.append(_catalog(settings.lake, catalog))
        record = read_records(catalog).get(settings.lake.target_schema, {})
        findings.append(_lake_settings(settings, record))
    except Exception as error:  # any error of the catalog's client is the finding
        findings.append(Finding(f"{settings.lake.catalog} catalog", False, root_cause(error)))
    return Examination((*findings, _checkpoint(settings.clay.checkpoint)), record)


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


def _catalog(lake: LakeSettings, catalog: Catalog) -> Finding:
    tables = sum(len(catalog.list_tables(namespace)) for namespace in catalog.list_namespaces())
    return Finding(f"{lake.catalog} catalog", True, f"{tables} tables, warehouse {lake.warehouse_location}")


def _lake_settings(settings: Settings, record: Record) -> Finding:
    found = differences(record, settings)
    lost = [one.line for one in found if one.is_lost_limit]
    if lost:
        return Finding("lake settings", False, "; ".join(lost))
    if found:
        changed = ", ".join(one.variable for one in found)
        return Finding(
            "lake settings", True, f"the lake was made with other values of {changed}; see `chiplake settings`"
        )
    if record:
        return Finding("lake settings", True, "the lake was made with the settings of this shell")
    return Finding("lake settings", True, "not recorded yet; the first run records those of its shell")


def _checkpoint(path: Path | None) -> Finding:
    if path is None:
        return Finding("Clay checkpoint", True, "not set: a seeded encoder with untrained weights takes its place")
    return Finding("Clay checkpoint", path.exists(), str(path) if path.exists() else f"{path} does not exist")
