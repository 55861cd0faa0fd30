"""A box of longitudes and latitudes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def check_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return the box.

    Raises:
        ValueError: it is not a box on the globe.
    """
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise ValueError(
            f"{list(box)} is not a box of west, south, east, north in degrees: "
            "expected -180 <= west, east <= 180 and -90 <= south < north <= 90"
        )
    return box


def _check_count(numbers: Any) -> Any:
    if isinstance(numbers, list | tuple) and len(numbers) != 4:
        raise ValueError(f"expected four numbers west,south,east,north in degrees, found {len(numbers)}")
    return numbers


# West, south, east and north edge in degrees. A box that crosses 180° has its west edge east of its east edge.
BBox = Annotated[tuple[float, float, float, float], BeforeValidator(_check_count), AfterValidator(check_box)]


def crosses_180(box: BBox) -> bool:
    """Return whether a box crosses the meridian of 180 degrees."""
    west, _, east, _ = box
    return west > east


def parse_box(text: str) -> BBox:
    """Return the box of four numbers that are separated by commas or spaces.

    Raises:
        ValueError: the text is not a box on the globe, or the box has no width.
    """
    numbers = [float(part) for part in re.split(r"[,\s]+", text.strip())]
    if len(numbers) != 4:
        raise ValueError(f"expected four numbers, found {len(numbers)}")
    west, south, east, north = numbers
    if west == east:
        raise ValueError(f"{numbers} has no width")
    return check_box((west, south, east, north))
