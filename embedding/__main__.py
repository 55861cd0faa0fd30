"""`python -m embedding serve …`: the inference server as a program of its own, in a container or a subprocess."""

from __future__ import annotations

import sys

from chiplake.errors import ChiplakeError
from embedding.commands import app

if __name__ == "__main__":
    try:
        app(prog_name="python -m embedding")
    except ChiplakeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
