"""Single promises of filling, on chips whose results are computed by hand."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import yaml
from support.fill_oracle import (
    ALL_BANDS,
    VALID_CLASSES,
    Chip,
    Rule,
    decoded,
    fold,
    input_row,
    plain,
)

from lakehouse.settings import PROJECT_DIR
from python_udfs.chip_columns import CHIP_COLUMNS
from python_udfs.codec import decode_array
from python_udfs.fill.cell_fold import CellFold


def test_rows_have_the_columns_of_fct_filled_chips() -> None:
    (row,) = fold([input_row(plain(0, 1, ALL_BANDS))])
    declared = yaml.safe_load((PROJECT_DIR / "models/filling/fct_filled_chips.yml").read_text())["models"][0]["columns"]
    identity = {name.split(":")[0] for name in CHIP_COLUMNS.split(", ")}
    given = identity | {"cloud_fraction", "nodata_fraction", "input_hash", "rule_version"}
    assert {column["name"] for column in declared} == set(row) | given
    assert (row["is_complete"], row["error"]) == (True, None)


def test_a_chip_without_gaps_stays_unchanged() -> None:
    row = input_row(plain(1, 2))
    filled = fold([input_row(plain(0, 1)), row])[1]
    assert {name: filled[name] for name in (*ALL_BANDS, "scl")} == {name: row[name] for name in (*ALL_BANDS, "scl")}
    assert not decode_array(filled["source_index"], "uint8", 256).any()
    assert (filled["sources"], filled["complete_fraction"]) == ([], 1.0)
    assert (filled["max_age_days"], filled["mean_age_days"]) == (None, None)


def test_a_long_history_needs_no_more_memory() -> None:
    cell, sizes = CellFold(Rule(adjust="peers").as_json()), []
    for day in range(12):
        cell.add(input_row(plain(day, 1 + day, ALL_BANDS)))
        cell.filled({})
        sizes.append(len(pickle.dumps(cell)))
    assert sizes[0] > 700_000  # pixels of ten bands
    assert sizes[-1] < sizes[2] + 2_000


def test_a_pixel_as_old_as_the_limit_fills_and_an_older_one_does_not() -> None:
    clear, cloudy = plain(0, 7), plain(60, 9, scl=9)
    later = Chip(cloudy.acquired_us + 1, cloudy.scl, cloudy.bands)
    _, at_limit, beyond = (decoded(row) for row in fold([input_row(chip) for chip in (clear, cloudy, later)]))
    assert (at_limit["blue"] == 7).all()
    assert (at_limit["complete_fraction"], at_limit["max_age_days"]) == (1.0, 60.0)
    assert not beyond["blue"].any()
    assert not beyond["scl"].any()
    assert (beyond["source_index"] == 255).all()
    assert (beyond["complete_fraction"], beyond["max_age_days"], beyond["sources"]) == (0.0, None, [])


def test_sources_are_counted_from_the_newest() -> None:
    oldest, newer, cloudy = plain(0, 1), plain(2, 2), plain(5, 3, scl=8)
    newer.scl[:64] = 3  # its northern half is in shadow
    newer.scl[0, 0] = 5
    got = decoded(fold([input_row(chip) for chip in (oldest, newer, cloudy)])[-1])
    assert [source["chip_id"] for source in got["sources"]] == [newer.chip_id, oldest.chip_id]
    assert got["source_index"][0, :3].tolist() == [1, 1, 2]
    assert got["source_index"][127:129, 9].tolist() == [2, 1]
    assert got["max_age_days"] == 5.0
    assert got["mean_age_days"] == pytest.approx(4 - 8 / 65_536)  # half 3 days, half 5; four pixels 3, not 5


def test_a_20_m_pixel_is_the_newest_of_its_four() -> None:
    older, newer, cloudy = plain(0, 1), plain(1, 2), plain(2, 3, scl=9)
    newer.bands["blue"][0:2, 0:2] = [[0, 0], [0, 2]]
    newer.scl[:] = 5
    got = decoded(fold([input_row(chip) for chip in (older, newer, cloudy)])[-1])
    assert got["blue"][0:2, 0:2].tolist() == [[1, 1], [1, 2]]
    assert got["nir"][0:2, 0:2].tolist() == [[1, 1], [1, 2]]  # all bands together
    assert got["source_index"][0:2, 0:2].tolist() == [[2, 2], [2, 1]]
    assert (got["swir22"][0, 0], got["scl"][0, 0]) == (2, 5)


def test_a_pixel_has_all_its_bands_from_one_chip() -> None:
    with_swir, without, cloudy = plain(0, 1), plain(1, 2, ("blue", "nir", "rededge1")), plain(2, 3, scl=9)
    for filled in fold([input_row(chip) for chip in (with_swir, without, cloudy)])[1:]:
        got = decoded(filled)
        assert (got["blue"] == 2).all()
        assert got["swir22"] is None or not got["swir22"].any()


def test_a_band_of_no_chip_within_the_age_limit_is_null() -> None:
    chips = [plain(0, 1), plain(61, 2, ("blue",), scl=9)]
    got = decoded(fold([input_row(chip) for chip in chips])[-1])
    assert [name for name in ALL_BANDS if got[name] is not None] == ["blue"]
    assert not got["blue"].any()


def test_a_source_fills_later_chips_but_returns_no_row() -> None:
    clear, cloudy = plain(0, 7), plain(1, 9, scl=9)
    filled = fold([input_row(clear, "source"), input_row(cloudy)])
    assert filled == fold([input_row(clear), input_row(cloudy)])[1:]
    assert (decoded(filled[0])["blue"] == 7).all()


def test_a_later_chip_fills_nothing() -> None:
    cloudy, clear = plain(0, 9, scl=9), plain(1, 7)
    first, _ = fold([input_row(cloudy), input_row(clear)])
    assert [first] == fold([input_row(cloudy)])
    assert decoded(first)["complete_fraction"] == 0.0


def test_returned_rows_do_not_change_when_the_fold_continues() -> None:
    cell = CellFold(Rule().as_json())
    cell.add(input_row(plain(0, 1)))
    first = cell.filled({})
    cell.add(input_row(plain(1, 2)))
    assert (decode_array(first["blue"], "uint16", 256) == 1).all()


def many_sources(count: int) -> list[dict[str, Any]]:
    """`count` chips that are valid in one 20 m pixel each, and one that is valid nowhere."""
    rows = []
    for number in range(count):
        chip = plain(number / 10, number + 1, ("rededge1",), scl=9)
        chip.scl.ravel()[number] = 4
        rows.append(input_row(chip, "source"))
    return [*rows, input_row(plain(count / 10, 1, ("rededge1",), scl=9))]


def test_254_sources_have_different_numbers() -> None:
    got = decoded(fold(many_sources(254))[0])
    assert len(got["sources"]) == 254
    assert got["source_index"][0, 0:508:2][:128].tolist() == list(range(254, 126, -1))
    assert got["rededge1"][0].tolist() == list(range(1, 129))
    assert got["complete_fraction"] == 254 * 4 / 65_536


def test_the_error_for_more_than_254_sources_names_the_setting() -> None:
    with pytest.raises(ValueError, match="more than 254 sources; lower fill_max_age_days"):
        fold(many_sources(255))


def test_a_damaged_frame_is_refused() -> None:
    row = input_row(plain(0, 1))
    with pytest.raises(ValueError, match="frame"):
        fold([row | {"nir": row["nir"][:-1]}])
    with pytest.raises(ValueError, match="holds 32768 bytes where 256 x 256"):
        fold([row | {"nir": row["swir22"]}])


def test_with_dilation_pixels_near_clouds_are_filled_and_fill_nothing() -> None:
    older, newer, cloudy = plain(0, 1), plain(1, 2), plain(2, 3)
    newer.cloud_distance[:, :3] = [0, 2, 3]
    cloudy.cloud_distance[:, :4] = 2
    rule = Rule(dilation=2)
    got = decoded(fold([input_row(chip) for chip in (older, newer, cloudy)], rule)[-1])
    assert got["blue"][0, 0:10:2].tolist() == [1, 1, 2, 2, 3]
    assert got["swir22"][0, :5].tolist() == [1, 1, 2, 2, 3]
    assert (got["base_valid_fraction"], got["complete_fraction"]) == (124 / 128, 1.0)


def test_the_widest_dilation_keeps_pixels_16_away_from_clouds() -> None:
    chip = plain(0, 1)
    chip.cloud_distance[0, :2] = [15, 16]
    got = decoded(fold([input_row(chip)], Rule(dilation=15))[0])
    assert got["source_index"][0, 0:4:2].tolist() == [255, 0]
    assert got["base_valid_fraction"] == 1 - 4 / 65_536


def test_without_dilation_the_distance_to_clouds_does_not_matter() -> None:
    chip = plain(0, 1)
    chip.cloud_distance[:] = 0
    assert decoded(fold([input_row(chip)])[0])["base_valid_fraction"] == 1.0


def test_snow_is_filled_where_its_class_is_not_valid() -> None:
    green, snow = plain(0, 1), plain(1, 2, scl=11)
    rows = [input_row(green), input_row(snow)]
    assert (decoded(fold(rows)[-1])["blue"] == 2).all()
    without_snow = decoded(fold(rows, Rule(classes=frozenset(VALID_CLASSES - {11})))[-1])
    assert (without_snow["blue"] == 1).all()
    assert (without_snow["scl"] == 4).all()
    assert (without_snow["base_valid_fraction"], without_snow["complete_fraction"]) == (0.0, 1.0)


def test_an_unknown_rule_is_refused() -> None:
    rule = json.loads(Rule().as_json())
    for unknown in ({"method": "median"}, {"max_age_days": None}, {"feather": 3}):
        with pytest.raises(ValueError, match=next(iter(unknown))):
            CellFold(json.dumps(rule | unknown))
