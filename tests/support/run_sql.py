"""Run queries through dbt in one process, on the lake of the environment.

Standard input has a JSON list of queries. The last line printed is a JSON list: for each query its error, or null.
"""

from __future__ import annotations

import json
import sys

from dbt.cli.main import dbtRunner

from lakehouse.settings import PROJECT_DIR


def error_of(query: str) -> str | None:
    """Run one query as `dbt show` does; return its error, or None."""
    places = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    done = dbtRunner().invoke(["--quiet", "show", "--limit", "-1", "--output", "json", "--inline", query, *places])
    if done.success:
        return None
    return str(done.exception or [result.message for result in getattr(done.result, "results", [])])


if __name__ == "__main__":
    errors = [error_of(query) for query in json.load(sys.stdin)]
    print("\n" + json.dumps(errors))
