"""STAC items into the lake: from a STAC API, a static catalogue or local files to `raw.stac_items`.

The public API is `ingest`, with what it takes and returns. An example:

    from ingestion import Filters, IngestRequest, ingest
    from lakehouse.settings import get_settings

    summary = ingest(IngestRequest(items=Path("items.json"), filters=Filters(max_cloud=50)), get_settings())

`model` defines the terms and `run` the order of one ingest. `sources` reads items, `item` turns each into a row or a
reject, and `store` writes rows, rejects and the progress of searches.
"""

from typing import TYPE_CHECKING

from ingestion.model import Filters, IngestRequest, IngestSummary, Reason

if TYPE_CHECKING:
    from ingestion.run import ingest

__all__ = ["Filters", "IngestRequest", "IngestSummary", "Reason", "ingest"]


def __getattr__(name: str) -> object:
    """Import `ingest` on first use: it needs PyIceberg, which takes seconds to import."""
    if name != "ingest":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ingestion.run import ingest

    return ingest
