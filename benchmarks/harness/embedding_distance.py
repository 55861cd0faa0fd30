"""How far the embedding of a filled chip is from that of the clear chip, by seeded encoders with untrained weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import combinations
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from embedding.model.card import Preprocessing
from embedding.model.encoder import KNOWN_SIZES
from embedding.model.inference import encode_chips
from embedding.model.preprocess import ChipInput, latlon_vector, time_vector
from embedding.model.weights import ClayModel, load_model, seeded_encoder
from harness.fills import EPOCH, METHODS, NONE, Bands, fills_of, of_band
from harness.holes import SIDE, Case
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES
from python_udfs.search.nearest import cosine_distances, direction_of

OTHER_CELL: Final = "clear chip of another cell"
DEMO: Final = "the demo's"

_OTHER_SEEDS: Final = (0, 1, 3)  # of encoders of the size of the demo's
_LONGITUDE, _LATITUDE = 15.7, 45.5  # of every chip, so that only its pixels count

Embedding = NDArray[np.float64]


@dataclass
class Distances:
    """Cosine distances of one encoder in one series, to the clear chip.

    Attributes:
        of_holes: for each hole, name of the method to the distance of the chip that it filled.
        clear: embedding of the clear chip by place and day.
    """

    of_holes: list[Mapping[str, float]] = field(default_factory=list)
    clear: dict[tuple[tuple[int, int], int], Embedding] = field(default_factory=dict)

    def of_none(self, method: str) -> float | None:
        """Return the mean distance of a method relative to that of `none` in the same holes; None without a hole.

        Args:
            method: one that fills, or OTHER_CELL for the clear chips of two cells on one day.
        """
        if method == OTHER_CELL:
            others = self._other_cells()
            return float(np.mean(others)) / self.none if others else None
        pairs = [(one[method], one[NONE]) for one in self.of_holes if method in one]
        return float(np.divide(*np.sum(pairs, axis=0))) if pairs else None

    def all_of_none(self) -> dict[str, float]:
        """Return the relative distance of each method, and of OTHER_CELL, where there is one."""
        found = {name: self.of_none(name) for name in (*METHODS[1:], OTHER_CELL)}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def none(self) -> float:
        """Mean distance of `none`."""
        return float(np.mean([one[NONE] for one in self.of_holes]))

    def _other_cells(self) -> list[float]:
        return [
            distance(embedding, other)
            for ((place, day), embedding), ((other_place, other_day), other) in combinations(self.clear.items(), 2)
            if day == other_day and is_apart(place, other_place)
        ]


def encoders() -> dict[str, ClayModel]:
    """Return seeded encoders by name, all with untrained weights: the demo's, other seeds, and a published size."""
    demo = load_model(None, Preprocessing())
    return {
        DEMO: demo,
        **{f"seed {seed}": replace(demo, encoder=seeded_encoder(seed=seed)) for seed in _OTHER_SEEDS},
        "tiny": replace(demo, encoder=seeded_encoder(KNOWN_SIZES["tiny"])),
    }


def embedding_distances(cases: Iterable[Case], models: Mapping[str, ClayModel]) -> dict[str, dict[str, Distances]]:
    """Embed each chip clear and filled by each method.

    Args:
        cases: holes.
        models: encoders by name.

    Returns:
        Name of the encoder, then series, to distances.
    """
    found: dict[str, dict[str, Distances]] = {name: defaultdict(Distances) for name in models}
    for case in cases:
        filled = {method: in_hole(case, bands) for method, bands in fills_of(case).items()}
        chips = [chip_input(bands, case.night.day) for bands in (case.truth, *filled.values())]
        for name, model in models.items():
            with one_thread():
                clear, *others = encode_chips(model, chips).astype(np.float64)
            of_series = found[name][case.series]
            of_series.clear[case.place, case.night.day] = clear
            of_series.of_holes.append(
                {method: distance(clear, other) for method, other in zip(filled, others, strict=True)}
            )
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Encode on one core: several threads wait for each other where other work keeps the cores busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_hole(case: Case, bands: Bands) -> Bands:
    """Return the clear chip with the filled pixels in that part of the hole whose truth is known."""
    return {
        name: np.where(of_band(~case.is_known, name), true, bands[name]).astype(np.uint16)
        for name, true in case.truth.items()
    }


def chip_input(bands: Bands, day: int) -> ChipInput:
    """Return what the encoder sees of a chip, all of whose zeros are missing pixels."""
    present = tuple(BAND_BY_NAME[name] for name in BAND_NAMES if name in bands)
    return ChipInput(
        bands=present,
        stored=tuple(np.ascontiguousarray(bands[band.name]) for band in present),
        missing=None,
        time=time_vector(EPOCH + timedelta(days=day)),
        latlon=latlon_vector(_LONGITUDE, _LATITUDE),
    )


def distance(one: Embedding, other: Embedding) -> float:
    """Return the cosine distance of two embeddings, as SQL does."""
    direction = direction_of(one)
    if direction is None:
        raise ValueError("an embedding without a direction")
    return float(cosine_distances(other[np.newaxis], direction)[0])


def is_apart(one: Sequence[int], other: Sequence[int]) -> bool:
    """Tell whether chips at two places have no pixel in common."""
    return any(abs(a - b) >= SIDE for a, b in zip(one, other, strict=True))


def distance_table(found: Mapping[str, Mapping[str, Distances]]) -> Table:
    """Return a table of distances relative to `none`: of the demo's encoder, and the least and the most of all."""
    columns = (*METHODS[1:], OTHER_CELL)
    table = Table("embedding, untrained weights", "holes", "distance of none", *(f"{one}, of none" for one in columns))
    for series, distances in found[DEMO].items():
        own, all_found = distances.all_of_none(), [one[series].all_of_none() for one in found.values()]
        cells = []
        for column in columns:
            of_all = [one[column] for one in all_found if column in one]
            cells.append(f"{own[column]:.3f} ({min(of_all):.3f} to {max(of_all):.3f})" if of_all else "")
        table.add_row(series, str(len(distances.of_holes)), f"{distances.none:.1e}", *cells)
    return table
