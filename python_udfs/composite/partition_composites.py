"""Making the composites of a partition of the table, from data files that the task reads itself.

The frames of all chips of a composite are needed at once, and its dates lie in different files. So some composites are
made at a time, as many as have MAX_CHIPS chips: the task reads their chips file by file, and keeps the frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pyiceberg.io import FileIO

from python_udfs.codec import encode_layers
from python_udfs.composite.composite import composite_of
from python_udfs.composite.plan import Member
from python_udfs.composite.rule import CompositeRule
from python_udfs.fill.suspects import SUSPECT
from python_udfs.pixel_store.layers import Layers, own_layers, read_layers

MAX_CHIPS: Final = 768  # 384 MB of frames, half a megabyte a chip


def composites_of_partition(
    members: Sequence[Member], io: FileIO, max_chips: int = MAX_CHIPS
) -> Iterator[dict[str, Any]]:
    """Yield rows of fct_composites; columns that are left out are null.

    Args:
        members: the chips of the composites, in any order.
        io: of the lake.
        max_chips: chips whose frames may be in memory; a composite with more is made alone.

    Raises:
        MissingFileError: a file is gone, because the table was maintained since the plan was made.
        ValueError: a frame is damaged.
    """
    for batch in _batches(_by_composite(members), max_chips):
        layers: dict[Member, Layers] = {}
        by_file: dict[str, list[Member]] = {}
        for member in (member for of_composite in batch for member in of_composite):
            by_file.setdefault(member.file, []).append(member)
        for of_file in by_file.values():
            layers |= {member: own_layers(frames) for member, frames in read_layers(of_file, io)}
        for of_composite in batch:
            yield _row(of_composite, [layers.pop(member) for member in of_composite])


def _by_composite(members: Sequence[Member]) -> list[list[Member]]:
    """Return the chips of each composite, oldest first; composites in the order of their first chip's place."""
    found: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: (member.acquired_at, member.chip_id)):
        found.setdefault(member.composite["composite_id"], []).append(member)
    return sorted(found.values(), key=lambda of_composite: (of_composite[0].file, of_composite[0].position))


def _batches(composites: Sequence[list[Member]], max_chips: int) -> Iterator[list[list[Member]]]:
    batch: list[list[Member]] = []
    size = 0
    for of_composite in composites:
        if batch and size + len(of_composite) > max_chips:
            yield batch
            batch, size = [], 0
        batch.append(of_composite)
        size += len(of_composite)
    if batch:
        yield batch


def _row(members: Sequence[Member], layers: Sequence[Layers]) -> dict[str, Any]:
    columns = dict(members[0].composite)
    chips = [{**frames, SUSPECT: member.suspect} for member, frames in zip(members, layers, strict=True)]
    made = composite_of(chips, CompositeRule.model_validate_json(columns["rule_version"]))
    numbers = {} if made.source_number is None else {"source_number": made.source_number}
    return {
        **columns,
        **encode_layers({**made.bands, "observations": made.observations, **numbers}),
        "sources": [{"chip_id": one.chip_id, "acquired_at": one.acquired_at} for one in members],
        "complete_fraction": made.complete_fraction,
        "mean_observations": float(made.observations.mean()),
        "suspect_fraction": made.suspect_fraction,
    }
