"""`chiplake serve`: a Spark Thrift server."""

from __future__ import annotations

from typing import Annotated

import typer

from chiplake.output import print_line
from lakehouse.settings import get_settings


def serve_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 10000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a Spark Thrift server with all functions, for `dbt --target thrift` and SQL clients."""
    from chiplake.serve import serve

    serve(
        get_settings(),
        host,
        port,
        lambda: print_line(f"ready: Spark Thrift server on {host}:{port}; stop it with Ctrl-C"),
    )
