"""The data classes of ingestion: the request, the items of a source, and the rows and rejects that they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ingestion.windows import Window

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

JsonObject = dict[str, Any]

# Defaults of a request.
CONCURRENCY: Final = 4  # most requests to servers at the same time
PAGE_SIZE: Final = 100  # items of one page of a search
OVERLAP: Final = timedelta(days=10)

NO_COLLECTION: Final = "unknown"  # collection of an item that names none, since a key column is never null


class Reason(StrEnum):
    """Why an item cannot be used. The values are part of the key of `raw.stac_rejects`: do not change them."""

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
    UNREADABLE_VALUE = "unreadable value"
    UNSUPPORTED_FORMAT = "unsupported raster format"


class GeometrySource(StrEnum):
    """The source of a footprint: the first of these whose footprint agrees with the raster grid."""

    GEOMETRY = "geometry"  # the item's own
    PROJ_GEOMETRY = "proj:geometry"
    GRID = "raster grid"  # proj:transform and proj:shape
    PROJ_BBOX = "proj:bbox"
    BBOX = "bbox"  # the item's own, degrees


@dataclass(frozen=True, slots=True)
class Filters:
    """Which items to ingest. Applied to every item received, even if a server has already filtered."""

    area: BaseGeometry | None = None  # EPSG:4326, degrees; footprints that touch it pass
    start: datetime | None = None  # UTC, inclusive
    end: datetime | None = None  # UTC, exclusive
    max_cloud: float | None = None  # percent, inclusive; items of unknown cloud cover do not pass
    collection: str | None = None  # only items of this collection, or of none, which get this one


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """The request of one call of `ingest`. Exactly one of `items`, `catalog` and `api` is given."""

    items: Path | None = None  # file of items, static catalogue or stac-geoparquet, or a folder of such files
    catalog: str | None = None  # http or https URL of the root of a static catalogue
    api: str | None = None  # http or https URL of the landing page of a STAC API
    filters: Filters = Filters()
    limit: int | None = None  # most items taken: rejected ones count, items outside the filters do not
    page_size: int = PAGE_SIZE  # items of one page of a search
    concurrency: int = CONCURRENCY  # most requests to a server at the same time
    since_last: bool = False  # start where the last search of this API ended, instead of at `filters.start`
    overlap: timedelta = OVERLAP  # how far `since_last` goes back, for scenes published late
    allow_file_hrefs: bool = False  # local items may lead to local files outside the folder that was read


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item was read, which decides how its relative hrefs resolve."""

    source: str  # URL of the STAC API or path of the file, as in the tables
    folder: str | None = None  # absolute path of the folder of its local file; None if it is from a server
    root: str | None = None  # absolute path of the folder that local hrefs may not leave; None: `folder`
    is_own_file: bool = False  # the file holds only this item, so hrefs are relative to it, not to the self link
    url: str | None = None  # URL of its document in a static catalogue, to which hrefs are relative
    allow_file_hrefs: bool = False  # local hrefs may leave `root`

    @property
    def is_local(self) -> bool:
        """Return whether the item was read from a local file. Only such items may lead to local files."""
        return self.folder is not None


@dataclass(frozen=True, slots=True)
class Received:
    """One entry of a source in the place of an item, not yet checked."""

    content: Any  # parsed JSON, or the text that could not be parsed
    place: str | None  # its position in its file, "items.json#12": the name of an item without id
    origin: Origin
    parse_error: str | None = None  # why the text could not be parsed


@dataclass(frozen=True, slots=True)
class SourceStep:
    """The items and windows that a source has returned since the step before."""

    received: tuple[Received, ...] = ()
    repeated: int = 0  # items that a STAC API returned again, not in `received`
    completed: Window | None = None  # a window of a search of which all items have been received


@dataclass(frozen=True, slots=True)
class Asset:
    """The raster of one layer. Its fields are those of `raw.stac_items.assets`."""

    href: str  # absolute URL, or absolute path of a local file
    media_type: str | None
    asset_key: str  # key of the asset in the item
    gsd: float  # pixel size, metres
    scale: float | None  # DN to reflectance
    offset: float | None  # reflectance
    nodata: float | None  # DN
    data_type: str | None  # of the pixels, lower case: uint16
    transform: tuple[float, ...] | None  # affine: pixel width, 0, west edge, 0, minus pixel height, north edge; metres
    shape: tuple[int, int] | None  # rows, columns
    passed_over: tuple[str, ...]  # keys of the band's other assets of native resolution


@dataclass(frozen=True, slots=True)
class StacItemRow:
    """One version of a usable item. Its fields are the columns of `raw.stac_items` except `ingested_at`."""

    collection: str
    item_id: str
    content_hash: str  # SHA-256, hex, of all that determines the row
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
    is_deprecated: bool | None  # its provider has withdrawn it
    geometry: bytes  # WKB, EPSG:4326
    geometry_source: str  # one of GeometrySource
    xmin: float  # degrees; the west edge, more than xmax if the footprint crosses the antimeridian
    ymin: float  # degrees
    xmax: float  # degrees; the east edge
    ymax: float  # degrees
    assets: Mapping[str, Asset]  # by band name
    item: str  # canonical JSON without signatures and passwords
    extra: Mapping[str, object] = field(default_factory=dict)  # further columns of the setting `stac_properties`

    @property
    def key(self) -> tuple[str, str]:
        """The key of the item, the same for all its versions."""
        return self.collection, self.item_id


@dataclass(frozen=True, slots=True)
class Reject:
    """An item that cannot be used. Its fields are the columns of `raw.stac_rejects` except `rejected_at`."""

    collection: str
    item_id: str
    reason: Reason
    detail: str
    source: str
    content_hash: str  # SHA-256, hex, of `item`
    item: str  # the text received, without signatures and passwords

    @property
    def key(self) -> tuple[str, str, str]:
        """The key under which a reject is recorded once."""
        return self.collection, self.item_id, self.reason.value


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """The outcome of an ingest. Each item received is written, unchanged, superseded, skipped or rejected."""

    received: int = 0  # items; one that a STAC API returns several times counts once
    repeated: int = 0  # repetitions of items by a STAC API; in no other count
    written: int = 0  # new items, and new versions of stored items
    unchanged: int = 0  # versions that are stored already
    superseded: int = 0  # versions older than the stored one, or than one of the same batch
    skipped: int = 0  # items outside the filters
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason; those that an earlier run recorded count too
    # The time up to which this search of an API is complete, UTC. `since_last` starts there, less the overlap.
    searched_until: datetime | None = field(default=None, compare=False)

    @property
    def rejected_total(self) -> int:
        """Rejected items of all reasons."""
        return sum(self.rejected.values())
