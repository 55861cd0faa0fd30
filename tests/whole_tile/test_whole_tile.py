"""Every pixel of a whole tile of real scenes on three dates, for different numbers of cores and partitions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from support.scene_oracle import (
    BANDS,
    Expected,
    Frame,
    assert_band,
    assert_cut,
    assert_filled,
    assert_filled_band,
    expected_dates,
    read_raster,
)

from lakehouse.catalog import MODEL_NAMESPACE, open_catalog
from lakehouse.settings import PROJECT_DIR, Settings

pytestmark = [pytest.mark.java, pytest.mark.slow]

TILE = 499_980, 4_990_200, 609_780, 5_100_000  # 33TWL: west, south, east, north in EPSG:32633
FRAME = Frame.around(*TILE)
UNAPPLIED_OFFSET = "S2B_33TWL_20230813_0_L2A"  # the scene whose item states that the offset is not yet applied
TABLES = ("fct_chips", "fct_filled_chips")
ROWS_AT_ONCE = 32  # about 15 MB

Row = dict[str, Any]
Digests = dict[str, dict[str, dict[str, str]]]  # by table, chip_id and column


@dataclass(frozen=True)
class Configuration:
    """The cores and partitions among which Spark divides the work."""

    master: str
    shuffle_partitions: int


ONE_CORE = Configuration("local[1]", 8)
OTHERS = (
    pytest.param(Configuration("local[2]", 64), id="two cores, 64 partitions"),
    pytest.param(Configuration("local[2]", 8), id="two cores, 8 partitions", marks=pytest.mark.long),
)


@pytest.fixture(scope="module")
def scenes(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the COGs of all three dates and their items."""
    folder = tmp_path_factory.mktemp("scenes")
    tool = sample_data.parent / "tools" / "build_scenes.py"
    subprocess.run([sys.executable, tool, "--out", folder], check=True, capture_output=True)
    items = json.loads((folder / "items.json").read_text())
    for item in items["features"]:
        item["properties"]["earthsearch:boa_offset_applied"] = item["id"] != UNAPPLIED_OFFSET
    (folder / "items.json").write_text(json.dumps(items))
    return folder


@pytest.fixture(scope="module")
def expected(scenes: Path) -> list[Expected]:
    """Compute the tile by date, oldest first. Bands are read on demand, because all of them do not fit into memory."""

    def read(item_id: str, name: str) -> NDArray[Any]:
        return read_raster(scenes / item_id / f"{name}.tif", FRAME, 20 if name == "SCL" else 10)

    return expected_dates(json.loads((scenes / "items.json").read_text())["features"], read)


def build(scenes: Path, home: Path, configuration: Configuration) -> Settings:
    """Ingest and run the models, each in its own process, because a JVM has only one catalog."""
    env = os.environ | {
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_BANDS": json.dumps(list(BANDS)),
        "CHIPLAKE_FILL_SUSPECTS": "none",  # the whole arrays know of none; tests/integration/models judges real scenes
        "CHIPLAKE_SPARK_MASTER": configuration.master,
        "CHIPLAKE_SHUFFLE_PARTITIONS": str(configuration.shuffle_partitions),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    commands = Path(sys.executable).parent
    for command in (
        [str(commands / "chiplake"), "ingest", "--items", str(scenes / "items.json")],
        [str(commands / "dbt"), "run", "--select", "+fct_filled_chips"],
    ):
        done = subprocess.run(command, cwd=PROJECT_DIR, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return Settings().replace(home=home)


@pytest.fixture(scope="module")
def lake(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Return the lake of a run on one core."""
    home = tmp_path_factory.mktemp("one-core")
    yield build(scenes, home, ONE_CORE)
    shutil.rmtree(home)


def rows_of(settings: Settings, table: str, columns: list[str] | None = None) -> Iterator[Row]:
    """Yield every row of a table, read in small batches."""
    for task in open_catalog(settings).load_table(f"{MODEL_NAMESPACE}.{table}").scan().plan_files():
        assert not task.delete_files  # a first run deletes nothing
        path = task.file.file_path.removeprefix("file:")
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                yield from batch.to_pylist()


def digests_of(settings: Settings) -> Digests:
    """Return a digest of every value."""
    return {
        table: {
            row["chip_id"]: {
                name: hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).hexdigest()
                for name, value in row.items()
            }
            for row in rows_of(settings, table)
        }
        for table in TABLES
    }


@pytest.fixture(scope="module")
def reference(lake: Settings) -> Digests:
    return digests_of(lake)


@pytest.fixture(scope="module")
def date_of(lake: Settings, expected: list[Expected]) -> dict[str, int]:
    """Return the index of the date of each chip."""
    index_of = {one.item_id: index for index, one in enumerate(expected)}
    return {row["chip_id"]: index_of[row["item_ids"][0]] for row in rows_of(lake, "fct_chips", ["chip_id", "item_ids"])}


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_has_one_chip_on_every_date(lake: Settings, expected: list[Expected], table: str) -> None:
    found = [(row["item_ids"][0], row["cell_id"]) for row in rows_of(lake, table, ["item_ids", "cell_id"])]
    assert len(found) == 5808  # 44 x 44 cells, 42 x 42 of them whole
    assert sorted(found) == sorted((one.item_id, cell_id) for one in expected for cell_id in FRAME.cell_ids)


def test_the_tile_has_clouds_a_swath_edge_and_values_below_the_offset(expected: list[Expected]) -> None:
    assert [one.boa_offset for one in expected] == [0, -1000, 0]
    assert expected[0].valid.mean() < 0.4  # 10 August is mostly cloud
    assert expected[1].holds.mean() < 0.9  # 13 August ends inside the tile
    assert (expected[1].band("blue") == 1).any()
    for index, one in enumerate(expected[1:], start=1):
        assert all((one.origin == date).any() for date in range(-1, index + 1))


@pytest.mark.parametrize("name", BANDS)
def test_every_pixel_of_a_band_is_that_of_the_whole_arrays(
    lake: Settings, expected: list[Expected], date_of: dict[str, int], name: str
) -> None:
    layers = [one.band(name) for one in expected]
    for chip in rows_of(lake, "fct_chips", ["chip_id", "cell_id", name]):
        window = FRAME.window(chip["cell_id"])
        assert_band(chip[name], layers[date_of[chip["chip_id"]]][window], chip["chip_id"])
    for chip in rows_of(lake, "fct_filled_chips", ["chip_id", "cell_id", "adjustments", name]):
        window, index = FRAME.window(chip["cell_id"]), date_of[chip["chip_id"]]
        cut = [layer[window] for layer in layers[: index + 1]]
        assert_filled_band(chip, name, cut, expected[index].origin[window])


def test_all_other_columns_are_those_of_the_whole_arrays(
    lake: Settings, expected: list[Expected], date_of: dict[str, int]
) -> None:
    for chip in rows_of(lake, "fct_chips", columns_without_bands(lake, "fct_chips")):
        assert_cut(chip, expected[date_of[chip["chip_id"]]], FRAME)
    for chip in rows_of(lake, "fct_filled_chips", columns_without_bands(lake, "fct_filled_chips")):
        assert_filled(chip, expected, date_of[chip["chip_id"]], date_of, FRAME)


def columns_without_bands(settings: Settings, table: str) -> list[str]:
    schema = open_catalog(settings).load_table(f"{MODEL_NAMESPACE}.{table}").schema()
    return [field.name for field in schema.fields if field.name not in BANDS]


@pytest.mark.parametrize("configuration", OTHERS)
def test_rows_do_not_depend_on_cores_and_partitions(
    scenes: Path, reference: Digests, tmp_path: Path, configuration: Configuration
) -> None:
    home = tmp_path / "home"
    digests = digests_of(build(scenes, home, configuration))
    for table in TABLES:
        assert digests[table].keys() == reference[table].keys()
        differing = {
            chip_id: [name for name, value in row.items() if value != reference[table][chip_id][name]]
            for chip_id, row in digests[table].items()
            if row != reference[table][chip_id]
        }
        assert not differing, table
    shutil.rmtree(home)
