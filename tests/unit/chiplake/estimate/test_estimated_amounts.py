"""Time, bytes and cost of an estimate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyiceberg.catalog import Catalog
from support.estimate_lakes import DAY_5, FILL_RULE, add, add_stages, add_three_scenes, chip, only

from chiplake.estimate import estimate_job
from chiplake.estimate.speed import DOCUMENTED_BYTES, DOCUMENTED_ENCODERS, DOCUMENTED_RATES, cores_of, cost_of
from chiplake.jobs import Window
from lakehouse.settings import PROJECT_DIR, Settings


def test_the_time_is_that_of_the_last_runs_of_the_lake(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    documented = only(estimate_job(settings.replace(spark_master="local[2]"), "chip_extraction", Window()))
    assert documented.seconds == pytest.approx(16 / (37 * 2))
    assert documented.speed == "37 chips a second and core (docs/scale.md), 2 cores, without the start of Spark"
    add_stages(
        catalog,
        ("1", "chip_extraction", "done", 100, {"chips_written": 10}),
        ("2", "chip_extraction", "incomplete", 20, {"chips_written": 30}),
        ("3", "chip_extraction", "failed", 500, {"chips_written": 1}),
        ("4", "chip_extraction", "done", 40, {"chips_written": 0}),
        ("5", "temporal_merge", "done", 900, {"filled_chips_written": 1}),
    )
    measured = only(estimate_job(settings, "chip_extraction", Window()))
    assert measured.seconds == pytest.approx(16 * 120 / 40)
    assert measured.speed == "as fast as the last 2 runs of this lake (40 rows in 120 s)"


def test_the_dag_embeds_in_three_stages(settings: Settings, catalog: Catalog) -> None:
    add(catalog, "fct_filled_chips", chip("32633_200_1998", DAY_5, input_hash="1", complete_fraction=1.0))
    numbers: dict[str, int] = {}
    add_stages(
        catalog,
        ("night", "export", "done", 30, numbers),
        ("night", "batch_transform", "done", 300, numbers),
        ("night", "load", "done", 30, {"embeddings_written": 90}),
    )
    assert only(estimate_job(settings, "embedding_generation", Window())).seconds == pytest.approx(4)


def test_bytes_are_the_mean_of_the_table(settings: Settings, catalog: Catalog) -> None:
    add_three_scenes(catalog)
    documented = only(estimate_job(settings, "chip_extraction", Window()))
    assert (documented.bytes_read, documented.bytes_written) == (16 * 447_000, 16 * 447_000)
    add(catalog, "fct_chips", *(chip(f"32633_{column}_1", DAY_5, error="no such file") for column in range(4)))
    (file,) = (settings.lake.home / "warehouse" / "chiplake" / "fct_chips" / "data").glob("*.parquet")
    measured = only(estimate_job(settings, "chip_extraction", Window()))
    assert measured.bytes_written == pytest.approx(16 * file.stat().st_size / 4, abs=1)


def test_filling_also_reads_the_two_earlier_chips_of_a_cell(settings: Settings, catalog: Catalog) -> None:
    earlier = [chip("32633_200_1998", DAY_5 - timedelta(days=number)) for number in range(1, 5)]
    for number, row in enumerate(earlier):
        row["chip_id"] = f"earlier {number}"
    new = [chip("32633_200_1998", DAY_5), chip("32633_201_1998", DAY_5)]
    add(catalog, "fct_chips", *earlier, *new)
    add(catalog, "int_fill_inputs", *(row | {"input_hash": "1", "rule_version": FILL_RULE} for row in earlier))
    add(catalog, "fct_filled_chips", *(row | {"input_hash": "1", "complete_fraction": 1.0} for row in earlier))
    (file,) = (settings.lake.home / "warehouse" / "chiplake" / "fct_chips" / "data").glob("*.parquet")
    stage = only(estimate_job(settings, "temporal_merge", Window()))
    assert stage.number == 2
    assert stage.bytes_read == pytest.approx((2 + 2) * file.stat().st_size / 6, abs=1)


def test_the_cost_is_that_of_the_hours_on_aws() -> None:
    priced = Settings().replace(instance_price_per_hour=0.92)
    assert cost_of(priced, 7200) is None
    assert cost_of(priced.replace(catalog="glue"), 7200) == pytest.approx(1.84)
    assert cost_of(priced.replace(catalog="glue"), None) is None
    assert cost_of(Settings().replace(catalog="glue"), 7200) is None


@pytest.mark.parametrize(("master", "cores"), [("local[3]", 3), ("local[12, 4]", 12)])
def test_a_local_master_says_its_cores(master: str, cores: int) -> None:
    assert cores_of(master) == cores


def test_the_documented_numbers_are_in_the_documents() -> None:
    scale, benchmarks = ((PROJECT_DIR / "docs" / f"{name}.md").read_text() for name in ("scale", "benchmarks"))
    for rate in DOCUMENTED_RATES.values():
        assert f"| {rate} chips/s a core" in scale
    for table, size in DOCUMENTED_BYTES.items():
        assert f"{size // 1000} kB in `{table}`" in scale
    for rate, name in zip(DOCUMENTED_ENCODERS.values(), ("tiny", "small", "base", "large"), strict=True):
        (line,) = (line for line in benchmarks.splitlines() if line.startswith(f"| {name}, float32, 2 cores |"))
        assert f" {rate} (" in line
