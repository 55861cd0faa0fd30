"""Notices and alarms: jobs that failed or were stopped, nights without success, managed Airflow that stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudwatch,
    aws_cloudwatch_actions,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_kms,
    aws_sns,
    aws_sns_subscriptions,
)
from chiplake_airflow.jobs import AFTER_ENCODER, job_name

from stack.config import Config

TOPIC_KEY_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey*")
_PUBLISHERS: Final = ("events.amazonaws.com", "cloudwatch.amazonaws.com")


@dataclass(frozen=True)
class _JobEvent:
    """An event of SageMaker about jobs of one kind. SageMaker has no event of a model that concerns a night."""

    kind: str  # processing or transform

    @property
    def detail_type(self) -> str:
        return f"SageMaker {self.kind.title()} Job State Change"

    @property
    def status_field(self) -> str:
        return f"{self.kind.title()}JobStatus"

    @property
    def name_field(self) -> str:
        return f"{self.kind.title()}JobName"


_PROCESSING: Final = _JobEvent("processing")
_TRANSFORM: Final = _JobEvent("transform")
# By the state in which a job ends: what it means, and what to do first.
_BAD_ENDS: Final = {
    (_PROCESSING, "Failed"): "A processing job failed: read its log, then clear its task in Airflow",
    (_PROCESSING, "Stopped"): (
        "A processing job was stopped, by a person or at its time limit: clear its task in Airflow"
    ),
    (_TRANSFORM, "Failed"): (
        "A batch transform job failed: its answers are loaded, and the next run exports the other chips again"
    ),
    (_TRANSFORM, "Stopped"): (
        "A batch transform job was stopped: its answers are loaded, and the next run exports the other chips again"
    ),
}


def make_key(stack: Stack) -> aws_kms.Key:
    """Make the key of the topics. EventBridge and CloudWatch may use it; AWS's own key does not allow that."""
    key = aws_kms.Key(
        stack,
        "TopicsKey",
        description="Chiplake: messages about jobs",
        enable_key_rotation=True,
        removal_policy=RemovalPolicy.DESTROY,
    )
    for service in _PUBLISHERS:
        key.grant(aws_iam.ServicePrincipal(service), *TOPIC_KEY_ACTIONS)
    return key


def make_topic(stack: Stack, config: Config, name: str, key: aws_kms.Key) -> aws_sns.Topic:
    """Make a topic for messages about jobs."""
    topic = aws_sns.Topic(
        stack,
        f"Topic-{name}",
        topic_name=f"{config.name}-{name}",
        display_name=f"Chiplake {name}",
        master_key=key,
        enforce_ssl=True,
    )
    # A topic with its own policy loses the default policy, which lets the account publish.
    for service in _PUBLISHERS:
        topic.grant_publish(aws_iam.ServicePrincipal(service))
    return topic


def make_alarms(stack: Stack, config: Config, alerts: aws_sns.Topic, completed: aws_sns.Topic) -> None:
    """Make the alarms on jobs. Their descriptions say what to do first.

    Args:
        stack: the stack.
        config: the choices of the deployment.
        alerts: topic that gets jobs that failed or were stopped, and alarms.
        completed: topic that gets the last job of a night if it succeeded; CloudWatch counts no rule without a target.
    """
    if config.alarm_email:
        alerts.add_subscription(aws_sns_subscriptions.EmailSubscription(config.alarm_email))
    for (event, status), description in _BAD_ENDS.items():
        rule = _rule(stack, config, event, status, alerts)
        name = f"{config.name}-{event.kind}-{status.lower()}"
        _alarm(stack, alerts, name, _matched(rule, Duration.minutes(5)), description, at_least=1)
    # The last job of a night: an earlier one that succeeds says nothing of the rest.
    last_job = job_name(config.name, AFTER_ENCODER)
    succeeded = _rule(stack, config, _PROCESSING, "Completed", completed, last_job)
    _alarm(
        stack,
        alerts,
        f"{config.name}-no-night",
        _matched(succeeded, Duration.hours(1)),
        f"No night succeeded for {config.night_hours} hours: is the DAG enabled, is Airflow up, did a job fail?",
        below=1,
        periods=config.night_hours,
    )


def make_airflow_alarm(stack: Stack, config: Config, alerts: aws_sns.Topic, environment_name: str) -> None:
    """Make the alarm on the heartbeat of managed Airflow's scheduler."""
    heartbeat = aws_cloudwatch.Metric(
        namespace="AmazonMWAA",
        metric_name="SchedulerHeartbeat",
        dimensions_map={"Function": "Scheduler", "Environment": environment_name},
        statistic="Sum",
        period=Duration.minutes(5),
    )
    _alarm(
        stack,
        alerts,
        f"{config.name}-airflow-stands-still",
        heartbeat,
        "The scheduler of managed Airflow has sent no heartbeat for 15 minutes: see its log group",
        below=1,
        periods=3,
    )


def _rule(
    stack: Stack,
    config: Config,
    event: _JobEvent,
    status: str,
    topic: aws_sns.Topic,
    jobs: str = "",
) -> aws_events.Rule:
    end = "Succeeded" if status == "Completed" else status  # ids of resources stay, else CloudFormation removes them
    return aws_events.Rule(
        stack,
        f"Rule{event.kind.title()}{end}",
        rule_name=f"{config.name}-{event.kind}-{status.lower()}",
        description=f"Jobs of Chiplake: {event.detail_type}, {status}",
        event_pattern=aws_events.EventPattern(
            source=["aws.sagemaker"],
            detail_type=[event.detail_type],
            detail={event.status_field: [status], event.name_field: [{"prefix": jobs or f"{config.name}-"}]},
        ),
        targets=[aws_events_targets.SnsTopic(topic)],
    )


def _matched(rule: aws_events.Rule, period: Duration) -> aws_cloudwatch.Metric:
    """Return the metric that counts the events of a rule."""
    return aws_cloudwatch.Metric(
        namespace="AWS/Events",
        metric_name="TriggeredRules",
        dimensions_map={"RuleName": rule.rule_name},
        statistic="Sum",
        period=period,
    )


def _alarm(
    stack: Stack,
    alerts: aws_sns.Topic,
    name: str,
    metric: aws_cloudwatch.Metric,
    description: str,
    at_least: int | None = None,
    below: int | None = None,
    periods: int = 1,
) -> None:
    """Make an alarm that notifies a topic: from `at_least` on, or under `below`, which missing data counts as."""
    alarm = aws_cloudwatch.Alarm(
        stack,
        f"Alarm-{name}",
        alarm_name=name,
        alarm_description=description,
        metric=metric,
        threshold=below if below is not None else at_least or 1,
        evaluation_periods=periods,
        comparison_operator=(
            aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
            if below is not None
            else aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        ),
        treat_missing_data=(
            aws_cloudwatch.TreatMissingData.BREACHING
            if below is not None
            else aws_cloudwatch.TreatMissingData.NOT_BREACHING
        ),
    )
    alarm.add_alarm_action(aws_cloudwatch_actions.SnsAction(alerts))
