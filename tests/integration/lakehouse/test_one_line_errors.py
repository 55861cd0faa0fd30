"""What a user reads of a wrong query: one clear line, in dbt on this machine, in dbt over Thrift, and in a client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyhive import hive
from pyspark.sql import SparkSession
from support.lakes import failure_of_dbt

from lakehouse.settings import PROJECT_DIR

pytestmark = pytest.mark.java

BIN = Path(sys.executable).parent
WRONG_INDEX = "select chip_index('ndvo', named_struct('red', X'00', 'nir', X'00')) as value from range(1)"
WRONG_WKT = "select st_area(st_geomfromwkt(concat('POLYGON((1 2, ', id))) as area from range(1)"
WRONG_COLUMN = "select no_such_column from range(1)"
INDEX_LINE = "unknown index 'ndvo'; choose from ndvi, ndre, "
WKT_LINE = "ST_GeomFromWKT: Expected number but found End-of-Stream (line 1); its arguments were POLYGON((1 2, 0, 0"
GEOMETRY_LINE = "the Hive protocol has no geometries: select st_astext(…) or st_asewkb(…) of a geometry"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """A Thrift server of its own lake, from the line that says that it is ready; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [str(BIN / "chiplake"), "serve", "--port", str(port)]
    environment = os.environ | {"CHIPLAKE_HOME": str(tmp_path), "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g"}
    with subprocess.Popen(command, cwd=PROJECT_DIR, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = f"ready: Spark Thrift server on 127.0.0.1:{port}; stop it with Ctrl-C\n"
            assert process.stdout.readline() == ready
            yield port
        finally:
            process.terminate()


def one_line(message: str, start: str) -> bool:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].startswith(start) and not any(word in message for word in ("Traceback", "\tat ", "more\n"))


def test_dbt_on_this_machine_reports_one_line(spark: SparkSession) -> None:
    assert one_line(failure_of_dbt("show", "--inline", WRONG_INDEX), INDEX_LINE)
    assert one_line(failure_of_dbt("show", "--inline", WRONG_WKT), WKT_LINE)
    assert one_line(failure_of_dbt("show", "--inline", WRONG_COLUMN), "[UNRESOLVED_COLUMN.")


def test_a_server_that_is_ready_answers_and_reports_one_line(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = hive.connect("127.0.0.1", server).cursor()
    cursor.execute("select chip_fraction(chip_mask(null, array(1)))")
    assert cursor.fetchall() == [(None,)]
    with pytest.raises(hive.OperationalError) as refused:
        cursor.execute(WRONG_INDEX)
    first = refused.value.args[0].status.errorMessage.splitlines()[0]
    assert INDEX_LINE in first
    assert "Traceback" not in first

    monkeypatch.setenv("CHIPLAKE_THRIFT_PORT", str(server))
    thrift = ("show", "--target", "thrift", "--inline")
    assert one_line(failure_of_dbt(*thrift, WRONG_INDEX), INDEX_LINE)
    assert one_line(failure_of_dbt(*thrift, WRONG_WKT), WKT_LINE)
    assert one_line(failure_of_dbt(*thrift, "select st_point(1, 2) as place"), GEOMETRY_LINE)
