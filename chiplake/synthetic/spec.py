"""What a synthetic archive contains: windows of MGRS tiles, passes of the satellites, and one planted change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from chiplake.synthetic.noise import Grid
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_SIZE_M

TILE_SIDE_M: Final = 109_800
LATTICE_M: Final = 20  # windows start on multiples of this, as real tiles do


@dataclass(frozen=True)
class TileWindow:
    """A rectangle of an MGRS tile; the archive's scenes contain only this part of the tile."""

    tile: str  # without T, such as 33TWL
    tile_west: int  # west edge of the whole tile, metres
    tile_north: int  # north edge of the whole tile, metres
    west: int  # west edge of the window, metres
    north: int  # north edge of the window, metres
    width: int  # metres
    height: int  # metres

    def __post_init__(self) -> None:
        """Refuse a window that does not lie on the tile and on its pixel lattice."""
        east, south = self.west + self.width, self.north - self.height
        inside = self.tile_west <= self.west < east <= self.tile_west + TILE_SIDE_M
        inside &= self.tile_north >= self.north > south >= self.tile_north - TILE_SIDE_M
        if not inside:
            raise ValueError(f"the window reaches out of tile {self.tile}")
        if any(edge % LATTICE_M for edge in (self.west, self.north, self.width, self.height)):
            raise ValueError(f"the window of tile {self.tile} is off the {LATTICE_M} m lattice")

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """West, south, east, north, metres."""
        return self.west, self.north - self.height, self.west + self.width, self.north


@dataclass(frozen=True)
class SwathEdge:
    """The east edge of the swath, a straight line; pixels east of it are nodata."""

    easting: float  # where it crosses the middle northing of the archive, metres
    tilt: float = 14.0  # clockwise from north, degrees: Sentinel-2 descends to the south-south-west


@dataclass(frozen=True)
class Overpass:
    """One datatake over all tiles."""

    day: date
    satellite: str  # A or B
    cloud_share: float  # of the archive's extent, 0 to 1
    cirrus_share: float = 0.0  # the same for thin cirrus
    clear_site: bool = True  # whether the planted change is free of clouds
    swath_edge: SwathEdge | None = None  # None: all tiles lie inside the swath
    offset_pending: tuple[str, ...] = ()  # tiles whose pixels still have the BOA offset added

    @property
    def platform(self) -> str:
        """STAC's name of the satellite, such as `sentinel-2a`."""
        return f"sentinel-2{self.satellite.lower()}"

    def at(self, time_of_day: timedelta) -> datetime:
        """Return a time of this day, UTC."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) + time_of_day


def _default_windows() -> tuple[TileWindow, ...]:
    return (
        TileWindow("33TWL", 499_980, 5_100_000, west=587_160, north=5_079_640, width=17_600, height=14_000),
        TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_079_640, width=16_900, height=14_000),
    )


def _default_passes() -> tuple[Overpass, ...]:
    return (
        Overpass(date(2023, 8, 5), "A", cloud_share=0.03),
        Overpass(date(2023, 8, 10), "B", cloud_share=0.17),
        Overpass(date(2023, 8, 15), "A", cloud_share=0.34, clear_site=False, offset_pending=("33TXL",)),
        Overpass(date(2023, 8, 20), "B", cloud_share=0.1, cirrus_share=0.05, swath_edge=SwathEdge(615_300)),
        Overpass(date(2023, 8, 25), "A", cloud_share=0.14),
    )


@dataclass(frozen=True)
class ArchiveSpec:
    """The contents of an archive. Equal specs give equal pixels."""

    seed: int = 7
    epsg: int = 32633
    windows: tuple[TileWindow, ...] = field(default_factory=_default_windows)
    passes: tuple[Overpass, ...] = field(default_factory=_default_passes)  # oldest first
    bands: tuple[str, ...] = BAND_NAMES
    block_size: int = 512  # of the COGs, pixels
    flooded_cell: tuple[int, int] | None = (231, 1981)  # col, row of the planted change; None: nothing changes
    flood_from: int = -1  # index of the first pass that sees it

    @classmethod
    def small(cls, seed: int = 7) -> ArchiveSpec:
        """Return two tiles of about 4 x 3 cells, all five dates, all bands: seconds through the whole pipeline."""
        passes = _default_passes()
        return cls(
            seed=seed,
            windows=(
                TileWindow("33TWL", 499_980, 5_100_000, west=594_480, north=5_074_980, width=9_000, height=6_600),
                TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_074_980, width=6_600, height=6_600),
            ),
            passes=(*passes[:3], replace(passes[3], swath_edge=SwathEdge(605_400)), passes[4]),
            block_size=256,
            flooded_cell=(233, 1980),
        )

    @classmethod
    def tiny(cls, seed: int = 7) -> ArchiveSpec:
        """Return two tiles of about 2 x 2 cells, three nearly clear dates, three bands: for tests of single steps."""
        return cls(
            seed=seed,
            windows=(
                TileWindow("33TWL", 499_980, 5_100_000, west=596_400, north=5_072_300, width=5_000, height=3_600),
                TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=5_072_300, width=3_600, height=3_600),
            ),
            passes=(
                Overpass(date(2023, 8, 5), "A", cloud_share=0.02),
                Overpass(date(2023, 8, 10), "B", cloud_share=0.15, offset_pending=("33TXL",), clear_site=False),
                Overpass(date(2023, 8, 15), "A", cloud_share=0.05, swath_edge=SwathEdge(602_900)),
            ),
            bands=("red", "nir", "swir16"),
            block_size=128,
            flooded_cell=(233, 1980),
        )

    def __post_init__(self) -> None:
        """Refuse unknown bands, passes out of order, and a planted change outside of the windows."""
        if unknown := [band for band in self.bands if band not in BAND_BY_NAME]:
            raise ValueError(f"unknown bands {unknown}")
        if sorted(self.passes, key=lambda overpass: overpass.day) != list(self.passes):
            raise ValueError("the passes are not in order of time")
        if self.flooded_cell is not None:
            west, south, east, north = self.extent
            col, row = (index * CHIP_SIZE_M for index in self.flooded_cell)
            if not (west <= col and col + 2 * CHIP_SIZE_M <= east and south <= row and row + CHIP_SIZE_M <= north):
                raise ValueError(f"cell {self.flooded_cell} and its eastern neighbour are not inside the archive")

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """West, south, east, north of all windows together, metres."""
        west, south, east, north = zip(*(window.extent for window in self.windows), strict=True)
        return min(west), min(south), max(east), max(north)

    @property
    def middle_northing(self) -> float:
        """The northing half way between south and north, metres."""
        return (self.extent[1] + self.extent[3]) / 2

    @property
    def grid(self) -> Grid:
        """The 10 m pixel grid over all windows."""
        west, south, east, north = self.extent
        return Grid(west, north, 10, rows=(north - south) // 10, cols=(east - west) // 10)

    @property
    def change_day(self) -> date | None:
        """The day of the first pass that sees the planted change."""
        return None if self.flooded_cell is None else self.passes[self.flood_from].day

    def is_flooded(self, overpass: Overpass) -> bool:
        """Return whether this pass sees the planted change."""
        return self.change_day is not None and overpass.day >= self.change_day

    def cell_ids(self) -> tuple[str, ...]:
        """Return the ids of the grid cells that the windows touch, sorted."""
        cells = set()
        for window in self.windows:
            west, south, east, north = window.extent
            for col in range(west // CHIP_SIZE_M, -(-east // CHIP_SIZE_M)):
                for row in range(south // CHIP_SIZE_M, -(-north // CHIP_SIZE_M)):
                    cells.add(f"{self.epsg}_{col}_{row}")
        return tuple(sorted(cells))
