"""How many instances a Spark job gets: one for so many scenes of its days, within bounds that Variables set."""

from __future__ import annotations

import json
import logging
import math
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final

_ANSWER_S: Final = 10.0  # longest time between two bytes of an answer
_WHOLE_ANSWER_S: Final = 30.0
_ANSWER_BYTES: Final = 4 * 2**20  # an item has some ten kB
_CHUNK_BYTES: Final = 64 * 2**10

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InstanceRule:
    """The Variables that decide the number of instances."""

    minimum: int = 1
    maximum: int = 1
    scenes_per_instance: int = 100  # some ten minutes of 16 cores that cut and fill whole scenes (docs/scale.md)

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ValueError: a number is below 1, or the least number of instances is above the largest.
        """
        if min(self.minimum, self.scenes_per_instance) < 1 or self.maximum < self.minimum:
            raise ValueError(
                "Variables chiplake_spark_min_instances, chiplake_spark_max_instances and chiplake_scenes_per_instance "
                f"are {self.minimum}, {self.maximum} and {self.scenes_per_instance}; they must be 1 or more, and the "
                "first at most the second"
            )

    @classmethod
    def from_variables(cls, read: Callable[[str], str | None]) -> InstanceRule:
        """Read the rule.

        Args:
            read: returns the value of a Variable, or None if it is not set.

        Raises:
            ValueError: a value is not a whole number, or out of bounds.
        """

        def number(name: str, default: int) -> int:
            text = read(name)
            try:
                return int(text) if text else default
            except ValueError:
                raise ValueError(f"Variable {name}: {text!r} is not a whole number") from None

        return cls(
            minimum=number("chiplake_spark_min_instances", cls.minimum),
            maximum=number("chiplake_spark_max_instances", cls.maximum),
            scenes_per_instance=number("chiplake_scenes_per_instance", cls.scenes_per_instance),
        )

    def instances(self, scenes: int | None) -> int:
        """Return the number of instances.

        Args:
            scenes: scenes of the job; None: unknown, which gives the least number of instances.
        """
        if scenes is None:
            return self.minimum
        wanted = math.ceil(scenes / self.scenes_per_instance)
        return min(max(wanted, self.minimum), self.maximum)


def choose_instances(search: SceneSearch, read: Callable[[str], str | None]) -> int:
    """Return the number of instances of a job. The API is asked only if the Variables leave a choice.

    Args:
        search: the scenes of the job.
        read: returns the value of a Variable, or None if it is not set.

    Raises:
        ValueError: a Variable has an impossible value.
    """
    rule = InstanceRule.from_variables(read)
    if rule.minimum == rule.maximum:
        return rule.minimum
    return rule.instances(count_scenes(search))


@dataclass(frozen=True)
class SceneSearch:
    """Which scenes of a STAC API to count, nearly as `chiplake ingest` searches them.

    Ingestion asks what an API can filter by; this always sends the limit of clouds as `query`.
    """

    api: str  # root address
    collection: str
    first_day: str  # YYYY-MM-DD, UTC, included
    last_day: str  # likewise
    bbox: str = ""  # west,south,east,north in degrees; empty: the whole world
    max_cloud: str = ""  # percent; empty: any

    def body(self) -> dict[str, Any]:
        """Return the body of the request.

        Raises:
            ValueError: the box or the cloud cover has a part that is not a number.
        """
        body: dict[str, Any] = {
            "limit": 1,
            "collections": [self.collection],
            "datetime": f"{self.first_day}T00:00:00Z/{self.last_day}T23:59:59.999999Z",
        }
        if self.bbox:
            body["bbox"] = [_number("chiplake_bbox", part) for part in self.bbox.split(",")]
        if self.max_cloud:
            body["query"] = {"eo:cloud_cover": {"lte": _number("chiplake_max_cloud", self.max_cloud)}}
        return body


def count_scenes(search: SceneSearch) -> int | None:
    """Ask a STAC API how many scenes a search finds.

    Returns:
        The number that the API reports; None, with a line in the log, if it reports none or cannot be asked.

    Raises:
        ValueError: the search has a part that is not a number, or the address is not one of http.
    """
    if not search.api.startswith(("http://", "https://")):
        raise ValueError(f"Variable chiplake_stac_api: {search.api!r} is not an http or https address")
    request = urllib.request.Request(  # noqa: S310 - checked above
        f"{search.api.rstrip('/')}/search",
        data=json.dumps(search.body()).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/geo+json, application/json"},
    )
    try:
        answer = json.loads(_answer(request))
    except (OSError, HTTPException, ValueError) as error:
        _log.warning("%s gave no count of scenes: %s: %s", search.api, type(error).__name__, error)
        return None
    count = _count_in(answer)
    if count is None:
        _log.warning("%s reports no count of scenes (numberMatched)", search.api)
    return count


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"Variable {name}: {text.strip()!r} is not a number") from None


def _answer(request: urllib.request.Request) -> bytes:
    """Return the body of an answer.

    Raises:
        ValueError: it is too large.
        OSError: the server refuses the request, or takes too long.
    """
    deadline = time.monotonic() + _WHOLE_ANSWER_S
    content = b""
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310 - the caller has checked it
        while chunk := answer.read1(_CHUNK_BYTES):
            content += chunk
            if len(content) > _ANSWER_BYTES:
                raise ValueError(f"its answer has more than {_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"its answer took longer than {_WHOLE_ANSWER_S:g} s")
    return content


def _count_in(answer: Any) -> int | None:
    """Return the number of matches of an answer: OGC's numberMatched, or that of the older context extension."""
    if not isinstance(answer, dict):
        return None
    context = answer.get("context")
    older = context.get("matched") if isinstance(context, dict) else None
    for count in (answer.get("numberMatched"), older):
        if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
            return count
    return None
