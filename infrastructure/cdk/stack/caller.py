"""`python -m stack.caller`: prints account and region of the credentials, and whether CDK is set up there (yes, no)."""

from __future__ import annotations

import os
import sys

from botocore.exceptions import ClientError

from embedding.aws import client, error_code, plain_errors, session
from lakehouse.errors import ChiplakeError

_BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"


def caller() -> tuple[str, str, bool]:
    """Ask AWS for account and region of the credentials.

    Returns:
        Account, region, and whether `cdk bootstrap` was run there.

    Raises:
        ChiplakeError: there are no usable credentials, or no region is set.
    """
    if not os.environ.get("AWS_REGION"):
        os.environ.pop("AWS_REGION", None)  # an empty value would hide the region of the configuration
    with plain_errors("cannot deploy"):
        aws = session()
        account = client(aws, "sts").get_caller_identity()["Account"]
        try:
            client(aws, "ssm").get_parameter(Name=_BOOTSTRAP_PARAMETER)
        except ClientError as error:
            if error_code(error) != "ParameterNotFound":
                raise
            return str(account), str(aws.region_name), False
    return str(account), str(aws.region_name), True


if __name__ == "__main__":
    try:
        found_account, found_region, is_bootstrapped = caller()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
    print(found_account, found_region, "yes" if is_bootstrapped else "no")
