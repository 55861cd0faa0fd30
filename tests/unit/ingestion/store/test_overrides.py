"""The file of the user's own BOA offsets, and the table that stores it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ingestion.store.overrides import BoaOffsetOverride, read_boa_offsets, store_boa_offsets, stored_boa_offsets
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.source_schemas import BOA_OFFSET_OVERRIDES

HEADER = "collection,item_id,start_date,end_date,boa_offset,note"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "offsets.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_line_is_a_condition_on_items_and_an_empty_field_matches_any(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        HEADER,
        ',S2A_33TWL_20230815_0_L2A,,,0,"flag lies, seen in QGIS"',
        "sentinel-2-l2a,, 2022-01-25 ,2022-02-10,-1000,",
    )
    assert read_boa_offsets(path) == (
        BoaOffsetOverride(item_id="S2A_33TWL_20230815_0_L2A", boa_offset=0, note="flag lies, seen in QGIS"),
        BoaOffsetOverride(
            collection="sentinel-2-l2a", start_date=date(2022, 1, 25), end_date=date(2022, 2, 10), boa_offset=-1000
        ),
    )


def test_columns_are_optional_and_a_file_with_only_a_header_has_no_override(tmp_path: Path) -> None:
    assert read_boa_offsets(written(tmp_path, "item_id,boa_offset", "a,-1000")) == (
        BoaOffsetOverride(item_id="a", boa_offset=-1000),
    )
    assert read_boa_offsets(written(tmp_path, HEADER)) == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("item_id,offset", "a,0"), "first line should name columns"),
        (("item_id", "a"), "first line should name columns"),
        (("item_id,boa_offset,boa_offset", "a,0,0"), "first line should name columns"),
        ((HEADER, "a,b,,,0,", ",,,,0,"), "line 3: it names neither collection nor item_id nor dates"),
        ((HEADER, "a,,,,zero,"), "line 2: column boa_offset"),
        ((HEADER, "a,,,,,"), "line 2: column boa_offset: Field required"),
        ((HEADER, "a,,,,-100000,"), "line 2: column boa_offset"),
        ((HEADER, "a,,2023-13-01,,0,"), "line 2: column start_date"),
        ((HEADER, "a,,2023-02-01,2023-01-01,0,"), "line 2: start_date 2023-02-01 is after end_date 2023-01-01"),
        ((HEADER, "a,,,,0,x,y"), "line 2: it has more values"),
        ((HEADER, 'a,,,,0,"x'), "cannot be read as CSV"),
    ],
)
def test_the_error_of_an_invalid_file_names_its_line(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ChiplakeError, match=message) as caught:
        read_boa_offsets(written(tmp_path, *lines))
    assert "offsets.csv" in str(caught.value)


def test_a_file_replaces_the_one_before_and_an_equal_one_writes_nothing(tmp_path: Path) -> None:
    settings = Settings().replace(home=tmp_path)
    first = tuple(BoaOffsetOverride(item_id=f"item {number}", boa_offset=-number) for number in (3, 1, 2))
    assert stored_boa_offsets(settings) == ()
    assert not store_boa_offsets((), settings)
    assert store_boa_offsets(first, settings)
    assert not store_boa_offsets(first, settings)
    assert stored_boa_offsets(settings) == first
    assert store_boa_offsets(first[::-1], settings)
    assert stored_boa_offsets(settings) == first[::-1]
    assert store_boa_offsets((), settings)
    assert stored_boa_offsets(settings) == ()
    assert not store_boa_offsets((), settings)
    # An append; a delete and an append; a delete with an append of no rows, which is also a snapshot.
    assert len(open_catalog(settings).load_table(BOA_OFFSET_OVERRIDES).snapshots()) == 5
