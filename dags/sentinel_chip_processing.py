"""### Sentinel-2 scenes to chips, embeddings and change scores

A run takes in the scenes of its day, and of the ten days before it (Variable `chiplake_lookback_days`), as scenes may
be published late. Every stage does what is not done yet: a run that is repeated, retried or cleared ends in the same
tables, and one with nothing new writes nothing. One run at a time, as one at a time may write the lake.

A scene that cannot be read does not stop the others: its chips are rows with an `error`, the task that met them has a
**warning in its log**, and later runs try them again. Red is what needs a person.

By hand: *Trigger* with a first and a last day. Days of the past: `airflow backfill create`. Who is told of failures,
what is ingested and where: Variables, all listed in `dags/chiplake_airflow/variables.py`. Where the work runs, on this
machine, on a Spark Thrift server or on AWS: environment variable `CHIPLAKE_AIRFLOW_RUNTIME`.

The marts are assets, so that other DAGs can follow them: `chiplake.fct_chips`, `chiplake.fct_filled_chips`,
`chiplake.fct_chip_embeddings`, `chiplake.fct_chip_changes` ...
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable
from chiplake_airflow.callbacks import tell_of_failure, tell_of_success
from chiplake_airflow.days import MACROS
from chiplake_airflow.layout import SENTINEL_2A_LAUNCH, Layout
from chiplake_airflow.params import PARAMS
from chiplake_airflow.stages import runtime, weekly

layout = Layout.of_environment(os.environ)

with DAG(
    dag_id="sentinel_chip_processing",
    description="Sentinel-2 scenes to chips, embeddings and change scores",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=layout.start or SENTINEL_2A_LAUNCH,
    catchup=layout.start is not None,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    on_success_callback=tell_of_success,
    params=PARAMS,
    user_defined_macros=MACROS,
    tags=["chiplake", "sentinel-2", layout.runtime],
    default_args={
        "owner": layout.owner,
        "retries": layout.retries,
        "retry_delay": layout.retry_delay,
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": tell_of_failure,
    },
):
    work = runtime()
    (
        work.ingest()
        >> work.chip_extraction()
        >> work.temporal_merge()
        >> work.export()
        >> work.batch_transform()
        >> work.load()
        >> work.change_detection()
        >> work.tests_and_docs()
        >> weekly(work.maintain)
    )
