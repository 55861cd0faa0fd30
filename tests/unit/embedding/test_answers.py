"""Each chip of a request has one row: an embedding, or what is wrong with the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from embedding.runs.answers import checked_answers, keys_asked, read_answer
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, write_table

NAN, INFINITE = float("nan"), float("inf")
FIELD = ANSWER_SCHEMA.field("embedding")


def answer(*rows: tuple[Any, ...], of: pa.DataType = FIELD.type) -> pa.Table:
    """Make an answer of rows of chip_id, embedding, error and model_id, by default no error of model `m`."""
    filled = [(*row, *(None, "m")[len(row) - 2 :]) for row in rows]
    columns = {
        "chip_id": [row[0] for row in filled],
        "input_hash": ["hash"] * len(rows),
        "model_id": [row[3] for row in filled],
        "embedding": pa.array([row[1] for row in filled], of),
        "error": pa.array([row[2] for row in filled], pa.string()),
    }
    return pa.table(columns)


def checked(asked: str, given: pa.Table | str) -> list[tuple[str, list[float] | None, str | None]]:
    """Check the answer to a request of chips with these letters, of two numbers each."""
    table = checked_answers([(chip, "hash") for chip in asked], given, "m", 2)
    assert table.schema == ANSWER_SCHEMA
    assert {(row["input_hash"], row["model_id"]) for row in table.to_pylist()} <= {("hash", "m")}
    return [(row["chip_id"], row["embedding"], row["error"]) for row in table.to_pylist()]


def test_answers_come_in_the_order_of_the_request() -> None:
    given = answer(("c", [5, 6]), ("a", [1, 2]), ("x", [7, 8]), ("b", [3, 4]))
    assert checked("abc", given) == [("a", [1, 2], None), ("b", [3, 4], None), ("c", [5, 6], None)]
    in_order = answer(("a", [1, 2]), ("b", [3, 4]))
    assert checked("ab", in_order) == [("a", [1, 2], None), ("b", [3, 4], None)]
    assert checked("b", in_order.slice(1)) == [("b", [3, 4], None)]
    assert checked("", answer()) == []


def test_each_fault_is_named_on_its_own_row() -> None:
    given = answer(
        ("a", [1, NAN]),
        ("b", [1, None]),
        ("c", [INFINITE, 1]),
        ("d", [1]),
        ("e", []),
        ("f", None),
        ("g", [1, 2], "no pixels"),
        ("h", [1, 2], None, "other"),
        ("i", [1, 2], "no pixels", None),
        ("j", [1, 2]),
        ("j", [3, 4]),
        ("k", [3, 4]),
    )
    not_finite = "the embedding holds values that are not finite"
    assert checked("abcdefghijkl", given) == [
        ("a", None, not_finite),
        ("b", None, not_finite),
        ("c", None, not_finite),
        ("d", None, "the embedding has 1 values, embeddings of m have 2"),
        ("e", None, "the embedding has 0 values, embeddings of m have 2"),
        ("f", None, "the answer holds neither an embedding nor an error"),
        ("g", None, "no pixels"),
        ("h", None, "the answer is of other, the request was for m"),
        ("i", None, "the answer is of None, the request was for m"),
        ("j", None, "the answer holds this chip 2 times"),
        ("k", [3, 4], None),
        ("l", None, "the answer holds this chip 0 times"),
    ]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2)])
def test_other_lists_of_numbers_are_embeddings_too(kind: pa.DataType) -> None:
    assert checked("ab", answer(("a", [1, 2.5]), ("b", [3, 4]), of=kind)) == [
        ("a", [1, 2.5], None),
        ("b", [3, 4], None),
    ]


def test_a_number_that_is_too_large_for_a_float_is_a_fault() -> None:
    given = answer(("a", [1e300, 2]), of=pa.list_(pa.float64()))
    assert checked("a", given) == [("a", None, "the embedding holds values that are not finite")]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("the answer cannot be read: cut off", "the answer cannot be read: cut off"),
        (answer(("a", [1, 2])).drop_columns(["embedding", "error"]), "the answer has no column embedding, error"),
        (answer(("a", [1, 2])).drop_columns(["chip_id"]), "the answer has no column chip_id"),
        (answer(("a", [1, 2])).append_column("error", [["other"]]), "the answer has column error twice"),
        (answer(("a", "words"), of=pa.string()), "column embedding of the answer is string, not list<item: float>"),
        (
            answer(("a", ["words"]), of=pa.list_(pa.string())),
            "column embedding of the answer is list<item: string>, not list<item: float>",
        ),
    ],
)
def test_a_fault_of_the_whole_answer_is_that_of_each_chip(given: pa.Table | str, fault: str) -> None:
    assert checked("ab", given) == [("a", None, fault), ("b", None, fault)]


def test_the_keys_asked_are_those_of_the_object_or_of_its_answer(tmp_path: Path) -> None:
    request, given = tmp_path / "chips.arrow", tmp_path / "chips.arrow.out"
    given.write_bytes(write_table(answer(("b", [1, 2]), ("a", [1, 2]), ("b", [1, 2])), ARROW_STREAM))
    assert keys_asked(request, given) == [("b", "hash"), ("a", "hash")]
    asked = pa.table({"blue": [b"pixels"] * 2, "chip_id": ["c", "c"], "input_hash": ["hash", "hash"]})
    request.write_bytes(write_table(asked, ARROW_STREAM))
    assert keys_asked(request, given) == [("c", "hash")]
    request.unlink()
    given.write_bytes(b"not arrow")
    assert keys_asked(request, given) == []
    reason = read_answer(given)
    assert isinstance(reason, str)
    assert reason.startswith("the answer cannot be read: not a readable application/vnd.apache.arrow.stream: ")
