"""The encoder's input from a chip: pixels, time and place."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from embedding.model.card import Hour, Preprocessing
from embedding.model.clay_bands import STATISTICS
from embedding.model.preprocess import (
    Floats,
    latlon_vector,
    normalised_pixels,
    prepare_chip,
    time_vector,
)
from lakehouse.bands import BAND_NAMES
from python_udfs.codec import encode_array

NOON = datetime(2023, 8, 15, 12, tzinfo=UTC)


def frame(value: int, side: int, **pixels: int) -> bytes:
    array = np.full((side, side), value, dtype=np.uint16)
    for place, pixel in pixels.items():
        row, column = map(int, place.removeprefix("at_").split("_"))
        array[row, column] = pixel
    return encode_array(array)


def pixels_of(frames: dict[str, bytes], source_index: bytes | None = None) -> NDArray[np.float32]:
    """Return the encoder's pixels of one chip, (bands, 256, 256)."""
    chip = prepare_chip(frames, source_index, NOON, 15.7, 45.5, Preprocessing())
    pixels: NDArray[np.float32] = normalised_pixels([chip], torch.device("cpu"))[0].numpy()
    return pixels


def test_every_band_has_statistics() -> None:
    assert list(STATISTICS) == list(BAND_NAMES)


def test_pixels_are_normalised_with_the_statistics_of_their_band() -> None:
    pixels = pixels_of({"blue": frame(2914, 256), "swir22": frame(456, 128)})
    assert pixels.shape == (2, 256, 256)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[0], 1.0)  # (2914 - 1105) / 1809
    np.testing.assert_allclose(pixels[1], -1.0)  # (456 - 1835) / 1379


def test_a_pixel_of_20_m_covers_its_four_pixels_of_10_m() -> None:
    pixels = pixels_of({"swir16": frame(2388, 128, at_3_5=3858)})[0]
    expected = np.zeros((256, 256))
    expected[6:8, 10:12] = 1.0  # (3858 - 2388) / 1470
    np.testing.assert_allclose(pixels, expected)


def test_missing_pixels_are_the_normalised_mean() -> None:
    source_index = np.zeros((256, 256), dtype=np.uint8)
    source_index[0, 0], source_index[0, 1] = 255, 254
    frames = {"blue": frame(2914, 256, at_9_9=0), "swir22": frame(456, 128, at_9_9=0)}
    pixels = pixels_of(frames, encode_array(source_index))

    assert pixels[:, 0, 0].tolist() == [0, 0], "still missing: in no band"
    assert pixels[:, 0, 1].tolist() == [1, -1], "filled from the 254th source: there"
    assert pixels[0, 9, 9] == 0, "nodata of one band"
    assert pixels[1, 18:20, 18:20].tolist() == [[0, 0], [0, 0]]
    assert pixels[0, 18, 18] == 1


def test_time_is_the_iso_week_and_the_hour_of_training() -> None:
    expected = [math.sin(2 * math.pi * 33 / 52), math.cos(2 * math.pi * 33 / 52), 0, -1]  # 15 August: week 33
    np.testing.assert_allclose(time_vector(NOON), expected, atol=1e-6)


def test_the_hour_can_be_that_of_acquisition() -> None:
    at_seven = datetime(2023, 8, 15, 9, 50, tzinfo=timezone(timedelta(hours=2)))  # 07:50 UTC: the full hour counts
    as_in_training = time_vector(at_seven)
    np.testing.assert_array_equal(as_in_training, time_vector(NOON))
    np.testing.assert_array_equal(as_in_training, time_vector(at_seven, "training"))
    acquired = time_vector(at_seven, "acquired")
    np.testing.assert_array_equal(acquired[:2], as_in_training[:2])
    np.testing.assert_allclose(acquired[2:], [math.sin(math.radians(105)), math.cos(math.radians(105))], atol=1e-6)

    frames = {"blue": frame(2914, 256)}
    hours: list[tuple[Hour, Floats]] = [("training", as_in_training), ("acquired", acquired)]
    for hour, expected in hours:
        chip = prepare_chip(frames, None, at_seven, 15.7, 45.5, Preprocessing(hour=hour))
        np.testing.assert_array_equal(chip.time, expected)


def test_time_is_counted_in_utc() -> None:
    sunday_night = datetime(2023, 8, 20, 23, 30)
    west = timezone(timedelta(hours=-2))
    np.testing.assert_array_equal(time_vector(sunday_night), time_vector(sunday_night.replace(tzinfo=UTC)))
    np.testing.assert_array_equal(
        time_vector(sunday_night.replace(tzinfo=west)), time_vector(datetime(2023, 8, 21, tzinfo=UTC))
    )


def test_longitude_comes_first_as_in_training() -> None:
    np.testing.assert_allclose(latlon_vector(90, 30), [1, 0, 0.5, math.sqrt(0.75)], atol=1e-6)
    np.testing.assert_allclose(latlon_vector(90, 30, "latitude_first"), [0.5, math.sqrt(0.75), 1, 0], atol=1e-6)


def test_vectors_match_those_of_training() -> None:
    # From the parity cases: 15.7 E 45.5 N, week 33.
    np.testing.assert_allclose(latlon_vector(15.7, 45.5), [0.27060044, 0.9626917, 0.71325046, 0.70090926], atol=1e-6)
    np.testing.assert_allclose(time_vector(NOON)[:2], [-0.74851078, -0.66312265], atol=1e-6)


def test_default_options_are_not_part_of_a_model_id() -> None:
    assert Preprocessing().tag == ""
    assert Preprocessing(latlon_order="latitude_first").tag == ":latitude-first"
    assert Preprocessing(precision="bfloat16").tag == ":bfloat16"
    assert Preprocessing(hour="acquired").tag == ":hour-acquired"
    assert Preprocessing(latlon_order="latitude_first", hour="acquired").tag == ":latitude-first:hour-acquired"


def test_a_chip_is_prepared_from_the_bands_it_has_in_the_order_of_the_band_table() -> None:
    frames = {"nir": frame(2743, 256), "blue": frame(2914, 256), "red": None}
    chip = prepare_chip(frames, None, NOON, 15.7, 45.5, Preprocessing())
    assert [band.name for band in chip.bands] == ["blue", "nir"]
    assert [plane.mean() for plane in pixels_of({"nir": frame(2743, 256), "blue": frame(2914, 256)})] == [1, 0]


def test_chips_of_a_batch_are_each_normalised_as_numpy_does() -> None:
    chance = np.random.default_rng(1)
    stored = [
        {
            "green": chance.integers(0, 65_535, (256, 256), np.uint16),
            "swir16": chance.integers(0, 3, (128, 128), np.uint16),
        }
        for _ in range(3)
    ]
    hidden = np.zeros((256, 256), np.uint8)
    hidden[chance.random((256, 256)) < 0.1] = 255
    indices = [None, encode_array(hidden), encode_array(np.zeros((256, 256), np.uint8))]
    chips = [
        prepare_chip({name: encode_array(band) for name, band in one.items()}, index, NOON, 1, 2, Preprocessing())
        for one, index in zip(stored, indices, strict=True)
    ]
    together = normalised_pixels(chips, torch.device("cpu")).numpy()
    for number, one in enumerate(stored):
        for plane, name, mean, std in ((0, "green", 1355, 1757), (1, "swir16", 2388, 1470)):
            band = one[name] if name == "green" else np.kron(one[name], np.ones((2, 2), np.uint16))
            expected = np.where(band == 0, 0, (band.astype(np.float32) - np.float32(mean)) / np.float32(std))
            expected[(hidden == 255) & (number == 1)] = 0
            np.testing.assert_array_equal(together[number, plane], expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": {"blue": None}}, "the chip has no band"),
        ({"frames": {"blue": b"short"}}, "column blue: not a Blosc frame"),
        (
            {"frames": {"blue": frame(1, 128)}},
            "column blue: the frame holds 32768 bytes where 256 x 256 uint16 needs 131072",
        ),
        ({"frames": {"blue": frame(1, 256)[:-9]}}, "column blue"),
        ({"source_index": frame(1, 256)}, "column source_index: the frame holds 131072 bytes"),
        ({"acquired_at": None}, "acquired_at is null"),
        ({"longitude": None}, "longitude or latitude is null"),
        ({"longitude": float("nan")}, "are not coordinates in degrees"),
        ({"latitude": 91.0}, "are not coordinates in degrees"),
    ],
)
def test_a_bad_chip_is_refused_with_a_message(changes: dict[str, object], words: str) -> None:
    arguments = {
        "frames": {"blue": frame(1, 256)},
        "source_index": None,
        "acquired_at": NOON,
        "longitude": 15.7,
        "latitude": 45.5,
        "preprocessing": Preprocessing(),
    } | changes
    with pytest.raises(ValueError, match=words):
        prepare_chip(**arguments)  # type: ignore[arg-type]


def test_a_frame_that_claims_gigabytes_is_refused_before_it_is_unpacked() -> None:
    bomb = bytearray(frame(1, 256))
    bomb[4:8] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(ValueError, match="column blue: the frame holds"):
        pixels_of({"blue": bytes(bomb)})
