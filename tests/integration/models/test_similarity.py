"""Search among embeddings and their int8 form, as SQL, against plain numpy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dbt_common.exceptions import DbtBaseException
from numpy.typing import NDArray
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from support.lakes import compiled, empty_lake

from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import PROJECT_DIR, Settings

# PySpark leaves the socket of each collect() to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

CHIPS = 60
DIMENSION = 24
FIRST, LATER = "clay-v1.5-large:sha256:0123456789abcdef", "clay-seeded-24x1:seed2"
# Ids that nobody should use; any text in an id is data.
ODD_IDS = (
    "it's",
    "back\\slash",
    "\\' or 1 = 1 --",
    "' or '1' = '1",
    "'; drop table chiplake.fct_chip_embeddings; --",
    "${spark.app.name}",
    "{{ 1 + 1 }}",
    "/* a\nb */",
    "Šumava 🌍",
    'a "name"',
)
DELETED = "a deleted row"
NEXT = "-- next statement"
EMBEDDINGS = f"{MODEL_NAMESPACE}.fct_chip_embeddings"
EMBEDDED_AT = datetime(2023, 9, 1, tzinfo=UTC)

Floats = NDArray[np.float64]
Table = dict[tuple[str, str], Floats]  # embeddings by chip and model


def chip_ids() -> list[str]:
    return [*ODD_IDS, *(f"32633_{number}_0_S2A_20230805T094549" for number in range(CHIPS - len(ODD_IDS)))]


@pytest.fixture(scope="module")
def table(spark: SparkSession, settings: Settings) -> Iterator[Table]:
    """Embed all chips by one model, and every second chip by a later model; the last chip's embedding is all zeros.

    Only the first model has embeddings in int8. A further row is deleted by a delete file.
    """
    empty_lake(spark, settings)
    random = np.random.default_rng(3)
    rows = []
    found: Table = {}
    for number, chip_id in enumerate([*chip_ids(), DELETED]):
        for model_id in (FIRST, LATER)[: 1 + number % 2]:
            embedding = random.standard_normal(DIMENSION).astype(np.float32) * np.float32(
                10.0 ** random.integers(-3, 4)
            )
            if number == CHIPS - 1:
                embedding[:] = 0
            if chip_id != DELETED:
                found[chip_id, model_id] = embedding.astype(np.float64)
            whole, scales = as_int8(embedding[None].astype(np.float64))
            rows.append(
                {
                    "chip_id": chip_id,
                    "model_id": model_id,
                    "cell_id": f"cell of {number}",
                    "geohash": "u24x",
                    "acquired_at": EMBEDDED_AT - timedelta(days=number),
                    "embedding": embedding.tolist(),
                    "embedded_at": EMBEDDED_AT + timedelta(days=model_id == LATER),
                    "embedding_int8": whole[0].astype(int).tolist() if model_id == FIRST else None,
                    "embedding_scale": float(scales[0]) if model_id == FIRST else None,
                }
            )
    spark.createDataFrame(
        rows,
        "chip_id string, model_id string, cell_id string, geohash string, acquired_at timestamp, "
        "embedding array<float>, embedded_at timestamp, embedding_int8 array<tinyint>, embedding_scale float",
    ).writeTo(EMBEDDINGS).tableProperty("write.delete.mode", "merge-on-read").create()
    spark.sql(f"delete from {EMBEDDINGS} where chip_id = '{DELETED}'")
    assert spark.table(f"{EMBEDDINGS}.delete_files").count() == 1
    yield found
    spark.sql(f"drop table {EMBEDDINGS} purge")


def nearest(table: Table, chip_id: str, model_id: str) -> list[tuple[str, float | None]]:
    """Return every other chip of the model by distance, by brute force; chips without a distance come last."""
    query = table[chip_id, model_id]
    distances = []
    for (other, model), embedding in table.items():
        if model == model_id and other != chip_id:
            length = np.linalg.norm(query) * np.linalg.norm(embedding)
            distances.append((other, float(1 - query @ embedding / length) if length else None))
    return sorted(distances, key=lambda pair: (pair[1] is None, pair[1], pair[0]))


def ask(spark: SparkSession, calls: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the rows of nearest_chips for each (chip, k, model, int8), which are passed as dbt variables."""
    one = "{{ nearest_chips(*asked) }}"
    code = compiled(f"{{% for asked in var('calls') %}}{one}{NEXT}{{% endfor %}}", calls=calls)
    return [spark.sql(statement).collect() for statement in code.split(NEXT)[: len(calls)]]


def assert_same(rows: list[Any], expected: list[tuple[str, float | None]], model_id: str) -> None:
    assert [row.chip_id for row in rows] == [chip_id for chip_id, _ in expected]
    for row, (_, distance) in zip(rows, expected, strict=True):
        assert row.model_id == model_id
        assert row.cosine_distance == (None if distance is None else pytest.approx(distance, abs=1e-12))


def test_the_nearest_chips_are_those_of_brute_force_and_any_id_is_safe(spark: SparkSession, table: Table) -> None:
    asked: list[tuple[Any, ...]] = [(chip_id, 7, None) for chip_id in chip_ids()[: len(ODD_IDS) + 4]]
    for (chip_id, k, _), rows in zip(asked, ask(spark, asked), strict=True):
        model_id = LATER if (chip_id, LATER) in table else FIRST  # the one that embedded the chip last
        assert_same(rows, nearest(table, chip_id, model_id)[:k], model_id)


def test_a_model_can_be_named_and_k_may_exceed_the_number_of_chips(spark: SparkSession, table: Table) -> None:
    chip_id = "it's"  # the first chip, which only one model embedded
    both = chip_ids()[11]
    first, later = ask(spark, [(both, 1_000, FIRST), (both, 3, LATER)])
    expected = nearest(table, both, FIRST)
    assert len(expected) == CHIPS - 1
    assert expected[-1][1] is None, "a chip without a direction has no distance"
    assert_same(first, expected, FIRST)
    assert_same(later, nearest(table, both, LATER)[:3], LATER)
    for absent, model in ((chip_id, LATER), ("nowhere", None), (both, "' or true --")):
        with pytest.raises(PySparkException) as refused:
            ask(spark, [(absent, 3, model)])
        by_model = f" by the model '{model}'" if model else ""
        assert f"nearest_chips: there is no embedding of the chip '{absent}'{by_model}; column" in str(refused.value)
    assert first[0].asDict().keys() == {"chip_id", "model_id", "cell_id", "geohash", "acquired_at", "cosine_distance"}


def test_a_search_in_int8_compares_the_query_with_the_int8_of_the_others(spark: SparkSession, table: Table) -> None:
    chip_id = chip_ids()[20]
    (found,) = ask(spark, [(chip_id, 1_000, FIRST, True)])
    whole = {key: as_int8(embedding[None])[0][0] for key, embedding in table.items()}
    expected = nearest(whole | {(chip_id, FIRST): table[chip_id, FIRST]}, chip_id, FIRST)
    assert_same(found, expected, FIRST)
    with pytest.raises(PySparkException) as refused:
        ask(spark, [(chip_ids()[11], 3, LATER, True)])
    assert "has no embedding in int8; set CHIPLAKE_EMBED_INT8=true and run dbt" in str(refused.value)


def test_no_embedding_passes_through_spark(spark: SparkSession, table: Table) -> None:
    for int8 in ("false", "true"):
        statement = compiled(f"{{{{ nearest_chips('it', 3, int8={int8}) }}}}")
        (row,) = spark.sql(f"explain {statement}").collect()
        scans = [line for line in row[0].splitlines() if "BatchScan" in line]
        assert scans
        assert not [line for line in scans if re.search(r"\bembedding(_int8)?#", line)]
        assert "TakeOrderedAndProject" in row[0]


@pytest.mark.parametrize("k", [0, -1, "many", "3; drop table x", 2.5, True])
def test_an_invalid_k_is_refused_with_a_message(table: Table, k: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DbtBaseException, match="inline query"):
        compiled(f"{{{{ nearest_chips('it', {k!r}) }}}}")
    assert f"nearest_chips: k is '{k}'; write a whole number of at least 1" in capsys.readouterr().out


def as_int8(embeddings: Floats) -> tuple[Floats, Floats]:
    """Quantise each row to symmetric int8; return the whole numbers, and the scales rounded to float32."""
    scales = (np.abs(embeddings).max(axis=1) / 127).astype(np.float32).astype(np.float64)
    steps = np.where(scales == 0, 1, scales)  # all zero
    return np.clip(np.rint(embeddings / steps[:, None]), -127, 127), scales


def test_int8_is_that_of_numpy_with_the_documented_loss(spark: SparkSession) -> None:
    """The number is for 1,000 normally distributed embeddings of 1,024 dimensions."""
    embeddings = np.random.default_rng(8).standard_normal((1_000, 1_024)).astype(np.float32)
    column = pa.array(list(embeddings), pa.list_(pa.float32()))
    spark.createDataFrame(pa.table({"number": range(1_000), "embedding": column})).createOrReplaceTempView("given")
    code = compiled(
        """
        select
            *,
            {{ dequantised('embedding_int8', 'scale') }} as restored,
            {{ cosine_distance('embedding', dequantised('embedding_int8', 'scale')) }} as distance
        from (
            select *, {{ embedding_int8('embedding', 'scale') }} as embedding_int8
            from (select *, {{ embedding_scale('embedding') }} as scale from given)
        )
        """
    )
    found = spark.sql(code).orderBy("number").toArrow()
    spark.catalog.dropTempView("given")

    exact = embeddings.astype(np.float64)
    whole, scales = as_int8(exact)
    assert found["embedding_int8"].type.value_type == pa.int8()
    np.testing.assert_array_equal(np.array(found["embedding_int8"].to_pylist()), whole)
    np.testing.assert_array_equal(found["scale"].to_numpy(), scales)
    restored = np.array(found["restored"].to_pylist())
    np.testing.assert_allclose(restored, whole * scales[:, None], rtol=1e-6)
    assert (np.abs(restored - exact).max(axis=1) <= scales * 0.50001).all(), "to within half a scale"

    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(restored, axis=1)
    losses = 1 - (exact * restored).sum(axis=1) / lengths
    np.testing.assert_allclose(found["distance"].to_numpy(), losses, atol=1e-9)
    documented = (PROJECT_DIR / "models" / "_columns.md").read_text()
    assert f"{losses.max():.1e} among 1,000 random embeddings of 1,024 dimensions" in documented
