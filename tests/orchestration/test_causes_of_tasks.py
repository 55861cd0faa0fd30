"""A task that fails says what caused it, in Airflow and in a notice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from chiplake_airflow.causes import cause_of
from chiplake_airflow.operators.dbt import raise_cause

FULL = "Runtime Error in model fct_chips (models/chips/fct_chips.sql)\n  No space left on device"


def write_results(project: Path, *results: tuple[str, str, str | None]) -> None:
    """Write run_results.json, of nodes with id, status and message, as dbt does."""
    entries = [{"unique_id": node, "status": status, "message": message} for node, status, message in results]
    (project / "target").mkdir()
    (project / "target" / "run_results.json").write_text(json.dumps({"results": entries}))


def test_a_task_of_cosmos_names_the_cause_and_not_the_exit_code(tmp_path: Path) -> None:
    write_results(
        tmp_path,
        ("model.chiplake.int_scenes", "success", None),
        ("model.chiplake.fct_chips", "error", FULL),
        ("model.chiplake.fct_filled_chips", "skipped", None),
        ("test.chiplake.unique_fct_chips_chip_id.1a2b3c", "fail", "Got 5 results, configured to fail if != 0"),
    )
    line = "2 of dbt's nodes failed, first fct_chips: No space left on device"
    with pytest.raises(RuntimeError) as raised:
        raise_cause(str(tmp_path), context={})
    assert str(raised.value) == line
    assert cause_of(raised.value) == line


def test_a_command_of_dbt_that_succeeds_or_has_no_results_raises_nothing(tmp_path: Path) -> None:
    raise_cause(str(tmp_path), context={})
    write_results(tmp_path, ("model.chiplake.int_scenes", "success", None))
    raise_cause(str(tmp_path), context={})


def test_a_notice_names_the_refused_call_of_aws() -> None:
    message = (
        "User: arn:aws:sts::123456789012:assumed-role/airflow/x is not authorized to perform: "
        "sagemaker:CreateProcessingJob on resource: arn:aws:sagemaker:eu-central-1:123456789012:processing-job/ingest"
    )
    error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": message}}, "CreateProcessingJob")
    assert cause_of(error) == (
        "AccessDeniedException on sagemaker:CreateProcessingJob of "
        "arn:aws:sagemaker:eu-central-1:123456789012:processing-job/ingest"
    )
    assert cause_of(None) == "its log says why"
