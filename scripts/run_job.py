"""Run a job, as `chiplake run` does: `python scripts/run_job.py JOB [--start-date DAY] [--end-date DAY]`."""

from __future__ import annotations

import sys

from chiplake.cli.main import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
