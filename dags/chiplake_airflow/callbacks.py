"""Who is told when a task has failed or a run has succeeded: Variables say so when it happens."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.sdk import Variable


def tell_of_failure(context: Any) -> None:
    """Tell the SNS topic, if there is one, and call the function that `chiplake_on_failure` names."""
    try:
        _tell_topic(context)
    finally:  # neither is left untold because the other could not be
        _call(Variable.get("chiplake_on_failure", default=""), context)


def tell_of_success(context: Any) -> None:
    """Call the function that `chiplake_on_success` names, if there is one."""
    _call(Variable.get("chiplake_on_success", default=""), context)


def _tell_topic(context: Any) -> None:
    topic = Variable.get("chiplake_alerts_topic_arn", default="")
    if topic:
        from airflow.providers.amazon.aws.hooks.sns import SnsHook

        task = context["ti"]
        hook = SnsHook(aws_conn_id=None, region_name=topic.split(":")[3])  # type: ignore[no-untyped-call]
        hook.publish_to_target(
            topic,
            f"{task.dag_id}, run {context['run_id']}: {task.task_id} failed: {context.get('exception')}",
            subject=f"{task.dag_id}: {task.task_id} failed"[:100],  # the most that SNS takes
        )


def _call(name: str, context: Any) -> None:
    if name:
        module, _, function = name.partition(":")
        getattr(import_module(module), function)(context)
