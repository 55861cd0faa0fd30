"""STAC items into the lake: from a STAC API or local files to `raw.stac_items`."""

from ingestion.model import Filters, IngestRequest, IngestSummary, Reason
from ingestion.run import ingest

__all__ = ["Filters", "IngestRequest", "IngestSummary", "Reason", "ingest"]
