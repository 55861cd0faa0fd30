"""The vocabulary of ingestion: what is asked for, what is read, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from shapely.geometry.base import BaseGeometry

JsonObject = dict[str, Any]

CONCURRENCY: Final = 4  # most requests to servers at the same time, unless told otherwise
PAGE_SIZE: Final = 100  # items asked of a server at once, unless told otherwise
OVERLAP: Final = timedelta(days=10)  # unless told otherwise
NO_COLLECTION: Final = "unknown"  # collection of an item that names none: a key column is never null


class Reason(StrEnum):
    """Why an item cannot be used. The words are part of the key of `raw.stac_rejects`: do not change them."""

    NOT_AN_ITEM = "not an item"
    INVALID_JSON = "invalid JSON"
    NO_ID = "no id"
    NOT_SENTINEL_2 = "not Sentinel-2"
    NOT_LEVEL_2A = "not level 2A"
    NO_DATETIME = "no datetime"
    NO_PROJECTION = "no projection"
    NO_SCL = "no scl asset"
    NO_BAND = "no band asset"
    UNSUPPORTED_HREF = "unsupported href scheme"
    OFF_LATTICE = "off-lattice transform"
    NO_GEOMETRY = "no usable geometry"
    NO_TILE = "no MGRS tile"
    NO_DATATAKE = "no datatake"
    IMPLAUSIBLE_RASTER = "implausible raster"


class GeometrySource(StrEnum):
    """What a footprint was taken from: the first of these that gives one which agrees with the raster grid."""

    GEOMETRY = "geometry"  # the item's own
    PROJ_GEOMETRY = "proj:geometry"
    GRID = "raster grid"  # proj:transform and proj:shape
    PROJ_BBOX = "proj:bbox"
    BBOX = "bbox"  # the item's own, degrees


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of the items that arrive are wanted. Applied here whatever a server did before."""

    area: BaseGeometry | None = None  # EPSG:4326, degrees; items whose footprint touches it
    start: datetime | None = None  # UTC, inclusive
    end: datetime | None = None  # UTC, exclusive
    max_cloud: float | None = None  # percent, inclusive; items of unknown cloud cover are not wanted
    collection: str | None = None  # items of other collections are not wanted; one that names none gets this


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """One run's input: exactly one of `items`, `catalog` and `api`."""

    items: Path | None = None  # file of items, static catalogue or stac-geoparquet, or a folder of such files
    catalog: str | None = None  # http or https address of a static catalogue's root
    api: str | None = None  # root address of a STAC API, http or https
    filters: Filters = Filters()
    limit: int | None = None  # most items taken, rejected ones included, items that were not wanted left out
    page_size: int = PAGE_SIZE  # items asked of a server at once
    concurrency: int = CONCURRENCY  # most requests to a server at the same time
    since_last: bool = False  # go on where the last search of this API ended; `filters.start` is then not given
    overlap: timedelta = OVERLAP  # how far `since_last` goes back, for scenes that were published late
    allow_file_hrefs: bool = False  # local items may name local files outside the folder they were read from


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item came from, which decides how its relative hrefs resolve."""

    source: str  # STAC API or file, as recorded in the tables
    folder: str | None = None  # absolute folder of the local file it was read from; None: from a server
    root: str | None = None  # absolute folder that local hrefs may not leave; None: that of the file
    is_own_file: bool = False  # the file is the item itself, so its folder outranks the item's self link
    url: str | None = None  # address of the document of a static catalogue it was, to which hrefs are relative
    allow_file_hrefs: bool = False  # local hrefs may lead anywhere on this machine

    @property
    def is_local(self) -> bool:
        """Whether the item was read from a local file, so that it may name other local files."""
        return self.folder is not None


@dataclass(frozen=True, slots=True)
class Received:
    """One thing that arrived, not yet looked at."""

    content: Any  # parsed JSON, or the text that could not be parsed
    place: str | None  # where it stood in its file, to name it where it has no id: "items.json#12"
    origin: Origin
    parse_error: str | None = None  # why the text could not be parsed


@dataclass(frozen=True, slots=True)
class Asset:
    """The raster of one band, fields as in `raw.stac_items.assets`."""

    href: str  # absolute URL, or absolute path of a local file
    media_type: str | None
    asset_key: str  # key of the asset in the item
    gsd: float  # pixel size, metres
    scale: float | None  # DN to reflectance
    offset: float | None  # reflectance
    nodata: float | None  # DN
    transform: tuple[float, ...] | None  # pixel width, 0, west edge, 0, minus pixel height, north edge: metres
    shape: tuple[int, int] | None  # rows, columns
    passed_over: tuple[str, ...]  # keys of the other assets of the band at native resolution


@dataclass(frozen=True, slots=True)
class StacItemRow:
    """One version of a usable item, fields as the columns of `raw.stac_items` but for `ingested_at`."""

    collection: str
    item_id: str
    content_hash: str  # SHA-256, hex, of all that decides about the row
    source: str
    acquired_at: datetime  # UTC
    updated_at: datetime | None  # UTC
    platform: str | None  # sentinel-2a
    mgrs_tile: str  # 33TWL
    product_id: str | None  # without .SAFE
    datatake_id: str  # S2A_20230815T095031
    datastrip_id: str | None
    datastrip_started_at: datetime | None  # UTC
    processing_baseline: str | None  # 05.09
    relative_orbit: int | None
    epsg: int  # of a UTM zone
    cloud_cover: float | None  # percent
    nodata_percent: float | None  # percent
    is_boa_offset_applied: bool | None
    geometry: bytes  # WKB, EPSG:4326
    geometry_source: str  # one of GeometrySource
    xmin: float  # degrees; the west edge, so more than xmax where the footprint crosses the antimeridian
    ymin: float  # degrees
    xmax: float  # degrees; the east edge
    ymax: float  # degrees
    assets: Mapping[str, Asset]  # by band name
    item: str  # canonical JSON without signatures and passwords
    drawn: Mapping[str, object] = field(default_factory=dict)  # further properties by column, as the settings ask

    @property
    def key(self) -> tuple[str, str]:
        """What names the item, whatever its version."""
        return self.collection, self.item_id


@dataclass(frozen=True, slots=True)
class Reject:
    """An item that cannot be used, fields as the columns of `raw.stac_rejects` but for `rejected_at`."""

    collection: str
    item_id: str
    reason: Reason
    detail: str
    source: str
    content_hash: str  # SHA-256 of what was received, hex
    item: str  # what was received

    @property
    def key(self) -> tuple[str, str, str]:
        """A reject is recorded once under this key."""
        return self.collection, self.item_id, self.reason.value


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What became of all that arrived: each item received is written, unchanged, superseded, skipped or rejected."""

    received: int = 0  # from a STAC API each item once, however often the server gives it
    repeated: int = 0  # times that a server gave an item again; in no other count
    written: int = 0  # new items, and new versions of known ones
    unchanged: int = 0  # the version is there already
    superseded: int = 0  # an older version than the one that is there, or that came in the same batch
    skipped: int = 0  # not wanted: outside area, dates, cloud limit or collection
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason, also those recorded by an earlier run
    # Up to when this search of an API is complete, UTC: where `since_last` goes on, but for the overlap.
    searched_until: datetime | None = field(default=None, compare=False)

    @property
    def rejected_total(self) -> int:
        """Rejected items, whatever the reason."""
        return sum(self.rejected.values())
