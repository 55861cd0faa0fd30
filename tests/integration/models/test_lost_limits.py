"""Plain dbt refuses the models that a box limits if the lake was made with the box and none is set."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from support.lakes import empty_lake, try_dbt

from lakehouse.catalog import open_catalog
from lakehouse.lake_record import write_record
from lakehouse.settings import Settings

pytestmark = pytest.mark.java

BOX = (16.24, 45.76, 16.31, 45.79)


def test_dbt_does_not_cut_or_embed_without_the_box_of_the_lake(spark: SparkSession, settings: Settings) -> None:
    empty_lake(spark, settings)
    write_record(open_catalog(settings), settings.replace(bbox=BOX, embed_bbox=BOX))
    try:
        cut, embedded = (try_dbt("run", "--select", name)[name] for name in ("fct_chips", "int_embedding_inputs"))
        assert (cut[0], embedded[0]) == ("error", "error")
        assert "none is set here, so whole tiles would be cut: set CHIPLAKE_BBOX=16.24," in cut[1]
        assert "set CHIPLAKE_EMBED_BBOX=16.24,45.76,16.31,45.79, or" in embedded[1]
    finally:
        empty_lake(spark, settings)
