"""Search among the embeddings of one data file, against numpy in float64 over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from python_udfs.pixel_store.reader import MissingFileError
from python_udfs.search.functions import nearest_embeddings
from python_udfs.search.nearest import candidates, cosine_distances

Rows = list[list[float | None] | None]
DIMENSION = 40


def write(path: Path, embeddings: Rows, name: str = "embedding", group: int = 100, kind: Any = None) -> str:
    column = pa.array(embeddings, pa.list_(kind or pa.float32()))
    pq.write_table(
        pa.table({"chip_id": list(map(str, range(len(embeddings)))), name: column}), path, row_group_size=group
    )
    return str(path)


def brute_force(
    embeddings: Rows, positions: list[int], direction: NDArray[np.float64]
) -> list[tuple[int, float | None]]:
    """Return every row by distance, computed in long doubles; rows without a distance come last."""
    found = []
    for position in positions:
        numbers, distance = embeddings[position], None
        if numbers is not None and len(numbers) == direction.size and None not in numbers:
            exact = np.array(numbers, np.float32).astype(np.longdouble)
            length = np.sqrt((exact * exact).sum())
            if 0 < length < np.inf:
                distance = float(1 - (exact * direction).sum() / length)
        found.append((position, distance))
    return sorted(found, key=lambda row: (row[1] is None, row[1] or 0, row[0]))


def unit(numbers: NDArray[Any]) -> NDArray[np.float64]:
    exact: NDArray[np.float64] = numbers.astype(np.float64)
    return exact / np.linalg.norm(exact)


def search(
    file: str, positions: list[int], query: NDArray[Any], k: int, column: str = "embedding"
) -> list[dict[str, Any]]:
    """Search a file for the nearest to a query, which has a file of its own."""
    queries = write(Path(file).parent / f"{hash(query.tobytes())}.parquet", [query.tolist()])
    found = nearest_embeddings(file, positions, queries, 0, column, k)
    assert found is not None
    return found


def ordered(rows: list[dict[str, Any]]) -> list[tuple[int, float | None]]:
    found = [(row["position"], row["cosine_distance"]) for row in rows]
    return sorted(found, key=lambda row: (row[1] is None, row[1] or 0, row[0]))


@pytest.fixture(scope="module")
def odd() -> Rows:
    """1,000 embeddings of very different lengths, among them some that have no distance."""
    chance = np.random.default_rng(5)
    scales = 10.0 ** chance.uniform(-30, 30, (1_000, 1))
    rows: Rows = (chance.standard_normal((1_000, DIMENSION)) * scales).astype(np.float32).tolist()
    rows[3], rows[4], rows[5], rows[150] = None, [0.0] * DIMENSION, [1.0] * (DIMENSION - 1), []
    for position, number in ((7, None), (8, float("nan")), (201, float("inf"))):
        rows[position] = [number, *[1.0] * (DIMENSION - 1)]
    rows[300:500] = [None] * 200  # whole row groups
    return rows


@pytest.mark.parametrize("k", [1, 7, 250, 5_000])
def test_the_nearest_rows_are_those_of_brute_force(odd: Rows, tmp_path: Path, k: int) -> None:
    chance = np.random.default_rng(k)
    file = write(tmp_path / "odd.parquet", odd)
    for positions in (list(range(1_000)), sorted(chance.choice(1_000, 400, replace=False).tolist()), [4, 999], [3]):
        query = chance.standard_normal(DIMENSION).astype(np.float32)
        found = ordered(search(file, chance.permutation(positions).tolist(), query, k))
        expected = brute_force(odd, positions, unit(query))
        assert [position for position, _ in found[:k]] == [position for position, _ in expected[:k]]
        for (_, distance), (_, exact) in zip(found, expected, strict=False):
            assert distance == (None if exact is None else pytest.approx(exact, abs=1e-13))


def test_rows_as_far_as_the_kth_are_all_returned(tmp_path: Path) -> None:
    """SQL orders them by chip_id. Equal embeddings have equal distances to the last bit, wherever they stand."""
    chance = np.random.default_rng(2)
    same, far = chance.standard_normal((2, DIMENSION)).astype(np.float32)
    rows: Rows = [(far if position % 3 else same).tolist() for position in range(700)]
    found = search(write(tmp_path / "f", rows), list(range(700)), same + np.float32(0.1) * far, 5)
    assert sorted(row["position"] for row in found) == list(range(0, 700, 3))
    assert len({row["cosine_distance"] for row in found}) == 1


def test_distances_that_float32_cannot_tell_apart_are_told_apart(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    query = chance.standard_normal(DIMENSION).astype(np.float32)
    near = np.repeat(query[None], 600, axis=0)
    near[np.arange(600), chance.integers(0, DIMENSION, 600)] *= 1 + np.float32(1e-4) * chance.permutation(600)
    rows: Rows = near.tolist()
    expected = brute_force(rows, list(range(600)), unit(query))
    assert expected[20][1] == pytest.approx(expected[0][1], abs=1e-7)
    found = ordered(search(write(tmp_path / "f", rows), list(range(600)), query, 20))
    assert {position for position, _ in found[:20]} == {position for position, _ in expected[:20]}


def test_no_row_is_left_out_by_rounding() -> None:
    """Numbers of one sign and of many sizes, so that errors of float32 add up."""
    chance = np.random.default_rng(6)
    for dimension in (1, 48, 1_024, 5_000):
        direction = unit(10.0 ** chance.uniform(-3, 3, dimension))
        numbers = (direction * chance.uniform(0.9, 1.1, (200, dimension))).astype(np.float32)
        distances = cosine_distances(numbers.astype(np.float64), direction)
        for k in (1, 10):
            kth = np.sort(distances)[k - 1]
            kept = candidates(numbers, direction, k, np.inf)
            assert kept[distances <= kth].all()
            assert candidates(numbers, direction, 200, kth)[distances <= kth].all()


def test_int8_is_searched_as_iceberg_stores_it(tmp_path: Path) -> None:
    """Spark's tinyint is int in Iceberg."""
    chance = np.random.default_rng(7)
    rows: Rows = chance.integers(-127, 128, (500, DIMENSION)).tolist()
    file = write(tmp_path / "f", rows, "embedding_int8", kind=pa.int32())
    query, positions = chance.standard_normal(DIMENSION).astype(np.float32), list(range(500))
    found = ordered(search(file, positions, query, 10, "embedding_int8"))
    expected = brute_force(rows, positions, unit(query))[:10]
    assert [position for position, _ in found] == [position for position, _ in expected]
    assert [distance for _, distance in found] == pytest.approx([exact for _, exact in expected], abs=1e-13)


def test_rows_without_a_distance_are_null(odd: Rows, tmp_path: Path) -> None:
    file = write(tmp_path / "f", odd, group=301)
    absent = [{"position": 2, "cosine_distance": None}, {"position": 9, "cosine_distance": None}]
    for query in (3, 4, 7, 8, 150, 201, 300):
        assert nearest_embeddings(file, [9, 2], file, query, "embedding", 1) == absent, f"{odd[query]} has no direction"
    assert nearest_embeddings(file, [9, 2], file, 1, "embedding_int8", 1) == absent, "written before the column"
    assert nearest_embeddings(None, [1], file, 1, "embedding", 1) is None


def test_a_file_that_is_gone_says_to_run_again(odd: Rows, tmp_path: Path) -> None:
    file, gone = write(tmp_path / "f", odd), str(tmp_path / "gone.parquet")
    for files in ((file, gone), (gone, file)):
        with pytest.raises(MissingFileError, match=r"gone\.parquet: this file is gone, .*; run this again"):
            nearest_embeddings(files[0], [0], files[1], 0, "embedding", 1)
    with pytest.raises(ValueError, match="position 1000 of a file of 1000 rows"):
        nearest_embeddings(file, [1_000, 3], file, 0, "embedding", 1)
