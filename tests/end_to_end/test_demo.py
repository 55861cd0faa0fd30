"""A new user's first steps: the demo, then plain dbt on its lake. Every command is its own process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from support.demo_lake import Shell

BIN = Path(sys.executable).parent
EVENTS = {
    "fct_chip_patches", "int_baseline_inputs", "int_patch_baselines", "int_anomaly_inputs", "fct_chip_anomalies",
    "int_event_inputs", "int_cell_events", "fct_change_events",
}  # fmt: skip
MODELS = {
    "stg_stac__items", "int_item_headers", "int_scenes", "int_datatakes", "int_scene_cells", "dim_grid_cells",
    "int_chip_inputs", "fct_chips", "int_fill_inputs", "fct_filled_chips", "fct_chip_statistics",
    "int_composite_inputs", "fct_composites",
    "int_embedding_inputs", "fct_chip_embeddings", "int_distance_inputs", "int_chip_distances", "fct_chip_changes",
    "stg_ops__stages", "fct_pipeline_runs", "fct_lake_quality", *EVENTS,
}  # fmt: skip
EPHEMERAL = {
    "stg_stac__boa_offset_overrides", "stg_clay__embeddings", "int_item_radiometry", "int_item_rasters",
    "int_scene_parts", "int_event_parts",
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

    assert "ERROR=0" in output
    assert "WARN=0" in output
    assert shell.snapshot_ids() == before
    assert sorted(shell.home.glob("transform/**/*")) == exported


def test_a_second_embedding_run_writes_only_that_it_ran(shell: Shell) -> None:
    before = shell.snapshot_ids()
    exported = sorted(shell.home.glob("transform/**/*"))

    shell("chiplake", "run", "embedding_generation")

    after = shell.snapshot_ids()
    assert {table for table in before if after[table] != before[table]} == {"ops.stages"}
    assert sorted(shell.home.glob("transform/**/*")) == exported


def test_the_night_is_in_the_record_of_runs_with_the_numbers_of_the_tables(shell: Shell) -> None:
    (run,) = (row for row in shell.rows("fct_pipeline_runs") if row["stages"] == 4)
    chips, filled, changes = (shell.rows(name) for name in ("fct_chips", "fct_filled_chips", "fct_chip_changes"))
    assert (run["state"], run["error"], run["tests_failed"]) == ("done", None, 0)
    assert run["tests_passed"] > 50
    assert run["seconds"] == int((run["ended_at"] - run["started_at"]).total_seconds())
    assert run["chips_cut"] == run["chips_written"] == len(chips)
    assert run["chips_complete"] == sum(row["is_complete"] for row in filled)
    assert run["chips_embedded"] == run["embeddings_written"] == len(shell.rows("fct_chip_embeddings"))
    assert sum(json.loads(run["not_embedded_reasons"]).values()) == run["chips_not_embedded"]
    assert run["changes"] == sum(row["is_change"] for row in changes)


def test_the_quality_of_each_day_is_that_of_its_chips(shell: Shell) -> None:
    chips, filled, embeddings, changes = (
        pd.DataFrame(shell.rows(name)).assign(day=lambda rows: rows["acquired_at"].dt.date)
        for name in ("fct_chips", "fct_filled_chips", "fct_chip_embeddings", "fct_chip_changes")
    )
    quality = pd.DataFrame(shell.rows("fct_lake_quality")).set_index("acquired_on").sort_index()
    assert list(quality.index) == sorted(set(chips["day"]))
    for day, row in quality.iterrows():
        of_day = filled[filled["day"] == day]
        assert row["chips"] == (chips["day"] == day).sum()
        assert row["chips_unreadable"] == 0
        assert row["complete_fraction"] == pytest.approx(of_day["complete_fraction"].mean(), abs=1e-9)
        assert row["chips_complete"] == of_day["is_complete"].sum()
        ages = of_day["mean_age_days"].mean()  # of the chips with a filled pixel
        assert (row["mean_age_days"] == pytest.approx(ages, abs=1e-9)) or (
            pd.isna(row["mean_age_days"]) and pd.isna(ages)
        )
        assert row["embedded_fraction"] == pytest.approx((embeddings["day"] == day).sum() / len(of_day))
        assert row["changes"] == changes.loc[changes["day"] == day, "is_change"].sum()


def test_the_status_shows_the_stages_of_the_night(shell: Shell) -> None:
    stages = json.loads(shell("chiplake", "status", "--json"))["stages"]
    assert [(one["stage"], one["state"]) for one in stages[:4]] == [
        ("chip_extraction", "done"),
        ("temporal_merge", "done"),
        ("embedding_generation", "done"),
        ("change_detection", "done"),
    ]
    assert len({one["run_id"] for one in stages[:4]}) == 1


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
        "stages",
    }

    ancestors = _ancestors(manifest["parent_map"], "model.chiplake.fct_chip_changes")
    assert {name.rsplit(".", 1)[-1] for name in ancestors} == (MODELS | EPHEMERAL) - EVENTS - {
        "int_event_parts",
        "fct_chip_changes",
        "fct_chip_statistics",
        "fct_composites",
        "int_composite_inputs",
        "stg_ops__stages",
        "fct_pipeline_runs",
        "fct_lake_quality",
    } | {
        "stac_items",
        "boa_offset_overrides",
        "clay_embeddings",
    }
    ancestors = _ancestors(manifest["parent_map"], "model.chiplake.fct_change_events")
    before = (EVENTS - {"fct_change_events"}) | {"int_event_parts", "fct_filled_chips"}
    assert {name.rsplit(".", 1)[-1] for name in ancestors} > before


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


def test_the_estimate_of_a_lake_with_the_same_items_has_the_chips_of_the_demo(shell: Shell, tmp_path: Path) -> None:
    lake = {"CHIPLAKE_HOME": str(tmp_path / "lake"), "JAVA_HOME": "/nonexistent", "SPARK_HOME": "/nonexistent"}
    shell("chiplake", "ingest", "--items", str(shell.home / "archive" / "items.json"), **lake)
    stages = json.loads(shell("chiplake", "run", "nightly", "--dry-run", "--json", **lake))["stages"]
    chips, pairs = len(shell.rows("fct_chips")), len(shell.rows("fct_chip_changes"))
    assert [(one["rows"], one["number"], one["scenes"]) for one in stages[:2]] == [
        ("chips to cut", chips, len(shell.rows("int_scenes"))),
        ("chips to fill", chips, None),
    ]
    assert stages[2]["number"] >= len(shell.rows("fct_chip_embeddings"))
    assert stages[3]["number"] == chips - len(shell.rows("dim_grid_cells")) >= pairs


def test_the_estimate_of_the_complete_lake_is_that_nothing_is_to_be_computed(shell: Shell) -> None:
    done = json.loads(shell("chiplake", "run", "nightly", "--dry-run", "--json", CHIPLAKE_COMPARE_ALWAYS="true"))
    assert [(one["number"], one["certainty"]) for one in done["stages"]] == [(0, "exactly")] * 4


@pytest.mark.parametrize("setting", [{"CHIPLAKE_VALID_SCL_CLASSES": "4,5"}, {"CHIPLAKE_FILL_ADJUST": "none"}])
def test_the_estimate_of_a_recomputation_reads_the_rules_of_the_rows(shell: Shell, setting: dict[str, str]) -> None:
    arguments = ("run", "nightly", "--dry-run", "--recompute", "--json")
    same, other = (json.loads(shell("chiplake", *arguments, **given))["stages"] for given in ({}, setting))
    chips = len(shell.rows("fct_chips"))
    assert [one["number"] for one in same] == [0, 0, 0, 0]
    assert [one["number"] for one in other[:2]] == [chips if "CHIPLAKE_VALID_SCL_CLASSES" in setting else 0, chips]
