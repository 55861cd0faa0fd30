"""Synthetic archives of Sentinel-2 scenes, for the demo, tests and benchmarks: COGs and items with one planted change.

The scenes are windows of real MGRS tiles. Their items have the difficulties of real ones: every asset declares an
offset that is mostly applied already, tiles of one datatake overlap, and a swath ends inside a tile.
"""

from __future__ import annotations

from chiplake.synthetic.archive import Archive, PlantedChange, Scene, write_archive
from chiplake.synthetic.cog import write_cog
from chiplake.synthetic.spec import ArchiveSpec, Overpass, SwathEdge, TileWindow

__all__ = [
    "Archive",
    "ArchiveSpec",
    "Overpass",
    "PlantedChange",
    "Scene",
    "SwathEdge",
    "TileWindow",
    "write_archive",
    "write_cog",
]
