"""The prefixes of the bucket. Roles, lifecycle rules and Airflow Variables use these names."""

from __future__ import annotations

from typing import Final

WAREHOUSE: Final = "warehouse"  # Iceberg tables
TRANSFORM: Final = "transform"  # objects of chips and answers of batch transform jobs
MODELS: Final = "models"  # model data of the inference server, as `chiplake embed package` writes it
CHECKPOINTS: Final = "checkpoints"  # Clay checkpoints
CODE: Final = "code"  # run_job.py, which PySparkProcessor submits
PROJECT: Final = "project"  # the dbt project, for notebooks
DOCS: Final = "docs"  # dbt docs
SPARK_EVENTS: Final = "spark-events"  # event logs of Spark
AIRFLOW: Final = "airflow"  # dags/, single/ with the DAG of one file, and the startup script of managed Airflow

# A Clay checkpoint as it was published. The next deployment packs it.
RAW_CHECKPOINT: Final = f"{MODELS}/clay/v1.0/model.pth"
