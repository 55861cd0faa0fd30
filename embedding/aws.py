"""Objects in S3, and errors of AWS in one line. boto3 is imported in functions: without AWS, nothing needs it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError

PARALLEL: Final = 8  # objects at the same time; boto3's default pool has ten connections
_ATTEMPTS: Final = 6  # tries of a request, in about half a minute
_DIGEST: Final = "sha256"  # key in an object's metadata

_CREDENTIALS: Final = "get valid credentials, such as by `aws sso login` or from the instance's role"
_REMEDIES: Final = {
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"),
        "give your role the permission for it",
    ),
    **dict.fromkeys(
        (
            *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId"),
            *("UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidToken", "IncompleteSignature"),
        ),
        _CREDENTIALS,
    ),
    "ResourceLimitExceeded": (
        "request more in Service Quotas, or set other CHIPLAKE_TRANSFORM_INSTANCE_TYPE or _INSTANCE_COUNT"
    ),
    **dict.fromkeys(
        ("ValidationException", "ValidationError"), "correct the CHIPLAKE_TRANSFORM_… setting that it names"
    ),
    **dict.fromkeys(
        ("NoSuchBucket", "404"), "make the bucket, or correct the bucket's name in CHIPLAKE_TRANSFORM_S3_URI"
    ),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "301"), "set AWS_REGION to the region of the bucket"
    ),
    **dict.fromkeys(("ThrottlingException", "SlowDown", "RequestLimitExceeded"), "call again later"),
}


@dataclass(frozen=True)
class S3Place:
    """A bucket and a prefix in it."""

    bucket: str
    prefix: str  # without / at either end; may be empty

    @staticmethod
    def parse(uri: str) -> S3Place:
        """Parse `s3://bucket/prefix`, whose form the settings have checked."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return S3Place(bucket, prefix.strip("/"))

    def __truediv__(self, name: str) -> S3Place:
        return S3Place(self.bucket, f"{self.prefix}/{name}" if self.prefix else name)

    def __str__(self) -> str:
        return self.uri

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}"


def session(region: str | None = None) -> Any:
    """Make a boto3 session from the environment, as AWS's own tools do.

    Args:
        region: the region; None: AWS_REGION, which boto3 does not read, or that of AWS's configuration.

    Raises:
        ChiplakeError: boto3 is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise ChiplakeError("AWS needs boto3, which is not installed; pip install 'chiplake[aws]'") from error
    return boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)


def client(aws: Any, service: str) -> Any:
    """Make a client that repeats a request when AWS is busy."""
    from botocore.config import Config

    return aws.client(service, config=Config(retries={"mode": "standard", "max_attempts": _ATTEMPTS}))


@contextmanager
def plain_errors(doing: str) -> Iterator[None]:
    """Turn errors of AWS into one line with a remedy.

    Args:
        doing: what failed, such as `cannot read s3://bucket`.

    Raises:
        ChiplakeError: AWS refused it or cannot be reached, or credentials or the region are missing.
    """
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise ChiplakeError(f"{doing}: {_client_error_line(error)}") from error
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.ProfileNotFound,
        exceptions.SSOError,
    ) as error:
        # The error's message may have what a credential process printed.
        raise ChiplakeError(f"{doing}: there are no usable AWS credentials; {_CREDENTIALS}") from error
    except exceptions.NoRegionError as error:
        raise ChiplakeError(f"{doing}: no AWS region is set; set AWS_REGION") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:  # also timeouts and TLS errors
        raise ChiplakeError(f"{doing}: AWS cannot be reached: {root_cause(error)}; call again later") from error
    except exceptions.BotoCoreError as error:
        raise ChiplakeError(f"{doing}: {root_cause(error)}") from error


def error_code(error: Any) -> str:
    """Return the code of a `ClientError`, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def list_objects(s3: Any, place: S3Place) -> dict[str, int]:
    """Return the keys below a place, with their sizes in bytes."""
    with plain_errors(f"cannot list {place.uri}"):
        prefix = f"{place.prefix}/" if place.prefix else ""
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}


def upload_files(s3: Any, paths: Sequence[Path], place: S3Place, on_done: Callable[[], None]) -> int:
    """Upload files to a place, unless it has an object of the same name, size and sha256.

    Args:
        s3: client of S3.
        paths: the files; an object has the name of its file.
        place: bucket and prefix.
        on_done: called after each file.

    Returns:
        The number of files that were sent.
    """
    sizes = list_objects(s3, place)
    sent = 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        for was_sent in pool.map(lambda path: _upload(s3, path, place / path.name, sizes), paths):
            sent += was_sent
            on_done()
    return sent


def put_bytes(s3: Any, place: S3Place, content: bytes, has_digest: bool = False) -> None:
    """Write one small object in one request.

    Args:
        s3: client of S3.
        place: of the object.
        content: its bytes.
        has_digest: give it the sha256 of its content, by which `upload_files` knows that it need not send it again.
    """
    metadata = {_DIGEST: hashlib.sha256(content).hexdigest()} if has_digest else {}
    with plain_errors(f"cannot write {place.uri}"):
        s3.put_object(Bucket=place.bucket, Key=place.prefix, Body=content, Metadata=metadata)


def download(s3: Any, place: S3Place) -> bytes:
    """Read one small object."""
    sink = io.BytesIO()
    with plain_errors(f"cannot read {place.uri}"):
        s3.download_fileobj(place.bucket, place.prefix, sink)
    return sink.getvalue()


def _upload(s3: Any, path: Path, place: S3Place, sizes: dict[str, int]) -> bool:
    from boto3.s3.transfer import TransferConfig

    with path.open("rb") as file, plain_errors(f"cannot write {place.uri}"):
        digest = hashlib.file_digest(file, _DIGEST).hexdigest()
        if sizes.get(place.prefix) == path.stat().st_size:
            head = s3.head_object(Bucket=place.bucket, Key=place.prefix)
            if head["Metadata"].get(_DIGEST) == digest:
                return False
        file.seek(0)
        # Several files are uploaded at the same time, so the parts of one need no threads.
        s3.upload_fileobj(
            file,
            place.bucket,
            place.prefix,
            ExtraArgs={"Metadata": {_DIGEST: digest}},
            Config=TransferConfig(use_threads=False),
        )
    return True


def _client_error_line(error: Any) -> str:
    text, remedy = root_cause(error), _REMEDIES.get(error_code(error))
    return f"{text}; {remedy}" if remedy else text
