"""The double of AWS keeps the rules that tests on it rely on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.aws import AwsServer


def _version(aws: AwsServer) -> str:
    return str(aws.client("glue").get_table(DatabaseName="raw", Name="chips")["Table"]["VersionId"])


@pytest.fixture
def table(aws: AwsServer) -> str:
    glue = aws.client("glue")
    glue.create_database(DatabaseInput={"Name": "raw"})
    glue.create_table(DatabaseName="raw", TableInput={"Name": "chips", "Parameters": {"writer": "none"}})
    return _version(aws)


def test_an_update_from_an_old_version_is_refused_and_changes_nothing(aws: AwsServer, table: str) -> None:
    glue = aws.client("glue")
    glue.update_table(DatabaseName="raw", VersionId=table, TableInput={"Name": "chips", "Parameters": {"writer": "a"}})
    with pytest.raises(glue.exceptions.ConcurrentModificationException):
        glue.update_table(
            DatabaseName="raw", VersionId=table, TableInput={"Name": "chips", "Parameters": {"writer": "b"}}
        )
    assert glue.get_table(DatabaseName="raw", Name="chips")["Table"]["Parameters"] == {"writer": "a"}


def test_of_many_updates_from_one_version_one_wins(aws: AwsServer, table: str) -> None:
    glue = aws.client("glue")

    def update(writer: int) -> bool:
        try:
            glue.update_table(
                DatabaseName="raw", VersionId=table, TableInput={"Name": "chips", "Parameters": {"writer": str(writer)}}
            )
        except glue.exceptions.ConcurrentModificationException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(update, range(16))) == 1
    assert _version(aws) == str(int(table) + 1)


def test_an_update_without_a_version_is_taken(aws: AwsServer, table: str) -> None:
    aws.client("glue").update_table(DatabaseName="raw", TableInput={"Name": "chips"})
    assert _version(aws) != table


def test_parameters_are_stored(aws: AwsServer) -> None:
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/chiplake/image", Value="clay", Type="String")
    assert ssm.get_parameter(Name="/chiplake/image")["Parameter"]["Value"] == "clay"


def test_nothing_is_left_from_another_test(aws: AwsServer) -> None:
    assert aws.client("glue").get_databases()["DatabaseList"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
