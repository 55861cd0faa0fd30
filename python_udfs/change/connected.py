"""Groups of things that are connected, directly or by others: a scalar function of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

GROUPS: Final = "array<struct<member: string, group_id: string>>"


def connected_groups(pairs: Sequence[Any] | None) -> list[dict[str, str]]:
    """The group of each member of pairs: members are in one group if a chain of pairs connects them.

    Args:
        pairs: structs of two ids, in any order; null is no pair.

    Returns:
        Each member once, in order, with its group, named after the group's first member.
    """
    first: dict[str, str] = {}

    def group_of(member: str) -> str:
        while first.setdefault(member, member) != member:
            first[member] = first[first[member]]  # halves the chain for the next search
            member = first[member]
        return member

    for one, other in pairs if pairs is not None else []:
        lower, higher = sorted((group_of(one), group_of(other)))
        first[higher] = lower
    return [{"member": member, "group_id": group_of(member)} for member in sorted(first)]
