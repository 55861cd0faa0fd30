"""Features of patches against plain loops, and their frames."""

from __future__ import annotations

import numpy as np
import pytest

from python_udfs.change.functions import chip_patches
from python_udfs.change.patches import PatchFeatures, patch_features
from python_udfs.codec import encode_array


def made_chip(seed: int = 1) -> tuple[dict[str, np.ndarray], np.ndarray]:
    chance = np.random.default_rng(seed)
    bands = {
        "swir16": chance.integers(1, 12000, (128, 128)).astype(np.uint16),
        "blue": chance.integers(1, 12000, (256, 256)).astype(np.uint16),
    }
    counted = chance.random((256, 256)) < 0.6
    counted[:8, :16] = False
    counted[8:16, :8] = True
    return bands, counted


def test_features_are_means_over_the_counted_pixels_of_each_patch() -> None:
    bands, counted = made_chip()
    found = patch_features(bands, counted)
    assert found.bands == ("blue", "swir16"), "in the order of the bands, not of the arguments"
    fine = {"blue": bands["blue"], "swir16": np.kron(bands["swir16"], np.ones((2, 2), np.uint16))}
    for patch in (0, 1, 32, 33, 500, 1023):
        row, col = divmod(patch, 32)
        place = np.s_[row * 8 : row * 8 + 8, col * 8 : col * 8 + 8]
        assert found.share[patch] == counted[place].sum() / 64
        for number, name in enumerate(found.bands):
            values = fine[name][place][counted[place]]
            expected = values.mean() / 10_000 if values.size else np.nan
            assert found.features[number, patch] == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert np.isnan(found.features[:, :2]).all()
    assert found.share[32] == 1


def test_a_frame_keeps_features_to_a_fortieth_of_a_thousandth() -> None:
    bands, counted = made_chip()
    given = patch_features(bands, counted)
    read = PatchFeatures.decode(given.encode())
    assert read.bands == given.bands
    assert np.array_equal(read.share, given.share)
    assert np.array_equal(np.isnan(read.features), np.isnan(given.features))
    assert np.nanmax(np.abs(read.features - given.features)) <= 0.5 / 40_000 + 1e-6


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"nonsense of more than sixteen bytes",
        encode_array(np.zeros(7, np.uint16)),
        encode_array(np.full(1 + 3 * 1024, 65535, np.uint16)),  # bands that do not exist
        encode_array(np.zeros(1 + 3 * 1024, np.uint16)),  # no bands
        made_chip()[1][:4].tobytes(),
    ],
)
def test_a_damaged_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        PatchFeatures.decode(frame)


def test_only_own_pixels_that_are_not_suspect_count() -> None:
    blue = np.full((256, 256), 1000, np.uint16)
    blue[:, 8:16] = 3000
    source_index = np.zeros((256, 256), np.uint8)
    source_index[:8, :8] = 1  # filled
    source_index[8:10, :8] = 255  # still missing: 16 of 64 pixels
    suspect = np.zeros((128, 128), np.uint8)
    suspect[0:4, 4:6] = 1  # columns 8 to 11 of the second patch
    done = chip_patches({"blue": encode_array(blue), "nir": None}, encode_array(source_index), encode_array(suspect))
    assert done is not None
    found = PatchFeatures.decode(done["patches"])
    assert found.bands == ("blue",)
    assert list(found.share[[0, 1, 2, 32, 33]]) == [0, 0.5, 1, 0.75, 1]
    assert found.features[0, [1, 2]] == pytest.approx([0.3, 0.1])
    assert done["observed_patches"] == 1024 - 2
    assert chip_patches({"blue": None}, encode_array(source_index), None) is None
    assert chip_patches({"blue": encode_array(blue)}, None, None) is None
