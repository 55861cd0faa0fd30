from __future__ import annotations

from datetime import date

import numpy as np
from harness.forest import Cube, ForestCounts, count, felled_shares


def day(year: int, month: int) -> float:
    return float((date(year, month, 15) - date(1970, 1, 1)).days)


def test_a_felling_is_found_in_its_year_or_the_next() -> None:
    shares = np.zeros((4, 3))
    shares[1] = 0.3  # before the summer of 2018, in all three squares
    found = count(shares, [(0, day(2018, 8)), (1, day(2018, 9)), (2, day(2019, 9))])
    # September 2018 counts for 2019, which is still in time; September 2019 counts for 2020, which is not.
    assert found == ForestCounts(found=2, felled=3, false=1)


def test_an_alarm_is_false_where_less_than_half_a_percent_was_felled() -> None:
    shares = np.zeros((4, 3))
    shares[0] = [0.004, 0.006, 0.0]
    found = count(shares, [(0, day(2017, 6)), (1, day(2017, 6)), (1, day(2018, 6)), (2, day(2016, 3))])
    # Square 1 explains its alarms of 2017 and of the year after; 0.6 % is no felling that must be found.
    assert found == ForestCounts(found=0, felled=0, false=2)


def test_fellings_are_where_summers_lost_green_and_gained_swir() -> None:
    days = np.array([day(year, month) for year in range(2016, 2021) for month in (6, 7, 8)])
    bands = {name: np.full((15, 100, 100), value, np.uint16) for name, value in (("red", 300), ("nir", 4000))}
    bands["swir16"] = np.full((15, 50, 50), 1500, np.uint16)
    felled = slice(6, None)  # from the summer of 2018
    bands["red"][felled, :20, :10], bands["nir"][felled, :20, :10] = 1200, 2400
    bands["swir16"][felled, :10, :5] = 2600
    bands["red"][7] = 9000  # a cloud that SCL knows
    scl = np.full((15, 100, 100), 4, np.uint8)
    scl[7] = 9
    shares = felled_shares(Cube(days, bands, scl))
    expected = np.zeros((4, 25))
    expected[1, 0] = 0.5
    assert np.array_equal(shares, expected)
