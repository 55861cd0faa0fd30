"""A new user's first steps: the demo, then plain dbt on its lake. Every command is its own process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.demo_lake import Shell

BIN = Path(sys.executable).parent
MODELS = {
    "stg_stac__items", "int_item_headers", "int_scenes", "int_datatakes", "int_scene_cells", "dim_grid_cells",
    "int_chip_inputs", "fct_chips", "int_fill_inputs", "fct_filled_chips", "fct_chip_statistics",
    "int_composite_inputs", "fct_composites",
    "int_embedding_inputs", "fct_chip_embeddings", "int_distance_inputs", "int_chip_distances", "fct_chip_changes",
}  # fmt: skip
EPHEMERAL = {
    "stg_stac__boa_offset_overrides", "stg_clay__embeddings", "int_item_radiometry", "int_item_rasters",
    "int_scene_parts",
}  # fmt: skip


def test_the_demo_finds_the_planted_change_and_draws_it(shell: Shell) -> None:
    output = shell.demo_output
    assert "found in 32633_231_1981, 32633_232_1981" in output
    assert "2 (0 outside the planted change)" in output
    assert "untrained weights" in output
    with Image.open(shell.home / "demo.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1200
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 1000


def test_a_second_build_passes_every_test_and_writes_no_snapshot(shell: Shell) -> None:
    before = shell.snapshot_ids()
    exported = sorted(shell.home.glob("transform/**/*"))
    assert set(before) >= {f"chiplake.{model}" for model in MODELS}

    output = shell.dbt("build", CHIPLAKE_COMPARE_ALWAYS="true")
    shell("chiplake", "run", "embedding_generation")

    assert "ERROR=0" in output
    assert "WARN=0" in output
    assert shell.snapshot_ids() == before
    assert sorted(shell.home.glob("transform/**/*")) == exported


def test_sql_calls_sedona_and_python_functions(shell: Shell) -> None:
    sql = """
        select
            count(*) as chips,
            min(chip_mean(red)) as least_mean,
            max(abs(st_x(st_centroid(st_geomfromwkb(geometry))) - longitude)) as farthest
        from {{ ref('fct_filled_chips') }}
        inner join {{ ref('dim_grid_cells') }} using (cell_id)
    """
    output = shell.dbt("show", "--inline", sql, "--output", "json", "--log-format", "text", "--quiet")
    (row,) = json.loads(output[output.index("{") :])["show"]
    assert row["chips"] > 100
    assert 1 <= row["least_mean"] <= 10_000
    assert 0 <= row["farthest"] < 1e-3


def test_docs_describe_every_model_and_column_and_the_whole_lineage(shell: Shell) -> None:
    shell.dbt("docs", "generate")
    catalog = json.loads((shell.target / "catalog.json").read_text())
    manifest = json.loads((shell.target / "manifest.json").read_text())

    nodes = {name.rsplit(".", 1)[-1]: node for name, node in catalog["nodes"].items()}
    assert set(nodes) == MODELS
    for name, node in nodes.items():
        assert node["metadata"]["comment"], name
        for column in node["columns"].values():
            assert column["type"], (name, column)
            assert column["comment"], (name, column)
    types = {
        (name, column["name"]): (nodes[name]["columns"][column["name"]]["type"], column["data_type"])
        for name in nodes
        for column in manifest["nodes"][f"model.chiplake.{name}"]["columns"].values()
    }
    # Iceberg has no tinyint and stores an int.
    assert {column: pair for column, pair in types.items() if pair[0] != pair[1].replace("tinyint", "int")} == {}
    assert types["fct_filled_chips", "sources"][0] == "array<struct<chip_id:string,acquired_at:timestamp>>"
    assert {name.rsplit(".", 1)[-1] for name in catalog["sources"]} == {
        "stac_items",
        "stac_rejects",
        "stac_checkpoints",
        "boa_offset_overrides",
        "clay_embeddings",
        "lake_settings",
    }

    ancestors = _ancestors(manifest["parent_map"], "model.chiplake.fct_chip_changes")
    assert {name.rsplit(".", 1)[-1] for name in ancestors} == (MODELS | EPHEMERAL) - {
        "fct_chip_changes",
        "fct_chip_statistics",
        "fct_composites",
        "int_composite_inputs",
    } | {
        "stac_items",
        "boa_offset_overrides",
        "clay_embeddings",
    }


def _ancestors(parents: dict[str, Any], node: str) -> set[str]:
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for parent in parents.get(waiting.pop(), []):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def test_dbt_measures_the_freshness_of_the_source(shell: Shell) -> None:
    assert "stac_items" in shell.dbt("source", "freshness")


@pytest.mark.parametrize("command", ["parse", "list"])
def test_commands_that_send_no_sql_start_no_java(shell: Shell, command: str) -> None:
    shell.dbt(command, JAVA_HOME="/nonexistent", SPARK_HOME="/nonexistent")
