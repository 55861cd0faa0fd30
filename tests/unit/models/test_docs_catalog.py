"""What dbt docs say of columns and tables, from what Spark describes. These tests start no JVM."""

from __future__ import annotations

from dbt_chiplake import describe_columns

DESCRIBED = [
    ("chip_id", "string", "Id of a chip."),
    ("item_ids", "array<string>", None),
    ("Comment", "map<string,double>", "A column with the name of a fact."),
    ("# Partition Information", "", ""),
    ("# col_name", "data_type", "comment"),
    ("chip_id", "string", None),
    ("", "", ""),
    ("# Detailed Table Information", "", ""),
    ("Comment", "One row per chip.", ""),
]
ROWS = [{"col_name": name or None, "data_type": kind, "comment": comment} for name, kind, comment in DESCRIBED]


def test_columns_have_their_whole_type_and_their_comment() -> None:
    by_adapter = [
        {"column_name": "chip_id", "column_type": "string", "table_name": "fct_chips"},
        {"column_name": "item_ids", "column_type": "array", "table_name": "fct_chips"},
        {"column_name": "Comment", "column_type": "map", "table_name": "fct_chips"},
    ]
    columns = list(describe_columns(by_adapter, ROWS))
    assert [(one["column_name"], one["column_type"], one["column_comment"]) for one in columns] == DESCRIBED[:3]
    assert {(one["table_name"], one["table_comment"]) for one in columns} == {("fct_chips", "One row per chip.")}


def test_a_table_without_facts_has_no_comment_and_an_unknown_column_stays_as_it_is() -> None:
    by_adapter = [{"column_name": "chip_id", "column_type": "string"}, {"column_name": "hidden", "column_type": "int"}]
    known, unknown = describe_columns(by_adapter, ROWS[:1])
    assert (known["column_comment"], known["table_comment"]) == ("Id of a chip.", None)
    assert (unknown["column_type"], unknown["column_comment"]) == ("int", None)
