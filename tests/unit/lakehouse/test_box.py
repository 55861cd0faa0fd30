"""The box of longitudes and latitudes."""

from __future__ import annotations

import pytest

from lakehouse.box import check_box, crosses_180, parse_box


def test_a_box_is_four_numbers_separated_by_commas_or_spaces() -> None:
    assert parse_box("16.3, 45.7,16.5 45.8") == (16.3, 45.7, 16.5, 45.8)


def test_a_box_whose_west_edge_is_east_of_its_east_edge_crosses_180_degrees() -> None:
    assert crosses_180(parse_box("179.5,60,-179.5,66"))
    assert not crosses_180(parse_box("-180,-90,180,90"))


@pytest.mark.parametrize(
    "text", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "0,10,1,9", "0,nan,1,9", "-181,0,1,1", "0,0,1,91", "1,0,1,1", ""]
)
def test_a_text_that_is_not_a_box_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|could not convert|no width"):
        parse_box(text)


def test_a_setting_may_be_a_box_without_width() -> None:
    assert check_box((1.0, 0.0, 1.0, 1.0)) == (1.0, 0.0, 1.0, 1.0)
