"""`chiplake ingest`: STAC items into the lake."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiplake.cli.options import Day, usage_errors
from chiplake.cli.progress import progress_bar
from chiplake.output import print_line, print_table
from ingestion.model import CONCURRENCY, OVERLAP, Filters, IngestRequest, IngestSummary
from ingestion.windows import midnight
from lakehouse.box import parse_box
from lakehouse.days import Days
from lakehouse.notices import notice
from lakehouse.settings import get_settings

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


def ingest_command(
    items: Annotated[
        Path | None,
        typer.Option(
            help="File of STAC items (JSON, NDJSON, also as .gz, stac-geoparquet), a folder of them, or a catalogue."
        ),
    ] = None,
    catalog: Annotated[str | None, typer.Option(help="http or https address of a static STAC catalogue.")] = None,
    api: Annotated[str | None, typer.Option(help="Root address of a STAC API.")] = None,
    collection: Annotated[
        str | None, typer.Option(help="STAC collection; for an API, the default is CHIPLAKE_STAC_COLLECTION.")
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="West,south,east,north in degrees; west > east crosses the antimeridian.")
    ] = None,
    aoi: Annotated[Path | None, typer.Option(help="GeoJSON file of the area of interest.")] = None,
    start_date: Day = None,
    end_date: Day = None,
    max_cloud: Annotated[float | None, typer.Option(min=0, max=100, help="Highest cloud cover, percent.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Highest number of items.")] = None,
    since_last: Annotated[
        bool,
        typer.Option("--since-last", help="Continue where the last such search ended, with an overlap."),
    ] = False,
    overlap_days: Annotated[
        int, typer.Option(min=0, max=3650, help="Overlap of --since-last for scenes that are published late, days.")
    ] = OVERLAP.days,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Most simultaneous requests to a server.")] = (
        CONCURRENCY
    ),
    allow_file_hrefs: Annotated[
        bool, typer.Option("--allow-file-hrefs", help="Allow local items to name local files outside their own folder.")
    ] = False,
) -> None:
    """Bring Sentinel-2 STAC items into the lake, from an API, a static catalogue or files."""
    if allow_file_hrefs and items is None:
        raise typer.BadParameter("it goes with --items", param_hint="--allow-file-hrefs")
    settings = get_settings()
    with usage_errors("--end-date"):
        days = Days(start_date, end_date)
    request = IngestRequest(
        items=_items(items, catalog, api),
        catalog=_address(catalog, "--catalog"),
        api=_address(api, "--api"),
        filters=Filters(
            area=_area(bbox, aoi),
            start=days.start_time,
            end=days.end_time,
            max_cloud=max_cloud,
            collection=collection or (settings.stac.collection if api else None),
        ),
        limit=limit,
        concurrency=concurrency,
        since_last=_since_last(since_last, api, start_date),
        overlap=timedelta(days=overlap_days),
        allow_file_hrefs=allow_file_hrefs,
    )
    from chiplake.scheduled_stage import scheduled_stage
    from ingestion.run import ingest  # imports PyIceberg
    from lakehouse.lake_record import meet_lake

    for difference in meet_lake(settings):
        notice(difference.line)
    with (
        scheduled_stage(settings, "ingest", days),
        progress_bar("Ingesting", limit) as show_progress,
    ):
        summary = ingest(request, settings, lambda so_far: show_progress("Ingesting", _done(so_far), limit))
    print_table(("items", "count"), summary_rows(summary), title="Ingest", numbers=("count",))
    if summary.searched_until is not None:
        print_line(f"this search is complete until {_shown(summary.searched_until)}")


def summary_rows(summary: IngestSummary) -> list[tuple[str, str]]:
    """Return the numbers of items by result."""
    lines = {"received": summary.received, "written": summary.written, "unchanged": summary.unchanged}
    optional = {
        "superseded by a newer version": summary.superseded,
        "outside the filters": summary.skipped,
        "repeated by the server": summary.repeated,
    }
    rejects = {f"rejected: {reason}": count for reason, count in summary.rejected.items()}
    lines |= {name: count for name, count in optional.items() if count} | {"rejected": summary.rejected_total}
    return [(name, str(count)) for name, count in (lines | rejects).items()]


def _items(items: Path | None, catalog: str | None, api: str | None) -> Path | None:
    if sum(source is not None for source in (items, catalog, api)) != 1:
        raise typer.BadParameter("give exactly one of the three", param_hint="--items / --catalog / --api")
    if items is not None and not items.exists():
        raise typer.BadParameter(f"{items} does not exist", param_hint="--items")
    return items


def _address(url: str | None, option: str) -> str | None:
    from ingestion.sources.urls import check_root_url

    with usage_errors(option):
        return None if url is None else check_root_url(url)


def _since_last(since_last: bool, api: str | None, start_date: date | None) -> bool:
    if since_last and api is None:
        raise typer.BadParameter("it goes with --api", param_hint="--since-last")
    if since_last and start_date is not None:
        raise typer.BadParameter("give one of them", param_hint="--since-last / --start-date")
    return since_last


def _area(bbox: str | None, aoi: Path | None) -> BaseGeometry | None:
    """Return the box, the area of interest, or their intersection."""
    box, area = _bbox_area(bbox), _aoi_area(aoi)
    if box is None or area is None:
        return area if box is None else box
    shared = box.intersection(area)
    if shared.is_empty:
        raise typer.BadParameter("the box and the area of interest do not overlap", param_hint="--bbox / --aoi")
    return shared


def _bbox_area(bbox: str | None) -> BaseGeometry | None:
    from ingestion.area import area_of_bbox

    try:
        return None if bbox is None else area_of_bbox(parse_box(bbox))
    except ValueError as error:
        raise typer.BadParameter(f"{bbox!r}: {error}", param_hint="--bbox") from error


def _aoi_area(aoi: Path | None) -> BaseGeometry | None:
    from ingestion.area import area_of_geojson

    if aoi is None:
        return None
    try:
        area = area_of_geojson(json.loads(aoi.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{aoi} cannot be read as GeoJSON: {error}", param_hint="--aoi") from error
    if area is None:
        raise typer.BadParameter(f"{aoi} has no geometry", param_hint="--aoi")
    return area


def _shown(time: datetime) -> str:
    """Format a time, UTC; midnight becomes the day that ends with it."""
    if time == midnight(time):
        return f"{time - timedelta(days=1):%Y-%m-%d}, included"
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _done(summary: IngestSummary) -> int:
    return summary.received - summary.skipped
