"""What the tests of Spark clusters share: small scenes, and how their results are read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from chiplake.synthetic import ArchiveSpec
from lakehouse.bands import BAND_NAMES
from lakehouse.catalog import MODEL_NAMESPACE, open_catalog
from lakehouse.settings import Settings

QUICK_JAVA: Final = {
    "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"
}  # code that runs for seconds is not worth optimising

# Three dates of one tile of about 2 x 2 cells.
SCENES: Final = replace(ArchiveSpec.tiny(), windows=ArchiveSpec.tiny().windows[:1], bands=BAND_NAMES, flooded_cell=None)
# Spark properties with which an event log is one text file.
PLAIN_EVENT_LOG: Final = {"spark.eventLog.compress": "false", "spark.eventLog.rolling.enabled": "false"}

_TIMES_OF_WRITING: Final = {"embedded_at"}


def assert_same_rows(here: Path, there: Path, table: str) -> None:
    """Check that two lakes have the same rows of a table, without their times of writing, and at least one."""
    expected, found = rows_of(here, table), rows_of(there, table)
    assert expected, table
    assert found.keys() == expected.keys(), table
    for key, row in expected.items():
        differing = [name for name, value in row.items() if found[key][name] != value]
        assert not differing, (table, key)


def rows_of(home: Path, table: str) -> dict[str, dict[str, Any]]:
    """Return every row by chip_id, without the time of writing; all rows have one model, so chip_id is the key."""
    found = (
        open_catalog(Settings().replace(home=home))
        .load_table(f"{MODEL_NAMESPACE}.{table}")
        .scan()
        .to_arrow()
        .to_pylist()
    )
    rows = {
        row["chip_id"]: {name: value for name, value in row.items() if name not in _TIMES_OF_WRITING} for row in found
    }
    assert len(rows) == len(found)
    return rows


def tasks_by(field: str, log: Path) -> Counter[str]:
    """Count the tasks that ended, by a field of Spark's event log such as `Executor ID` or `Host`."""
    ended = [json.loads(line) for line in log.read_text().splitlines() if '"SparkListenerTaskEnd"' in line]
    return Counter(event["Task Info"][field] for event in ended)
