"""Which pixels of a chip are valid: classes, distance to clouds, probabilities and the user's own mask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fill_oracle import Rule, fold, input_row, plain
from support.own_masks import FUNCTIONS

from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings
from python_udfs.codec import decode_array, encode_array
from python_udfs.own_mask import find_mask, own_mask
from python_udfs.validity_rule import ValidityRule, read_chip

NAMES = ("support.own_masks:FUNCTIONS",)
SCL = np.random.default_rng(3).choice(np.array([2, 4, 5, 6, 8, 9, 11], np.uint8), (128, 128))


@pytest.fixture
def _own_functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHIPLAKE_FUNCTIONS", NAMES[0])
    get_settings.cache_clear()
    own_mask.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()
    own_mask.cache_clear()


def percentages(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 101, (128, 128)).astype(np.uint8)


def row_with(**layers: Any) -> dict[str, Any]:
    chip = plain(0, 5)
    chip.scl[:] = SCL
    return input_row(chip) | {name: encode_array(layer) for name, layer in layers.items()}


def rule(**limits: Any) -> ValidityRule:
    return ValidityRule(valid_scl_classes=(2, 4, 5, 6, 11), cloud_dilation_pixels=0, **limits)


def test_a_pixel_above_a_limit_is_not_valid_even_if_scl_calls_it_clear() -> None:
    cloud, snow = percentages(1), percentages(2)
    got = read_chip(
        row_with(cloud_probability=cloud, snow_probability=snow),
        rule(max_cloud_probability=40, max_snow_probability=90),
    ).valid
    expected = [
        [SCL[i, j] in (2, 4, 5, 6, 11) and cloud[i, j] <= 40 and snow[i, j] <= 90 for j in range(128)]
        for i in range(128)
    ]
    assert np.array_equal(got[::2, ::2], expected)
    assert np.array_equal(got, np.kron(got[::2, ::2], np.ones((2, 2), bool)))


@pytest.mark.parametrize("limits", [{}, {"max_cloud_probability": 100, "max_snow_probability": 100}])
def test_a_rule_without_limits_asks_for_no_probability(limits: dict[str, int]) -> None:
    row = row_with() | {"cloud_probability": b"not a frame"}
    assert np.array_equal(read_chip(row, rule(**limits)).valid[::2, ::2], np.isin(SCL, (2, 4, 5, 6, 11)))


def test_a_chip_without_probabilities_is_valid_by_scl_alone() -> None:
    row = row_with() | {"cloud_probability": None}
    assert np.array_equal(
        read_chip(row, rule(max_cloud_probability=0, max_snow_probability=0)).valid[::2, ::2],
        np.isin(SCL, (2, 4, 5, 6, 11)),
    )


def test_a_gap_by_probability_is_filled_and_fills_nothing() -> None:
    clear, cloudy, target = (input_row(plain(day, value)) for day, value in ((0, 1), (1, 2), (2, 3)))
    cloud = np.zeros((128, 128), np.uint8)
    cloud[0] = 41
    cloudy["cloud_probability"] = target["cloud_probability"] = encode_array(cloud)
    version = json.dumps({**json.loads(Rule().as_json()), "max_cloud_probability": 40})
    (*_, filled) = fold([clear, cloudy, target], Rule(), version)
    blue = decode_array(filled["blue"], "uint16", 256)
    assert (blue[:2] == 1).all()
    assert (blue[2:] == 3).all()
    assert [source["chip_id"] for source in filled["sources"]] == [clear["chip_id"]]


@pytest.mark.usefixtures("_own_functions")
def test_the_users_own_mask_is_called_with_the_frames_of_its_arguments() -> None:
    chip = plain(0, 900)
    chip.bands["blue"][:20] = 1_001
    chip.scl[64:] = 9
    version = find_mask("Bright_Blue", NAMES).version
    name, digest = version.split(" ")
    assert (name, len(digest)) == ("bright_blue", 16)
    valid = read_chip(input_row(chip), rule(mask=version)).valid
    assert not valid[:20].any()
    assert valid[20:128].all()
    assert not valid[128:].any()
    without_blue = input_row(plain(0, 5, ("nir",)))
    assert read_chip(without_blue, rule(mask=version)).valid.all(), "the mask returns null without blue"


@pytest.mark.usefixtures("_own_functions")
def test_a_mask_of_another_code_is_refused() -> None:
    with pytest.raises(ChiplakeError, match="the code of bright_blue is not that of the rule"):
        read_chip(input_row(plain(0, 5)), rule(mask="bright_blue 0123456789abcdef"))


@pytest.mark.usefixtures("_own_functions")
def test_a_mask_of_another_size_is_an_error_that_names_the_function() -> None:
    version = find_mask("whole_blue", NAMES).version
    with pytest.raises(ValueError, match="the mask whole_blue does not return a mask: the frame holds 131072 bytes"):
        read_chip(input_row(plain(0, 5)), rule(mask=version))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cloudy", r"cloudy is none of your functions \(bright_blue, whole_blue, brightness\); name it in CHIPLAKE_F"),
        ("brightness", r"brightness\(blue binary, factor double\) is not a mask: a scalar function that returns bin"),
    ],
)
def test_a_function_that_is_no_mask_is_refused(name: str, message: str) -> None:
    with pytest.raises(ChiplakeError, match=message):
        find_mask(name, NAMES)


def test_a_mask_depends_on_the_file_of_its_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(str(FUNCTIONS[0].implementation.__code__.co_filename)).read_text()
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "copied_masks.py").write_text(source)
    copied = find_mask("bright_blue", ("copied_masks:FUNCTIONS",)).version
    assert copied == find_mask("bright_blue", NAMES).version
    (tmp_path / "changed_masks.py").write_text(source + "\n# another version\n")
    assert find_mask("bright_blue", ("changed_masks:FUNCTIONS",)).version != copied
