"""What dbt builds in each of its stages: the same as the jobs of chiplake/jobs.py, which the DAG cannot import."""

from __future__ import annotations

from typing import Final

DBT_STAGES: Final = {
    "chip_extraction": "+fct_chips",
    "temporal_merge": "int_fill_inputs fct_filled_chips fct_chip_statistics",
    "change_detection": "source:raw.clay_embeddings fct_chip_embeddings int_chip_pairs fct_chip_changes",
}
