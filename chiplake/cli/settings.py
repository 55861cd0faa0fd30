"""`chiplake settings`: the settings that the lake was made with, beside those of this shell."""

from __future__ import annotations

from typing import Annotated

import typer

from chiplake.cli.options import AsJson
from chiplake.output import print_json, print_line, print_table
from lakehouse.settings import get_settings


def settings_command(
    record: Annotated[
        bool, typer.Option("--record", help="Make the settings of this shell those of the lake; no row changes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the settings of this shell with those that the lake was made with.

    The first run records them. Later runs report differences, and refuse to cut or embed without a box that was set.
    """
    from lakehouse.catalog import ensure_sources
    from lakehouse.lake_record import read_records, shaping_settings, write_record

    settings = get_settings()
    catalog = ensure_sources(settings)
    if record:
        write_record(catalog, settings)
    of_lake = read_records(catalog).get(settings.lake.target_schema, {})
    here = shaping_settings(settings)
    if as_json:
        print_json([{"setting": one.variable, "here": one.value, "lake": of_lake.get(one.name)} for one in here])
        return
    rows = []
    for one in here:
        recorded = of_lake.get(one.name)
        state = "" if recorded is None else "same" if recorded == one.value else "differs"
        rows.append((one.variable, one.value, "" if recorded is None else recorded, state))
    print_table(("setting", "here", "lake", ""), rows, title=f"Settings of schema {settings.lake.target_schema}")
    if not of_lake:
        print_line("nothing is recorded yet; the first run records the settings of its shell")
