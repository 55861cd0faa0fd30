"""The file of a deployment's choices: its schema, and its errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack.config import DEPLOYMENT_FILE, Config, read_config
from support.assemblies import write_choices

from lakehouse.errors import ChiplakeError

KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def choices(folder: Path, **given: Any) -> Config:
    return read_config(write_choices(folder / "deployment.yaml", **given))


def test_the_committed_file_shows_and_explains_every_choice_at_its_default() -> None:
    assert read_config() == Config()
    lines = DEPLOYMENT_FILE.read_text().splitlines()
    keys = [line.partition(":")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(keys) == sorted(Config.model_fields)
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), f"{line} has no comment"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"account": "12"},
            "account: \"12\": String should match pattern '^[0-9]{12}$'. "
            'Write an AWS account, in quotes: account: "123456789012"',
        ),
        (
            {"account": 123456789012},
            "account: 123456789012: Input should be a valid string. Write an AWS account, in q",
        ),
        ({"managed_airflw": True}, "managed_airflw is not a key; did you mean managed_airflow? All keys: name, "),
        ({"zzz": 1}, "zzz is not a key; the keys are name, account, region, area, "),
        ({"name": "chiplake-2"}, 'name: "chiplake-2": String should match pattern'),
        ({"name": "awslake"}, 'name: "awslake": Parameter Store takes no names that start with aws or ssm'),
        ({"name": "default"}, 'name: "default": Spark has a database of this name; choose another. Write letters and'),
        ({"settings": {"HOME": "x"}}, "HOME is not a setting; names of settings start with CHIPLAKE_"),
        (
            {"settings": {"CHIPLAKE_EMBED_INT8": True}},
            "settings.CHIPLAKE_EMBED_INT8: true: Input should be a valid str",
        ),
        ({"settings": {"CHIPLAKE_BBOX": "1,2,3,4"}}, "CHIPLAKE_BBOX follows from the key area of this file; set that"),
        ({"settings": {"CHIPLAKE_RAW_SCHEMA": "raw"}}, "CHIPLAKE_RAW_SCHEMA follows from the key name of this file"),
        ({"variables": {"chiplake_bbox": "1,2,3,4"}}, "chiplake_bbox follows from the key area of this file; set that"),
        ({"area": [16.3, 45.7, 16.5]}, "area: [16.3, 45.7, 16.5]: expected four numbers"),
        ({"area": [16.3, 46.7, 16.5, 45.8]}, "is not a box of west, south, east, north in degrees"),
        ({"subnet_ids": ["subnet-1"]}, "subnet_ids must be two subnets, with security_group_ids"),
        ({"job_subnets": ["subnet-1"]}, "job_subnets and job_security_groups go together; set both, or leave both []"),
        ({"job_subnets": ["vpc-1"]}, "job_subnets.0: \"vpc-1\": String should match pattern '^subnet-[0-9a-f]+$'"),
        ({"job_security_groups": ["sg-1"] * 6}, "at most 5 items"),
        ({"variables": {"chiplake_kms_key": "arn"}}, "chiplake_kms_key follows from the key kms_key of this file"),
        ({"variables": {"chiplake_subnets": "s"}}, "chiplake_subnets follows from the key job_subnets of this file"),
        ({"kms_key": "alias/lake"}, 'kms_key: "alias/lake": String should match pattern'),
        ({"kms_key": KEY, "managed_airflow": True, "area": [16, 45, 17, 46]}, "with a key of yours is not supported"),
        ({"kms_key": KEY, "spark_instance_type": "ml.m5d.4xlarge"}, "whose own disks SageMaker encrypts without a key"),
        ({"spark_base": "python:3.11@sha256:12"}, 'spark_base: "python:3.11@sha256:12": String should match pattern'),
        ({"airflow_version": "2.11.0"}, "the DAG does not support 2.11.0; choose from 3.0.6, 3.2.1, 3.3.1"),
        (
            {"night_hours": 0},
            "night_hours: 0: Input should be greater than or equal to 1. Write hours, 1 to 168: night",
        ),
        ({"managed_airflow": True}, "managed_airflow is true and area is not set, so the DAG would search the whole w"),
    ],
)
def test_an_error_names_the_file_the_key_the_value_and_what_to_write(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ChiplakeError, match=re.escape(f"{tmp_path / 'deployment.yaml'}: ")) as raised:
        choices(tmp_path, **given)
    assert message in str(raised.value)


def test_every_error_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(ChiplakeError) as raised:
        choices(tmp_path, night_hours=0, zzz=1)
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: one\nname: two\n", "name is there 2 times; keep one"),
        ("settings: {A: [}", "is not valid YAML"),
        ("- name\n", "must have lines KEY: VALUE"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(text)
    with pytest.raises(ChiplakeError, match=re.escape(message)) as raised:
        read_config(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChiplakeError, match=r"none\.yaml: No such file or directory; copy infrastructure/deployment"):
        read_config(tmp_path / "none.yaml")


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_config(tmp_path / "empty.yaml") == Config()


def test_the_examples_of_errors_are_valid() -> None:
    for key, field in Config.model_fields.items():
        for example in field.examples or ():
            given = {
                "subnet_ids": {"security_group_ids": ["sg-1"]},
                "job_subnets": {"job_security_groups": ["sg-1"]},
                "job_security_groups": {"job_subnets": ["subnet-1"]},
            }.get(key, {})
            written = yaml.safe_load(yaml.safe_dump({key: example}))
            assert Config.model_validate(written | given)


def test_schemas_follow_from_the_name_and_a_setting_names_another_one(tmp_path: Path) -> None:
    plain = choices(tmp_path, name="dev")
    assert (plain.target_schema, plain.raw_schema, plain.ops_schema) == ("dev", "dev_raw", "dev_ops")
    other = choices(tmp_path, name="dev", settings={"CHIPLAKE_TARGET_SCHEMA": "dev_ann"})
    assert (other.target_schema, other.raw_schema) == ("dev_ann", "dev_raw")
    assert other.job_settings == {
        "CHIPLAKE_TARGET_SCHEMA": "dev_ann",
        "CHIPLAKE_RAW_SCHEMA": "dev_raw",
        "CHIPLAKE_OPS_SCHEMA": "dev_ops",
    }
