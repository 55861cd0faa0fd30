"""What a job would do, read from the lake by PyIceberg: nothing is started and nothing is written.

`scenes` finds the scenes that are not planned yet, `chips` the chips and pairs that each job would compute, `speed` how
long that takes and how many bytes a row has, and `run` adds them up.
"""

from __future__ import annotations

from chiplake.estimate.model import Certainty, Estimate, StageEstimate
from chiplake.estimate.run import estimate_job

__all__ = ["Certainty", "Estimate", "StageEstimate", "estimate_job"]
