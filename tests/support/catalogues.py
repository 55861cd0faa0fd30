"""Documents of static catalogues, and how tests read a catalogue on a server."""

from __future__ import annotations

from typing import Any

from ingestion.model import Received
from ingestion.sources.catalogue import read_catalog
from ingestion.sources.http_session import HttpPolicy

CATALOGUE_RETRIES = HttpPolicy(backoff_s=0.01, jitter_s=0.01, retries=3, connect_retries=2)


def catalog(*links: dict[str, Any], **members: Any) -> dict[str, Any]:
    start = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "of a test"}
    return start | {"links": list(links)} | members


def link(rel: str, href: str, **members: Any) -> dict[str, Any]:
    return {"rel": rel, "href": href} | members


def read_remote(url: str, concurrency: int = 4) -> list[Received]:
    return list(read_catalog(url, concurrency, CATALOGUE_RETRIES))
