"""`python -m stack.caller FILE`: prints account and region of a deployment, and whether CDK is set up there (yes, no).

With `--if-known` it prints nothing, and says why, if AWS cannot be asked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from botocore.exceptions import ClientError

from embedding.aws import client, error_code, plain_errors, session
from lakehouse.errors import ChiplakeError
from stack.config import Config, read_config

_BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"


def caller(config: Config) -> tuple[str, str, bool]:
    """Ask AWS for account and region of the credentials.

    Args:
        config: the choices of the deployment; its region has priority over that of the environment.

    Returns:
        Account, region, and whether `cdk bootstrap` was run there.

    Raises:
        ChiplakeError: there are no usable credentials, or no region is set.
    """
    with plain_errors("cannot ask AWS"):
        aws = session(config.region)
        account = client(aws, "sts").get_caller_identity()["Account"]
        try:
            client(aws, "ssm").get_parameter(Name=_BOOTSTRAP_PARAMETER)
        except ClientError as error:
            if error_code(error) != "ParameterNotFound":
                raise
            return str(account), str(aws.region_name), False
    return str(account), str(aws.region_name), True


def check_account(config: Config, found: str) -> None:
    """Check that the credentials are of the account of the deployment.

    Raises:
        ChiplakeError: they are of another one.
    """
    if config.account not in (None, found):
        raise ChiplakeError(
            f"the credentials are of account {found}, and the deployment's account is {config.account}; "
            "choose other credentials (AWS_PROFILE), or correct the key account"
        )


def main() -> None:
    """Print account, region, and whether CDK is set up there."""
    file, *options = sys.argv[1:]
    config = read_config(Path(file))
    try:
        account, region, is_bootstrapped = caller(config)
    except ChiplakeError as error:
        if options != ["--if-known"]:
            raise
        print(f"    {error}", file=sys.stderr)
        return
    check_account(config, account)
    print(account, region, "yes" if is_bootstrapped else "no")


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
