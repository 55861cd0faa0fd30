"""The exception that rejects an item."""

from __future__ import annotations

from ingestion.model import Reason


class RejectedError(Exception):
    """Ends the normalisation of one item. `normalise` turns it into a `Reject`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
