"""Run a job: `python scripts/run_job.py JOB [--start-date D] [--end-date D]`; the same as `chiplake run`."""

from __future__ import annotations

import sys

from chiplake.cli.main import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
