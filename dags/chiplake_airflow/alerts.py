"""Notices of failed tasks and of runs that succeeded. Variables name their receivers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.sdk import Variable

from chiplake_airflow.causes import cause_of

_SUBJECT_LENGTH = 100  # characters; SNS takes no more


def notify_of_failure(context: Any) -> None:
    """Publish a failed task to the SNS topic of `chiplake_alerts_topic_arn` and call `chiplake_on_failure`.

    Args:
        context: Airflow's context of the failed task.
    """
    try:
        _publish_failure(context)
    finally:  # the function is called even if the topic cannot be reached
        _call(Variable.get("chiplake_on_failure", default=""), context)


def notify_of_success(context: Any) -> None:
    """Call `chiplake_on_success` for a run that succeeded.

    Args:
        context: Airflow's context of the run.
    """
    _call(Variable.get("chiplake_on_success", default=""), context)


def _publish_failure(context: Any) -> None:
    topic = Variable.get("chiplake_alerts_topic_arn", default="")
    if not topic:
        return
    from airflow.providers.amazon.aws.hooks.sns import SnsHook

    task = context["ti"]
    hook = SnsHook(aws_conn_id=None, region_name=topic.split(":")[3])  # type: ignore[no-untyped-call]
    hook.publish_to_target(
        topic,
        f"{task.dag_id}, run {context['run_id']}: {task.task_id} failed: {cause_of(context.get('exception'))}",
        subject=f"{task.dag_id}: {task.task_id} failed"[:_SUBJECT_LENGTH],
    )


def _call(name: str, context: Any) -> None:
    """Call the function `module:function` with the context; an empty name calls nothing."""
    if name:
        module, _, function = name.partition(":")
        getattr(import_module(module), function)(context)
