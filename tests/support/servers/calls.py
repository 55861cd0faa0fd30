"""The calls that reach the double of AWS, as the actions and resources by which IAM judges them.

The double sees the requests of all languages: boto3, PyArrow, and the SDK for Java in Spark. The access key names the
caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qs, unquote

ACCOUNT: Final = "123456789012"
_CREDENTIAL: Final = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")
_KEY_OF_DELETE: Final = re.compile(rb"<Key>(.*?)</Key>")
# Operations of Glue and the resources that AWS asks the permission for, besides the catalogue:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsglue.html
_GLUE_TABLES: Final = frozenset({"GetTable", "GetTables", "CreateTable", "UpdateTable", "DeleteTable"})
_SAGEMAKER_JOBS: Final = {"Processing": "processing-job", "Transform": "transform-job"}


@dataclass(frozen=True)
class Call:
    """One permission that a request needs.

    Attributes:
        principal: access key of the caller.
        action: action of IAM, such as s3:GetObject.
        resource: ARN.
        context: condition keys of the request with their values.
    """

    principal: str
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """A signed request."""

    principal: str
    region: str
    service: str
    method: str
    path: str  # of the URL, with %-escapes
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Recorder:
    """A WSGI application in front of another one. It keeps what each request needs."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.calls: set[Call] = set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Note the request, and pass it on."""
        body = b""
        # The body of an S3 object may be large and chunked; only the list of a deletion is needed of S3.
        if environ["REQUEST_METHOD"] == "POST" and environ.get("CONTENT_LENGTH"):
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = BytesIO(body)
        request = request_of(environ, body)
        if request is not None:
            self.calls.update(calls_of(request))
        return self.application(environ, start_response)


def request_of(environ: Mapping[str, Any], body: bytes) -> Request | None:
    """Read a request from WSGI's environment; None if it is not signed."""
    credential = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if credential is None:
        return None
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    return Request(
        principal=credential[1],
        region=credential[2],
        service=credential[3],
        method=environ["REQUEST_METHOD"],
        path=environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")[0],
        query={name: values[0] for name, values in query.items()},
        headers={name[5:].lower().replace("_", "-"): v for name, v in environ.items() if name.startswith("HTTP_")},
        body=body,
    )


def calls_of(request: Request) -> Iterator[Call]:
    """Yield what a request needs: each action on each resource."""
    pairs = _of_s3(request) if request.service == "s3" else _of_others(request)
    for action, resource, *context in pairs:
        yield Call(request.principal, action, resource, tuple(context))


def _of_s3(request: Request) -> Iterator[tuple[Any, ...]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html."""
    bucket, _, key = unquote(request.path).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    return _of_object(request, f"{arn}/{key}") if key else _of_bucket(request, arn)


def _of_bucket(request: Request, arn: str) -> Iterator[tuple[Any, ...]]:
    prefix = [("s3:prefix", request.query["prefix"])] if request.query.get("prefix") else []
    if request.method == "GET" and "location" in request.query:
        yield "s3:GetBucketLocation", arn
    elif request.method in ("GET", "HEAD"):
        yield ("s3:ListBucket", arn, *prefix)
    elif request.method == "POST" and "delete" in request.query:
        for key in _KEY_OF_DELETE.findall(request.body):
            yield "s3:DeleteObject", f"{arn}/{key.decode()}"
    elif request.method == "PUT":
        yield "s3:CreateBucket", arn
    else:  # the settings of a bucket
        yield f"s3:{request.method}Bucket", arn


def _of_object(request: Request, arn: str) -> Iterator[tuple[Any, ...]]:
    if request.method in ("GET", "HEAD"):
        yield "s3:GetObject", arn
    elif request.method == "DELETE":
        yield ("s3:AbortMultipartUpload" if "uploadId" in request.query else "s3:DeleteObject"), arn
    else:
        yield "s3:PutObject", arn
        if source := request.headers.get("x-amz-copy-source"):
            yield "s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}"


def _of_others(request: Request) -> Iterator[tuple[Any, ...]]:
    if request.service == "sts":
        return  # GetCallerIdentity needs no permission
    target = request.headers.get("x-amz-target")
    if target is None:  # the query protocol
        form = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
        yield f"{request.service}:{form.get('Action')}", form.get("TopicArn", "*")
        return
    operation, given = target.rpartition(".")[2], json.loads(request.body or b"{}")
    resources = {"glue": _of_glue, "ssm": _of_ssm, "sagemaker": _of_sagemaker}.get(request.service)
    if resources is None:  # a service that neither the DAG nor its jobs may use
        yield f"{request.service}:{operation}", "*"
        return
    for resource in resources(operation, given):
        yield f"{request.service}:{operation}", f"arn:aws:{request.service}:{request.region}:{ACCOUNT}:{resource}"
    if request.service == "sagemaker" and (role := given.get("RoleArn")):
        yield "iam:PassRole", role, ("iam:PassedToService", "sagemaker.amazonaws.com")


def _of_glue(operation: str, given: dict[str, Any]) -> Iterator[str]:
    yield "catalog"
    of_table = operation in _GLUE_TABLES
    name = given.get("Name") or given.get("TableInput", given.get("DatabaseInput", {})).get("Name")
    database = given.get("DatabaseName") if of_table else name
    if database:
        yield f"database/{database}"
    if of_table:
        yield f"table/{database}/{name or '*'}"


def _of_ssm(_operation: str, given: dict[str, Any]) -> Iterator[str]:
    yield from (f"parameter{name}" for name in given.get("Names", [given.get("Name")]))


def _of_sagemaker(operation: str, given: dict[str, Any]) -> Iterator[str]:
    for job, kind in _SAGEMAKER_JOBS.items():
        if f"{job}Job" in operation:  # a list of jobs has no name
            yield f"{kind}/{given.get(f'{job}JobName', '*')}".lower()
    if operation == "DescribeModel":  # CreateTransformJob takes no model as a resource
        yield f"model/{given['ModelName']}".lower()


def as_json(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Return calls as JSON values, sorted."""
    ordered = sorted(calls, key=lambda one: (one.principal, one.action, one.resource, one.context))
    return [
        {"principal": one.principal, "action": one.action, "resource": one.resource, "context": dict(one.context)}
        for one in ordered
    ]
