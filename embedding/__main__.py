"""`python -m embedding serve …`: run only the inference server, in a container or a subprocess."""

from __future__ import annotations

import sys

import typer

from embedding.server.command import serve_command
from lakehouse.errors import ChiplakeError

app = typer.Typer(add_completion=False)
app.command("serve")(serve_command)


@app.callback()
def program() -> None:
    """The inference server of Clay."""  # with one command and no callback, typer would drop the name `serve`


if __name__ == "__main__":
    try:
        app(prog_name="python -m embedding")
    except ChiplakeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
