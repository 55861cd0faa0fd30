"""Notices of failed tasks and of runs that succeeded. Variables name their receivers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.sdk import Variable

from chiplake_airflow.causes import cause_of
from chiplake_airflow.stage_reports import ReportedError

_SUBJECT_LENGTH = 100  # characters; SNS takes no more


def notify_of_failure(context: Any) -> None:
    """Publish a failed task to the SNS topic of `chiplake_alerts_topic_arn` and call `chiplake_on_failure`.

    Args:
        context: Airflow's context of the failed task.
    """
    try:
        if not isinstance(context.get("exception"), ReportedError):
            _publish_failure(context)
    finally:  # the function is called even if the topic cannot be reached
        _call(Variable.get("chiplake_on_failure", default=""), context)


def notify_of_timeout(context: Any) -> None:
    """Publish a run that took too long. A run that failed for another reason has a failed task with its own notice.

    Args:
        context: Airflow's context of the run.
    """
    if context.get("reason") != "timed_out":
        return
    run = context["dag_run"]
    _publish(
        f"{run.dag_id}: a run took too long",
        f"{run.dag_id}, run {run.run_id}: it did not end within its time limit, and Airflow no longer waits "
        "for it. A job on AWS still runs: stop it (aws sagemaker stop-processing-job), or wait for its end. Then clear "
        "the run, or raise CHIPLAKE_AIRFLOW_RUN_HOURS",
    )


def notify_of_success(context: Any) -> None:
    """Call `chiplake_on_success` for a run that succeeded.

    Args:
        context: Airflow's context of the run.
    """
    _call(Variable.get("chiplake_on_success", default=""), context)


def _publish_failure(context: Any) -> None:
    task = context["ti"]
    lines = [
        f"{task.dag_id}, run {context['run_id']}: {task.task_id} failed: {cause_of(context.get('exception'))}",
        *_numbers_of(context),
        *([f"Log: {task.log_url}"] if task.log_url else []),  # unknown of a task that was killed, in Airflow 3.0
    ]
    _publish(f"{task.dag_id}: {task.task_id} failed", "\n".join(lines))


def _numbers_of(context: Any) -> list[str]:
    """Return the reports of the stages of a task, a line a stage; none for a task without stages."""
    read = getattr(context["task"], "reports", None)
    if read is None:
        return []
    try:
        return [report.line for report in read(context)]
    except Exception as error:  # the notice is sent in any case
        return [f"the numbers cannot be read: {cause_of(error)}"]


def _publish(subject: str, message: str) -> None:
    topic = Variable.get("chiplake_alerts_topic_arn", default="")
    if not topic:
        return
    from airflow.providers.amazon.aws.hooks.sns import SnsHook

    hook = SnsHook(aws_conn_id=None, region_name=topic.split(":")[3])  # type: ignore[no-untyped-call]
    hook.publish_to_target(topic, message, subject=subject[:_SUBJECT_LENGTH])


def _call(name: str, context: Any) -> None:
    """Call the function `module:function` with the context; an empty name calls nothing."""
    if name:
        module, _, function = name.partition(":")
        getattr(import_module(module), function)(context)
