"""`chiplake doctor`: what is missing on this machine, the settings, and the functions of SQL."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings
from lakehouse.settings.listing import list_settings


def doctor_command() -> None:
    """Check that everything the pipeline needs is present, and list the settings and the functions of SQL."""
    from chiplake.doctor import examine
    from python_udfs.registry import all_functions

    console = Console()
    settings = get_settings()
    findings = examine(settings)
    for finding in findings:
        mark = "[green]ok[/]" if finding.is_good else "[red]bad[/]"
        console.print(mark, finding.subject, finding.detail, highlight=False)
    values = Table("setting", "value", "meaning", title="Settings")
    for setting in list_settings(settings):
        values.add_row(setting.variable, setting.value, setting.description)
    console.print(values)
    functions = Table("function", "arguments", "meaning", title="Python functions of SQL")
    for function in all_functions(settings.runtime):
        functions.add_row(function.name, function.arguments, function.doc)
    console.print(functions)
    if not all(finding.is_good for finding in findings):
        raise ChiplakeError("some checks failed, see above")
