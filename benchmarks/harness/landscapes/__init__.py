"""Landscapes of one chip over some years, whose changes are known: made for the evaluation of change detection.

Nothing here is shared with the ground of the demo, so a rule that is fitted to one is not fitted to the other. Two
families differ in the parameters of the generator. Constants of a rule may be chosen on `tune`, never on `test`.
"""

from __future__ import annotations

from harness.landscapes.families import FAMILIES, HALVES, NUISANCES, Family, Nuisances
from harness.landscapes.folder import load, read_landscape, save
from harness.landscapes.landscape import Landscape, Truth
from harness.landscapes.make import make_landscape

__all__ = [
    "FAMILIES",
    "HALVES",
    "NUISANCES",
    "Family",
    "Landscape",
    "Nuisances",
    "Truth",
    "load",
    "make_landscape",
    "read_landscape",
    "save",
]
