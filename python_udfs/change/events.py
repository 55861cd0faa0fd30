"""Which anomalies of a cell are events: patches that are unusual in the same way again, and touch each other.

States follow OPERA's alerts of disturbance (DIST-ALERT): first, provisional, confirmed, finished; and reverted for what
was not seen again. A state changes only with an observation of the event's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from python_udfs.change.anomaly import Evidence
from python_udfs.change.patches import PATCHES, SIDE
from python_udfs.change.rule import ChangeRule
from python_udfs.change.words import looks_like

State = Literal["first", "provisional", "confirmed", "finished", "reverted"]
PATCH_HA: Final = 0.64
_REMEMBERED: Final = 3  # earlier observations of a patch with which an anomaly is compared
_SEEN: Final = 0.5  # share of an event's patches that an observation must have judged to count
_NIR: Final = ("nir", "nir08")


@dataclass(frozen=True)
class Observation:
    """An acquisition of the cell with a judged patch."""

    acquired_at: datetime
    chip_id: str
    evidence: Evidence


@dataclass
class CellEvent:
    """An event of a cell, or its part in the cell. Patches are numbered by row from the north-west.

    Attributes:
        first_seen_at: acquisition that showed it first.
        provisional_at: acquisition that showed it again; None if none did.
        confirmed_at: acquisition that showed it often enough.
        last_seen_at: newest acquisition that showed it.
        ended_at: acquisition after which it is finished or reverted.
        observations_for: acquisitions that show it.
        observations_against: acquisitions since the first that judged its place and do not show it.
        score: largest score.
        looks_like: how its strongest patch differs.
        chip_id_before: newest chip, before the event, in which this patch was judged; None without such a chip.
        chip_id_after: chip with the largest score.
    """

    state: State
    first_seen_at: datetime
    last_seen_at: datetime
    patches: set[int]
    score: float
    looks_like: str
    chip_id_before: str | None
    chip_id_after: str
    provisional_at: datetime | None = None
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None
    observations_for: int = 1
    observations_against: int = 0
    quiet: int = field(default=0, repr=False)  # observations against it in a row

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None


def follow_cell(rule: ChangeRule, observations: Iterable[Observation]) -> list[CellEvent]:
    """Return the events of a cell, oldest first.

    Args:
        rule: the constants.
        observations: all of the cell, in any order.
    """
    follower = _Follower(rule)
    for one in sorted(observations, key=lambda one: (one.acquired_at, one.chip_id)):
        follower.add(one)
    return sorted(follower.events, key=lambda event: (event.first_seen_at, min(event.patches)))


class _Follower:
    """The events so far, and the last observations of each patch."""

    def __init__(self, rule: ChangeRule) -> None:
        self._rule = rule
        self._past: list[Observation] = []
        self._places: list[NDArray[np.int16]] = []  # (1024,) column of a patch in the evidence, -1 if it has none
        self._last = np.full((_REMEMBERED, PATCHES), -1)  # observations in which a patch was judged last, newest first
        self.events: list[CellEvent] = []

    def add(self, now: Observation) -> None:
        """Follow the events through one more observation."""
        again, since = self._seen_again(now.evidence)
        high = {int(patch): column for column, patch in enumerate(now.evidence.patch)}
        self._judge_open_events(now, high, again)
        self._join(now, again, since)
        self._notice(now, again)
        judged = now.evidence.judged
        self._last[:, judged] = np.vstack([np.full(int(judged.sum()), len(self._past)), self._last[:-1, judged]])
        place = np.full(PATCHES, -1, np.int16)
        place[now.evidence.patch] = np.arange(len(now.evidence.patch))
        self._past.append(now)
        self._places.append(place)

    def _seen_again(self, now: Evidence) -> tuple[dict[int, float], dict[int, int]]:
        """Return the patches that an earlier observation showed in the same way: their scores, and that observation."""
        scores = np.zeros((_REMEMBERED, len(now.patch)))
        for number in range(_REMEMBERED):
            earlier = self._last[number, now.patch]
            for index in np.unique(earlier[earlier >= 0]):
                columns = np.flatnonzero(earlier == index)
                scores[number, columns] = self._agreement(now, columns, int(index))
        newest = scores[:2].argmax(axis=0)
        strict = np.sort(scores, axis=0)[-2]
        score = np.where(_is_doubtful(self._rule, now), strict, scores[:2].max(axis=0))
        found = np.flatnonzero(score >= self._rule.min_score)
        return (
            {int(now.patch[one]): float(score[one]) for one in found},
            {int(now.patch[one]): int(self._last[newest[one], now.patch[one]]) for one in found},
        )

    def _agreement(self, now: Evidence, columns: NDArray[np.intp], index: int) -> NDArray[np.floating]:
        """Return the smaller score of some patches now and in an earlier observation, 0 if they differ in direction."""
        then = self._past[index].evidence
        place = self._places[index][now.patch[columns]]
        known = place >= 0
        agreement = np.zeros(len(columns))
        if then.bands != now.bands or not known.any():
            return agreement
        one, other = now.direction[:, columns[known]], then.direction[:, place[known]]
        lengths = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
        cosine = (one * other).sum(axis=0) / np.maximum(lengths, 1e-12)
        least = np.minimum(now.score[columns[known]], then.score[place[known]])
        agreement[known] = np.where(cosine >= self._rule.min_cosine, least, 0.0)
        return agreement

    def _judge_open_events(self, now: Observation, high: dict[int, int], again: dict[int, float]) -> None:
        least = self._rule.kept_score * self._rule.min_score
        for event in self.events:
            if not event.is_open:
                continue
            judged = [patch for patch in event.patches if now.evidence.judged[patch]]
            if len(judged) < _SEEN * len(event.patches):
                continue
            if event.state == "first":
                if not any(patch in again for patch in judged):  # else it becomes provisional (_join)
                    self._count_against(event, now, _REMEMBERED - 1)
                continue
            shown = sum(patch in high and now.evidence.score[high[patch]] >= least for patch in judged)
            if shown < _SEEN * len(judged):
                self._count_against(event, now, self._rule.quiet_observations)
                continue
            self._count_for(event, now)

    def _count_for(self, event: CellEvent, now: Observation) -> None:
        event.observations_for += 1
        event.quiet = 0
        event.last_seen_at = now.acquired_at
        if event.confirmed_at is None and event.observations_for >= self._rule.confirmations:
            event.state, event.confirmed_at = "confirmed", now.acquired_at

    def _count_against(self, event: CellEvent, now: Observation, most: int) -> None:
        event.observations_against += 1
        event.quiet += 1
        if event.quiet >= most:
            event.state = "reverted" if event.confirmed_at is None else "finished"
            event.ended_at = now.acquired_at

    def _join(self, now: Observation, again: dict[int, float], since: dict[int, int]) -> None:
        """Let patches that were seen again grow an open event that they touch, or be a new one."""
        for patches in components(again):
            touched = [
                event
                for event in self.events
                if event.is_open and event.state != "first" and _touch(event.patches, patches)
            ]
            if not touched and len(patches) * PATCH_HA < self._rule.min_area_ha:
                continue
            strongest = max(sorted(patches), key=again.__getitem__)
            first = min(since[patch] for patch in patches)
            new = self._event(now, strongest, patches, again[strongest], first)
            new.state, new.provisional_at, new.observations_for = "provisional", now.acquired_at, 2
            announced = [one for one in self.events if one.is_open and one.state == "first" and one.patches & patches]
            self.events = [one for one in self.events if one not in announced and one not in touched]
            self.events.append(_merged([*touched, new]))

    def _notice(self, now: Observation, again: dict[int, float]) -> None:
        """Note patches that are unusual for the first time."""
        taken = {patch for event in self.events if event.is_open for patch in event.patches}
        scores = {
            int(patch): float(score)
            for patch, score in zip(now.evidence.patch, now.evidence.score, strict=True)
            if score >= self._rule.min_score and patch not in taken and patch not in again
        }
        for patches in components(scores):
            if len(patches) * PATCH_HA >= self._rule.min_area_ha:
                strongest = max(sorted(patches), key=scores.__getitem__)
                self.events.append(self._event(now, strongest, patches, scores[strongest], len(self._past)))

    def _event(self, now: Observation, strongest: int, patches: set[int], score: float, first: int) -> CellEvent:
        """Return an event that begins with the observation of number `first`."""
        residual = now.evidence.residual[:, list(now.evidence.patch).index(strongest)]
        before = (one.chip_id for one in reversed(self._past[:first]) if one.evidence.judged[strongest])
        return CellEvent(
            state="first",
            first_seen_at=now.acquired_at if first == len(self._past) else self._past[first].acquired_at,
            last_seen_at=now.acquired_at,
            patches=set(patches),
            score=score,
            looks_like=looks_like(now.evidence.bands, residual),
            chip_id_before=next(before, None),
            chip_id_after=now.chip_id,
        )


def _is_doubtful(rule: ChangeRule, now: Evidence) -> NDArray[np.bool_]:
    """Return which patches may be under a shadow or a cloud that nobody marked: (n,)."""
    doubtful = np.zeros(len(now.patch), np.bool_)
    if "blue" not in now.bands:
        return doubtful
    blue = now.residual[now.bands.index("blue")]
    infrared = [now.residual[now.bands.index(name)] for name in _NIR if name in now.bands]
    is_cloud = blue > rule.cloud
    if infrared:
        is_cloud &= (infrared[0] > 0) & (blue > infrared[0])
    return np.asarray((blue < rule.shadow) | is_cloud)


def components(patches: Iterable[int]) -> list[set[int]]:
    """Return the groups of patches that touch each other, also at corners, by their first patch."""
    left = sorted(patches)
    remaining, found = set(left), []
    for start in left:
        if start not in remaining:
            continue
        remaining.remove(start)
        group, edge = {start}, [start]
        while edge:
            near = _neighbours(edge.pop()) & remaining
            remaining -= near
            group |= near
            edge.extend(near)
        found.append(group)
    return found


def _neighbours(patch: int) -> set[int]:
    row, column = divmod(patch, SIDE)
    return {
        r * SIDE + c
        for r in range(max(0, row - 1), min(SIDE, row + 2))
        for c in range(max(0, column - 1), min(SIDE, column + 2))
    }


def _touch(one: set[int], other: set[int]) -> bool:
    return any(_neighbours(patch) & one for patch in other)


def _merged(events: Sequence[CellEvent]) -> CellEvent:
    """Return one event of several that touch; it began with the first, and looks like the strongest."""
    if len(events) == 1:
        return events[0]
    oldest = min(events, key=lambda event: (event.first_seen_at, min(event.patches)))
    strongest = max(events, key=lambda event: (event.score, -min(event.patches)))
    confirmed = [event.confirmed_at for event in events if event.confirmed_at is not None]
    most = max(events, key=lambda event: (event.observations_for, -min(event.patches)))
    return CellEvent(
        state="confirmed" if confirmed else "provisional",
        first_seen_at=oldest.first_seen_at,
        last_seen_at=max(event.last_seen_at for event in events),
        patches=set().union(*(event.patches for event in events)),
        score=strongest.score,
        looks_like=strongest.looks_like,
        chip_id_before=strongest.chip_id_before,
        chip_id_after=strongest.chip_id_after,
        provisional_at=min(event.provisional_at for event in events if event.provisional_at is not None),
        confirmed_at=min(confirmed, default=None),
        observations_for=most.observations_for,
        observations_against=most.observations_against,
        quiet=min(event.quiet for event in events),
    )
