"""Maintenance of the lake's tables: merge small files, expire old snapshots, remove unreferenced files.

Rows never change. A reader keeps its snapshot, whose files stay until the snapshot expires, days later.
"""

from __future__ import annotations

from chiplake.maintain.model import Outcome, Retention, Step, TableReport, TableState
from chiplake.maintain.run import chosen_tables, maintain

__all__ = ["Outcome", "Retention", "Step", "TableReport", "TableState", "chosen_tables", "maintain"]
