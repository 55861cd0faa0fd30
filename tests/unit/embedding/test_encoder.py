"""The encoder gives the results of Clay's own encoder, on any set of bands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from embedding.model.card import Preprocessing
from embedding.model.encoder import (
    KNOWN_SIZES,
    ClayEncoder,
    EncoderSize,
    position_codes,
    size_of_state,
    wavelength_codes,
)
from embedding.model.weights import ClayModel, load_model, seeded_encoder

CASES = {"ten_bands": list(range(10)), "four_bands": [0, 1, 2, 6], "zero_metadata": list(range(10))}


@pytest.fixture(scope="module")
def original(sample_data: Path) -> dict[str, NDArray[Any]]:
    """Inputs, and the outputs of the original encoder."""
    with np.load(sample_data / "clay" / "encoder-48-cases.npz") as cases:
        return dict(cases)


@pytest.fixture(scope="module")
def model(sample_data: Path) -> ClayModel:
    return load_model(sample_data / "clay" / "encoder-48.ckpt", Preprocessing())


@pytest.mark.parametrize("case", CASES)
def test_tokens_match_the_original_encoder(case: str, model: ClayModel, original: dict[str, NDArray[Any]]) -> None:
    bands = CASES[case]
    mean, std = original["mean"][bands, None, None], original["std"][bands, None, None]
    pixels = (original["dn"][:, bands].astype(np.float32) - mean) / std

    with torch.inference_mode():
        tokens = model.encoder(
            torch.from_numpy(pixels),
            torch.from_numpy(original["waves"][bands]),
            torch.from_numpy(original[f"{case}_time"]),
            torch.from_numpy(original[f"{case}_latlon"]),
        ).numpy()

    assert tokens.shape == (2, 1 + 32 * 32, 48)
    np.testing.assert_allclose(tokens[:, 0], original[f"{case}_cls"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(tokens[:, 1:].mean(axis=1), original[f"{case}_patch_mean"], rtol=0, atol=1e-5)


def test_a_chip_gets_the_same_embedding_alone_and_in_a_batch() -> None:
    encoder = seeded_encoder()
    pixels = torch.rand(3, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    waves, zeros = torch.tensor([0.493, 0.842]), torch.zeros(3, 4)
    together = encoder(pixels, waves, zeros, zeros)
    alone = encoder(pixels[1:2], waves, zeros[:1], zeros[:1])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


def test_bands_may_come_in_any_order() -> None:
    encoder = seeded_encoder()
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    waves, zeros = torch.tensor([0.493, 0.56, 2.19]), torch.zeros(1, 4)
    order = [2, 0, 1]
    torch.testing.assert_close(
        encoder(pixels, waves, zeros, zeros), encoder(pixels[:, order], waves[order], zeros, zeros), rtol=0, atol=1e-5
    )


def test_wavelength_codes_are_sines_then_cosines() -> None:
    codes = wavelength_codes(torch.tensor([0.5]))[0]
    assert codes.shape == (128,)
    assert codes[0].item() == pytest.approx(math.sin(0.5))
    assert codes[64].item() == pytest.approx(math.cos(0.5))
    assert codes[63].item() == pytest.approx(math.sin(0.5 / 10_000))


def test_position_codes_are_column_then_row_scaled_by_the_pixel_size() -> None:
    codes = position_codes(2, 3, dim=40, gsd=10.0)
    place = codes[1 * 3 + 2]  # row 1, column 2
    assert place[0].item() == pytest.approx(math.sin(20), abs=1e-6)
    assert place[10].item() == pytest.approx(math.cos(20), abs=1e-6)
    assert place[20].item() == pytest.approx(math.sin(10), abs=1e-6)
    assert place[9].item() == pytest.approx(math.sin(20 * 10_000 ** (-2 / 40)), abs=1e-5)


@pytest.mark.parametrize("name", KNOWN_SIZES)
def test_published_sizes_are_known_by_their_shapes(name: str) -> None:
    size = KNOWN_SIZES[name]
    with torch.device("meta"):
        state = ClayEncoder(size).state_dict()
    assert len(state) == 25 + 10 * size.depth
    assert size_of_state(state) == size


@pytest.mark.parametrize("dim", [8, 50])
def test_a_length_that_four_blocks_do_not_divide_is_refused(dim: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        EncoderSize(dim=dim, depth=1, heads=1, dim_head=8, mlp_dim=8)
