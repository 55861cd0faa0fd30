"""`chiplake doctor`: what is missing on this machine, the settings, and the functions of SQL."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from chiplake.cli.options import AsJson
from chiplake.output import print_json, print_table
from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings
from lakehouse.settings.listing import list_settings


def doctor_command(as_json: AsJson = False) -> None:
    """Check that everything the pipeline needs is present, and list the settings and the functions of SQL.

    Beside a setting of this shell is the value that the lake was made with.
    """
    from chiplake.doctor import examine
    from python_udfs.registry import all_functions

    settings = get_settings()
    examination = examine(settings)
    findings, of_lake = examination.findings, examination.lake_settings
    listed = list_settings(settings)
    functions = all_functions(settings.runtime)
    if as_json:
        print_json(
            {
                "findings": [asdict(finding) for finding in findings],
                "settings": [asdict(one) | {"lake": of_lake.get(one.name)} for one in listed],
                "functions": [{"name": one.name, "arguments": one.arguments, "meaning": one.doc} for one in functions],
            }
        )
    else:
        checks = [
            (one.subject, Text("ok", "green") if one.is_good else Text("bad", "red"), one.detail) for one in findings
        ]
        print_table(("check", "result", "detail"), checks, title="Checks")
        print_table(
            ("setting", "value", "lake", "meaning"),
            [(one.variable, one.value, of_lake.get(one.name, ""), one.description) for one in listed],
            title="Settings",
        )
        print_table(
            ("function", "arguments", "meaning"),
            [(one.name, one.arguments, one.doc) for one in functions],
            title="Python functions of SQL",
        )
    bad = [finding for finding in findings if not finding.is_good]
    if bad:
        raise ChiplakeError(f"{len(bad)} checks failed, first {bad[0].subject}: {bad[0].detail}")
