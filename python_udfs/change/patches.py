"""Features of the patches of a chip: the mean reflectance of each band over a patch's own valid pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_10M
from python_udfs.codec import decode_numbers, encode_array
from python_udfs.valid_pixels import BandPixels, Mask

PATCH: Final = 8  # pixels of 10 m a side
SIDE: Final = CHIP_PIXELS_10M // PATCH  # patches a side of a chip
PATCHES: Final = SIDE * SIDE
MAX_FRAME_BYTES: Final = 1 << 20  # of the frames of this package, unpacked
_STEPS: Final = 40_000  # steps of a stored feature in a reflectance of 1; the largest feature is 1.6


@dataclass(frozen=True)
class PatchFeatures:
    """What was seen of the patches of a chip in one acquisition, patches by row from the north-west.

    Attributes:
        bands: names of the bands, in the order of lakehouse.bands.
        features: (bands, 1024) float32, reflectance; NaN where a patch was not seen.
        share: (1024,) float32, share of a patch's pixels that were seen, 0 to 1.
    """

    bands: tuple[str, ...]
    features: NDArray[np.float32]
    share: NDArray[np.float32]

    def encode(self) -> bytes:
        """Return one Blosc frame of uint16: which bands there are, the features, the number of seen pixels."""
        steps = np.clip(np.rint(np.nan_to_num(self.features) * _STEPS), 0, 65535)
        parts = ([code_of_bands(self.bands)], steps.ravel(), self.share * PATCH**2)
        return encode_array(np.concatenate(parts).astype(np.uint16))

    @classmethod
    def decode(cls, frame: bytes) -> PatchFeatures:
        """Read a frame of `encode`.

        Raises:
            ValueError: the bytes are not a whole frame of patches.
        """
        stored = decode_numbers(frame, MAX_FRAME_BYTES)
        bands = bands_of_code(int(stored[0])) if len(stored) else ()
        if not bands or len(stored) != 1 + (len(bands) + 1) * PATCHES:
            raise ValueError(f"not a frame of patches: {len(stored)} numbers")
        rows = stored[1:].reshape(-1, PATCHES).astype(np.float32)
        share, features = rows[-1] / np.float32(PATCH**2), rows[:-1] / np.float32(_STEPS)
        features[:, share == 0] = np.nan
        return cls(bands, features, share)


def patch_features(bands: Mapping[str, BandPixels], counted: Mask) -> PatchFeatures:
    """Return the mean of each band over the counted pixels of each patch.

    Args:
        bands: band name to uint16 array, (256, 256) of a 10 m band, (128, 128) of a 20 m band, reflectance x 10,000.
        counted: (256, 256), pixels that the satellite saw; no band is nodata there.
    """
    names = tuple(name for name in BAND_NAMES if name in bands)
    fine = counted.astype(np.float32)
    coarse = fine.reshape(CHIP_PIXELS_10M // 2, 2, -1, 2).sum(axis=(1, 3))  # counted pixels of 10 m in one of 20 m
    number = _patch_sums(fine)
    sums = [_patch_sums(bands[name] * (fine if bands[name].shape == fine.shape else coarse)) for name in names]
    with np.errstate(invalid="ignore", divide="ignore"):
        features = np.stack(sums) / (number * np.float32(10_000))
    return PatchFeatures(names, features, number / np.float32(PATCH**2))


def _patch_sums(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the sum over each patch of an image of either resolution, (1024,)."""
    starts = np.arange(0, pixels.shape[0], pixels.shape[0] // SIDE)
    by_rows = np.add.reduceat(pixels, starts, axis=0)
    return np.asarray(np.add.reduceat(by_rows, starts, axis=1).ravel(), np.float32)


def code_of_bands(bands: Iterable[str]) -> int:
    """Return a number that says which bands there are: bit k is the k-th of lakehouse.bands."""
    return sum(1 << BAND_NAMES.index(name) for name in bands)


def bands_of_code(code: int) -> tuple[str, ...]:
    """Return the bands of `code_of_bands`; none for a number that it does not give."""
    return (
        tuple(name for place, name in enumerate(BAND_NAMES) if code >> place & 1) if code < 1 << len(BAND_NAMES) else ()
    )
