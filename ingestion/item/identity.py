"""The identity of a scene: product, datatake, datastrip, tile, orbit, processing baseline, mission and level."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ingestion.item.providers import (
    BASELINE,
    BASELINE_OR_SOFTWARE,
    DATASTRIP,
    DATATAKE,
    PLATFORM,
    PRODUCT_NAME,
    PRODUCT_TYPE,
    RELATIVE_ORBIT,
    TILE,
    TILE_PARTS,
)
from ingestion.item.rejection import RejectedError
from ingestion.item.stated import unreadable
from ingestion.item.values import as_text, first_integer, first_text, parse_compact_time
from ingestion.model import Reason

_PRODUCT: Final = re.compile(r"(S2[A-Z])_MSI(L\w\w)_(\d{8}T\d{6})_")
# What holds a product may be named instead: its folder, with a path, or an archive of it.
_PRODUCT_NAME: Final = re.compile(
    rf"(?:.*/)?({_PRODUCT.pattern}[^/]*?)(?:\.SAFE)?(?:\.(?:zip|tar|tgz|tar\.gz))?/?", re.IGNORECASE
)
_PRODUCT_BASELINE: Final = re.compile(r"_N(\d\d)\.?(\d\d)(?:_|\.|$)")
_DATATAKE: Final = re.compile(r"G?(S2[A-Z])_(\d{8}T\d{6})")
_DATASTRIP: Final = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")
# Collection 1 of Earth Search writes the start of the datastrip into the id of an item.
_C1_ID: Final = re.compile(r"S2[A-Z]_T\d\d[A-Z]{3}_(\d{8}T\d{6})_L2A")
_SATELLITE: Final = re.compile(r"(?:sentinel[- _]?|s)2[- _]?([a-z])(?![a-z0-9])", re.IGNORECASE)
_SENTINEL_2: Final = re.compile(r"(?:sentinel[- _]?|s)2(?:[- _]?[a-z])?(?![a-z0-9])", re.IGNORECASE)
_LEVEL: Final = re.compile(r"(?:L|MSI|^)(1A|1B|1C|2A)", re.IGNORECASE)
_RELATIVE_ORBIT: Final = re.compile(r"_R(\d{3})_")
_BASELINE: Final = re.compile(r"N?(\d\d)\.?(\d\d)", re.IGNORECASE)
_BASELINE_AS_NUMBER: Final = re.compile(r"(\d{1,2})(?:\.(\d\d|[012]))?")  # 5.1 is 05.10, and 5 is 05.00
_BASELINE_IN_FULL: Final = re.compile(r"N(\d\d)\.?(\d\d)|(\d\d)\.(\d\d)", re.IGNORECASE)
_TILE: Final = re.compile(r"(?:MGRS-|.*_)?T?(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?:_.*)?")


def product_name(properties: Mapping[str, Any], item_id: str) -> str | None:
    """Return the name of the ESA product without path and `.SAFE`, from a property or from the id."""
    for candidate in (*(as_text(properties.get(name)) for name in PRODUCT_NAME), item_id):
        match = _PRODUCT_NAME.fullmatch(candidate.strip()) if candidate is not None else None
        if match is not None:
            return match[1].upper()
    return None


def mgrs_tile(properties: Mapping[str, Any], product: str | None, item_id: str) -> str | None:
    """Return the MGRS tile as `33TWL`: two digits, without the prefixes `T` and `MGRS-`."""
    parts = ("".join(str(properties.get(name, "")) for name in names) for names in TILE_PARTS)
    for candidate in (*(as_text(properties.get(name)) for name in TILE), *parts, product, item_id):
        match = _TILE.fullmatch(candidate) if candidate else None
        if match is not None:
            return match[1].zfill(2) + match[2]
    return None


def datatake_id(
    properties: Mapping[str, Any], product: str | None, platform: str | None, acquired_at: datetime
) -> str | None:
    """Return satellite and start of the datatake, `S2A_20230815T095031`, equal for all its tiles and baselines.

    An item that states neither datatake nor product gets its satellite and its own acquisition time.
    """
    for candidate in (first_text(properties, DATATAKE), product and product.replace("_MSIL2A_", "_")):
        match = _DATATAKE.match(candidate) if candidate else None
        if match is not None:
            return f"{match[1]}_{match[2]}"
    satellite = _SATELLITE.search(platform) if platform else None
    return f"S2{satellite[1].upper()}_{acquired_at:%Y%m%dT%H%M%S}" if satellite else None


def datastrip_start(datastrip: str | None, item_id: str) -> datetime | None:
    """Return the sensing start of the datastrip, UTC, which distinguishes the two parts of a split pass."""
    match = (_DATASTRIP.search(datastrip) if datastrip else None) or _C1_ID.fullmatch(item_id)
    return parse_compact_time(match[1]) if match else None


def processing_baseline(properties: Mapping[str, Any], product: str | None) -> str | None:
    """Return the processing baseline as `05.09`.

    The product's own name decides. Without one the item's properties do, then the names of datatake and datastrip, and
    last `processing:version`, if it has the form of a baseline: it may be the version of the software.

    Raises:
        RejectedError: no name decides, and a property cannot be understood, or two statements contradict each other
            about the offset.
    """
    named = _baseline_in(product)
    if named is not None:
        return named
    stated = {name: _stated_baseline(name, properties[name]) for name in BASELINE if properties.get(name) is not None}
    names = (*DATATAKE, *DATASTRIP)
    stated |= {name: found for name in names if (found := _baseline_in(as_text(properties.get(name)))) is not None}
    if not stated:
        versions = (as_text(properties.get(name)) for name in BASELINE_OR_SOFTWARE)
        matches = (_BASELINE_IN_FULL.fullmatch(version) for version in versions if version)
        return next((".".join(filter(None, match.groups())) for match in matches if match), None)
    official = {name: baseline for name, baseline in stated.items() if not _is_of_a_user(baseline)}
    if len({baseline >= "04.00" for baseline in official.values()}) > 1:
        detail = ", ".join(f"{name} says processing baseline {baseline}" for name, baseline in official.items())
        raise RejectedError(Reason.UNREADABLE_VALUE, detail)
    return next(iter(stated.values()))


def _baseline_in(name: str | None) -> str | None:
    """Return the baseline that a name of a product, datatake or datastrip holds."""
    match = _PRODUCT_BASELINE.search(name) if name else None
    return f"{match[1]}.{match[2]}" if match else None


def _stated_baseline(name: str, value: object) -> str:
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    match = _BASELINE.fullmatch(text) or _BASELINE_AS_NUMBER.fullmatch(text)
    if match is None:
        raise unreadable(name, value, "a processing baseline such as 05.09")
    return f"{match[1].zfill(2)}.{(match[2] or '').ljust(2, '0')}"


def _is_of_a_user(baseline: str) -> bool:
    """Return whether Sen2Cor wrote the baseline where a user ran it: 99.99, which says nothing about an offset."""
    return baseline.startswith("99.")


def relative_orbit(properties: Mapping[str, Any], product: str | None) -> int | None:
    """Return the relative orbit number, 1 to 143, from a property or from the product name."""
    orbit = first_integer(properties, RELATIVE_ORBIT)
    match = _RELATIVE_ORBIT.search(product) if product else None
    return orbit if orbit is not None or match is None else int(match[1])


def satellite_platform(properties: Mapping[str, Any], product: str | None, item_id: str) -> str | None:
    """Return the satellite as `sentinel-2a`, or the item's platform in lower case if it is of another mission."""
    platform = first_text(properties, PLATFORM)
    if platform and _SENTINEL_2.match(platform) is None:
        return platform.lower()  # another mission, even if the id looks like Sentinel-2
    for candidate in (platform, product, item_id):
        match = _SATELLITE.match(candidate) if candidate else None
        if match is not None:
            return f"sentinel-2{match[1].lower()}"
    return platform.lower() if platform else None


def check_mission(properties: Mapping[str, Any], platform: str | None, item_id: str) -> None:
    """Check that the item is of Sentinel-2.

    Raises:
        RejectedError: platform, constellation or id names another mission.
    """
    mission = platform or as_text(properties.get("constellation")) or item_id
    if _SENTINEL_2.match(mission) is None:
        raise RejectedError(Reason.NOT_SENTINEL_2, f"platform or id is {mission!r}")


def check_level(properties: Mapping[str, Any], product: str | None, item_id: str, collection: str | None) -> None:
    """Check that the item is of processing level 2A.

    Raises:
        RejectedError: the item states another level, or no level.
    """
    named = _PRODUCT.match(product) if product else None
    candidates = [
        *(as_text(properties.get(name)) for name in PRODUCT_TYPE),
        named and named[2],
        item_id,
        collection,
    ]
    for candidate in candidates:
        level = _LEVEL.search(candidate) if candidate else None
        if level is None:
            continue
        if level[1].upper() == "2A":
            return
        raise RejectedError(Reason.NOT_LEVEL_2A, f"level {level[1].upper()} according to {candidate!r}")
    raise RejectedError(Reason.NOT_LEVEL_2A, "no product type, product name or id states the level")
