"""The embeddings nearest to a direction, exactly, by products in float32 that leave out what cannot be among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from python_udfs.search.vectors import Positions, Vectors

Floats = NDArray[np.float64]

NO_DISTANCE: Final = np.inf  # is further than any distance
_ROUNDING: Final = 2.0**-24  # of float32
# Squares of lengths for which float32 neither overflows nor loses small numbers. Other embeddings are always compared
# in float64.
_SAFE_SQUARES: Final = (1e-30, 1e30)


@dataclass(frozen=True)
class Found:
    """Rows and their cosine distances; NO_DISTANCE stands for null."""

    positions: Positions  # (n,)
    distances: Floats  # (n,)

    def nearest(self, k: int) -> Found:
        """Return the k nearest rows, and those that are as far as the k-th: a caller orders these by other columns."""
        if self.positions.size <= k:
            return self
        kept = self.distances <= self.kth(k)
        return Found(self.positions[kept], self.distances[kept])

    def kth(self, k: int) -> float:
        """Return the k-th smallest distance; NO_DISTANCE if there are fewer rows."""
        return _kth(self.distances, k)


NOTHING: Final = Found(np.empty(0, np.int64), np.empty(0, np.float64))


def joined(parts: list[Found]) -> Found:
    """Return the rows of all parts."""
    return Found(np.concatenate([part.positions for part in parts]), np.concatenate([part.distances for part in parts]))


def nearer(best: Found, vectors: Vectors, direction: Floats, k: int) -> Found:
    """Return the k nearest of the rows found before and of some more, with those as far as the k-th.

    Args:
        best: the nearest of the rows looked at before.
        vectors: more rows.
        direction: (dimension,) vector of length 1.
        k: at least 1.
    """
    numbers = vectors.numbers
    near = candidates(numbers, direction, k, best.kth(k))
    more = Found(vectors.positions[near], cosine_distances(numbers[near].astype(np.float64), direction))
    without = Found(vectors.without, np.full(vectors.without.size, NO_DISTANCE))
    return joined([best, more, without]).nearest(k)


def candidates(numbers: NDArray[Any], direction: Floats, k: int, bound: float) -> NDArray[np.bool_]:
    """Mark the rows that may be among the k nearest, and nearer than or as far as a bound. No such row is left out.

    A sum of n rounded products differs from the exact one by at most n roundings of the product of the lengths, in any
    order (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).

    Args:
        numbers: (n, dimension) embeddings of any numeric type.
        direction: (dimension,) vector of length 1.
        k: at least 1.
        bound: a distance.

    Returns:
        (n,) mask.
    """
    single = numbers.astype(np.float32, copy=False)
    with np.errstate(all="ignore"):
        products = np.einsum("ij,j->i", single, direction.astype(np.float32))
        squares = np.einsum("ij,ij->i", single, single)
        about = 1 - products.astype(np.float64) / np.sqrt(squares.astype(np.float64))
    safe = (squares > _SAFE_SQUARES[0]) & (squares < _SAFE_SQUARES[1])
    error = 2 * (numbers.shape[1] + 8) * _ROUNDING
    bound = min(bound, _kth(about[safe] + error, k))
    near: NDArray[np.bool_] = ~safe | (about - error <= bound)
    return near


def direction_of(embedding: Floats) -> Floats | None:
    """Divide an embedding by its length, to the last bit as macro l2_normalise.

    Args:
        embedding: (dimension,) numbers, at least 1.

    Returns:
        (dimension,) vector of length 1; None if the embedding is all zero or not finite.
    """
    with np.errstate(all="ignore"):
        length = np.sqrt(np.cumsum(embedding * embedding)[-1])
    return embedding / length if 0 < length < np.inf else None


def cosine_distances(numbers: Floats, direction: Floats) -> Floats:
    """Return cosine distances, to the last bit as SQL does: sums run from the first number to the last.

    Equal embeddings therefore have equal distances, wherever they stand.

    Args:
        numbers: (n, dimension) embeddings.
        direction: (dimension,) vector of length 1.

    Returns:
        (n,) distances; NO_DISTANCE if an embedding is all zero or not finite.
    """
    with np.errstate(all="ignore"):
        products = np.cumsum(numbers * direction, axis=1)[:, -1]
        squares = np.cumsum(numbers * numbers, axis=1)[:, -1]
        distances = 1 - products / np.sqrt(squares)
    return np.where(np.isfinite(distances), distances, NO_DISTANCE)


def _kth(distances: Floats, k: int) -> float:
    return float(np.partition(distances, k - 1)[k - 1]) if distances.size >= k else NO_DISTANCE
