"""Distances of embeddings are those of the filled pixels alone, relative to `none`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from harness.embedding_distance import OTHER_CELL, Distances, embedding_distances, in_hole
from harness.fills import NONE, PEERS, SUSPECTS, fills_of
from harness.holes import Case, Landscape, Night, cut_hole

from embedding.model.card import Preprocessing
from embedding.model.weights import load_model


def case_of(source: Night, night: Night) -> Case:
    hole = np.zeros((256, 256), np.bool_)
    hole[40:140, 60:200] = True
    case = cut_hole("a landscape", [source], night, hole)
    assert case is not None
    return case


@pytest.fixture(scope="module")
def case() -> Case:
    landscape = Landscape(7)
    return case_of(landscape.night(20, 0.0), landscape.night(60, 0.0))


def test_only_pixels_of_the_known_hole_are_filled(case: Case) -> None:
    filled = in_hole(case, fills_of(case)[NONE])
    rows, cols = slice(40, 140), slice(60, 200)
    source = case.earlier[0].bands
    for name, pixels in filled.items():
        step = 256 // pixels.shape[0]
        expected = case.truth[name].copy()
        place = (slice(rows.start // step, rows.stop // step), slice(cols.start // step, cols.stop // step))
        expected[place] = source[name][place]
        np.testing.assert_array_equal(pixels, expected)


def test_a_chip_filled_with_its_own_pixels_has_no_distance(case: Case) -> None:
    model = load_model(None, Preprocessing())
    same = case_of(
        Night(50, case.truth, case.earlier[0].scl, case.earlier[0].valid),
        Night(60, case.truth, case.night.scl, case.earlier[0].valid),
    )
    found = embedding_distances([same, case], {"demo": model})["demo"]["a landscape"]
    first, second = found.of_holes
    assert max(first.values()) < 1e-12
    assert second[NONE] > 1e-6 > second[PEERS] > 1e-10
    assert found.of_none(PEERS) == pytest.approx(
        sum(one[PEERS] for one in (first, second)) / (first[NONE] + second[NONE])
    )


def test_distances_are_relative_to_none_in_the_holes_that_the_method_has_filled() -> None:
    holes: list[Mapping[str, float]] = [{NONE: 0.2, PEERS: 0.1, SUSPECTS: 0.02}, {NONE: 0.4, PEERS: 0.05}]
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    clear = {((0, 0), 5): east, ((0, 128), 5): north, ((256, 0), 5): 2 * east, ((512, 0), 6): north}
    found = Distances(holes, clear)
    assert found.none == pytest.approx(0.3)
    assert found.of_none(PEERS) == pytest.approx(0.15 / 0.6)
    assert found.of_none(SUSPECTS) == pytest.approx(0.1)
    assert found.of_none("composite") is None
    # Apart and of one day: (0, 0) and (256, 0), distance 0; (0, 128) and (256, 0), distance 1.
    assert found.of_none(OTHER_CELL) == pytest.approx(0.5 / 0.3)
    assert found.all_of_none().keys() == {PEERS, SUSPECTS, OTHER_CELL}
