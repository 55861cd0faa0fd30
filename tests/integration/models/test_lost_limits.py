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
        states = try_dbt("run", "--select", "stg_stac__items+1", "fct_chips", "int_embedding_inputs")
        refused = {name: message for name, (status, message) in states.items() if status == "error"}
        assert set(refused) == {"fct_chips", "int_embedding_inputs"}
        assert "none is set here, so whole tiles would be cut: set CHIPLAKE_BBOX=16.24," in refused["fct_chips"]
        assert "set CHIPLAKE_EMBED_BBOX=16.24,45.76,16.31,45.79, or" in refused["int_embedding_inputs"]
        assert states["stg_stac__items"][0] == "success"
    finally:
        empty_lake(spark, settings)
