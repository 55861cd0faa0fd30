"""A user's own function through SQL, in its own process, because a session registers functions when it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_DIR

MODULE = '''
from python_udfs.sql_function import SqlFunction

def twice(value):
    """The double of a number."""
    return None if value is None else 2 * value

FUNCTIONS = [SqlFunction("twice", "scalar", "value double", "double", twice)]
'''
QUERY = """
from python_udfs.session import get_spark
rows = get_spark().sql("select twice(value) as doubled from values (1.5d), (null) as numbers (value)").collect()
print([row.doubled for row in rows])
"""


@pytest.mark.java
def test_sql_calls_a_function_of_a_users_module(tmp_path: Path) -> None:
    (tmp_path / "my_functions.py").write_text(MODULE)
    environment = {
        "CHIPLAKE_HOME": str(tmp_path / "lake"),
        "CHIPLAKE_SPARK_MASTER": "local[1]",
        "CHIPLAKE_FUNCTIONS": "my_functions:FUNCTIONS",
        "PYTHONPATH": os.pathsep.join([str(PROJECT_DIR), str(tmp_path)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", QUERY], env=os.environ | environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[3.0, None]"
