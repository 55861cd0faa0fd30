"""A box of longitudes and latitudes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _on_earth(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise ValueError(f"{list(box)} is no box of west, south, east, north in degrees")
    return box


# West, south, east, north in degrees; a box that crosses 180° has its west edge east of its east edge.
BBox = Annotated[tuple[float, float, float, float], AfterValidator(_on_earth)]
