"""The command `chiplake ingest`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely
from support.faulty_stac_server import Item, serving
from support.ingests import write_items
from support.stac_items import make_item


def test_the_command_prints_a_table_of_outcomes(command: Callable[..., Any], tmp_path: Path) -> None:
    items = [*(make_item(number) for number in range(28)), make_item(0, platform="sentinel-1a") | {"id": "S1"}]
    path = write_items(tmp_path / "items.json", items)
    area = tmp_path / "area.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shapely.box(15, 45, 16, 46))}
    area.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    days = ("--start-date", "2023-08-01", "--end-date", "2023-08-05")
    result = command("--items", path, "--aoi", area, "--bbox", "15.5,45.5,15.6,45.6", *days, "--max-cloud", "3")
    assert result.exit_code == 0, result.output
    counts = dict(re.findall(r"^([\w:-]+(?: [\w-]+)*) {2,}(\d+)$", result.output, re.MULTILINE))
    # The end date is included, but the item of the fifth day has 4 % of clouds.
    assert (counts["received"], counts["written"], counts["rejected: not Sentinel-2"]) == ("29", "4", "1")
    assert counts["outside the filters"] == "24"


def test_the_command_continues_a_search_and_prints_its_progress(
    command: Callable[..., Any], usable_year: list[Item]
) -> None:
    with serving(usable_year[::20]) as server:
        dates = ("--start-date", "2023-01-01", "--end-date", "2023-01-31")
        result = command("--api", server.url, *dates, "--concurrency", "2")
        assert result.exit_code == 0, result.output
        assert "complete until 2023-01-31, included" in result.output
        result = command("--api", server.url, "--since-last", "--overlap-days", "0", "--end-date", "2023-02-28")
        assert result.exit_code == 0, result.output
    assert "complete until 2023-02-28, included" in result.output
    assert min(parameters["datetime"] for parameters in server.searches[-2:]) >= "2023-02"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--items", "{items}", "--api", "https://example.com"),
        ("--items", "{items}.missing"),
        ("--api", "file:///etc"),
        ("--items", "{items}", "--bbox", "1,2,3"),
        ("--items", "{items}", "--bbox", "a,b,c,d"),
        ("--items", "{items}", "--bbox", "0,10,1,9"),
        ("--items", "{items}", "--bbox", "0,nan,1,9"),
        ("--items", "{items}", "--start-date", "15.8.2023"),
        ("--items", "{items}", "--end-date", "2023-02-30"),
        ("--items", "{items}", "--start-date", "2023-08-02", "--end-date", "2023-08-01"),
        ("--items", "{items}", "--max-cloud", "101"),
        ("--items", "{items}", "--limit", "0"),
        ("--items", "{items}", "--aoi", "{items}.missing"),
    ],
)
def test_invalid_options_exit_with_2(command: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = write_items(tmp_path / "items.json", [make_item()])
    assert command(*(argument.format(items=path) for argument in arguments)).exit_code == 2
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--api", "https://example.com", "--catalog", "https://example.com"),
        ("--catalog", "file:///etc"),
        ("--api", "https://example.com", "--since-last", "--start-date", "2023-01-01"),
        ("--catalog", "https://example.com", "--since-last"),
        ("--api", "https://example.com", "--overlap-days", "-1"),
        ("--api", "https://example.com", "--concurrency", "0"),
        ("--api", "https://example.com", "--allow-file-hrefs"),
    ],
)
def test_contradictory_options_exit_with_2(
    command: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert command(*arguments).exit_code == 2
    assert not (tmp_path / "lake").exists()
