"""### Sentinel-2 scenes to chips, embeddings and change scores

A run covers the scenes of its day and of the ten days before it (Variable `chiplake_lookback_days`), as scenes may be
published late. Every stage does what is not done yet: a run that is repeated, retried or cleared ends in the same
tables, and a run with nothing new writes nothing. Runs follow one another, as only one may write the lake at a time.

A scene that cannot be read does not stop the others: its chips are rows with an `error`, the task has a **warning in
its log**, and later runs try them again. A red task needs a person.

By hand: *Trigger* with a first and a last day. Past days: `airflow backfill create`. Variables name the source of the
scenes and the receivers of notices; `dags/chiplake_airflow/variables.py` lists them all. The environment variable
`CHIPLAKE_AIRFLOW_RUNTIME` says where the jobs run: on this machine, on a Spark Thrift server or on AWS.

The marts are assets, so that other DAGs can follow them: `chiplake.fct_chips`, `chiplake.fct_filled_chips`,
`chiplake.fct_chip_embeddings`, `chiplake.fct_chip_changes` ...
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable
from chiplake_airflow.alerts import notify_of_failure, notify_of_success, notify_of_timeout
from chiplake_airflow.days import MACROS
from chiplake_airflow.environment import SENTINEL_2A_LAUNCH, Environment
from chiplake_airflow.maintenance import weekly
from chiplake_airflow.params import PARAMS
from chiplake_airflow.runtimes import make_runtime

environment = Environment.read(os.environ)

with DAG(
    dag_id="sentinel_chip_processing",
    description="Sentinel-2 scenes to chips, embeddings and change scores",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=environment.start or SENTINEL_2A_LAUNCH,
    catchup=environment.start is not None,
    max_active_runs=1,
    dagrun_timeout=environment.longest_run,
    on_success_callback=notify_of_success,
    on_failure_callback=notify_of_timeout,
    params=PARAMS,
    user_defined_macros=MACROS,
    tags=["chiplake", "sentinel-2", environment.runtime],
    default_args={
        "owner": environment.owner,
        "retries": environment.retries,
        "retry_delay": environment.retry_delay,
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
        "execution_timeout": environment.longest_task,
        "on_failure_callback": notify_of_failure,
    },
):
    runtime = make_runtime(environment)
    (
        runtime.before_encoder()  # ingest, chip_extraction, temporal_merge, export
        >> runtime.batch_transform()
        >> runtime.after_encoder()  # load, change_detection, tests, freshness, operations
        >> weekly(runtime.maintain)
    )
