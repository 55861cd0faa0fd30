"""The root cause of an error in one line: of Python, the JVM, Spark, Hive, dbt, PyIceberg and the SDKs of AWS.

An error that reaches a user has often passed through several programs, each of which puts its own words around it. This
module finds the words that say what to do something about. It recognises errors by their texts and attributes and uses
only the standard library, because Airflow's environment has no other package of the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from lakehouse.errors import ChiplakeError, one_line

_MAX_LENGTH: Final = 600  # characters; a function may list what it takes

JVM_ENDED: Final = (
    "Spark's Java process has ended or does not answer; the end of logs/spark.log in CHIPLAKE_HOME may say why; if it "
    "lacked memory, raise CHIPLAKE_SPARK_DRIVER_MEMORY or take fewer days"
)
WORKER_ENDED: Final = (
    "a Python worker of Spark was killed, probably because the machine has too little memory; take fewer cores or days"
)
# What Glue says of an account whose catalogue Lake Formation governs; IAM policies are then not enough.
_LAKE_FORMATION: Final = "Insufficient Lake Formation permission"
_GRANT: Final = "grant it to the role of the jobs in Lake Formation (docs/operations.md, Lake Formation)"
_GEOMETRY: Final = "the Hive protocol has no geometries: select st_astext(…) or st_asewkb(…) of a geometry"

# A line that a command of this project, or `failures_line`, has written already; perhaps with the exit code before it.
_OWN_LINE: Final = re.compile(r"^(?:[^\n]*: )?(?:chiplake: |\d+ of dbt's nodes failed, first )[^\n]+$")
# What the operating system says of a place that is full, of limits and of rights; the path is Python's.
_SYSTEM: Final = re.compile(
    r"(?:No space left on device|Disk quota exceeded|File too large|Read-only file system|Too many open files"
    r"|Cannot allocate memory|database or disk is full)(?:: '[^'\n]+'|, while Spark [^\n]+)?"
)
_SPILL: Final = "error while calling spill()"
_SPILLED: Final = ", while Spark spilled to its local folder (SPARK_LOCAL_DIRS)"
_WORKER: Final = "Python worker exited unexpectedly (crashed)"
_GEOMETRY_OVER_THRIFT: Final = "Unrecognized type name: binary"
# Py4J's whole message if the JVM ended in a call, and Spark's if it ended in a job.
_ENDED: Final = re.compile(r"An error occurred while calling \S+|.*\bSparkContext was shut down")
_USER_RAISED: Final = re.compile(r".*\[USER_RAISED_EXCEPTION\] (.*?) SQLSTATE: P0001", re.DOTALL)
_SEDONA: Final = re.compile(
    r"Exception occurred while evaluating expression (?P<function>\w+) - "
    r"\w+: \[(?P<arguments>.*?)\], cause: (?P<cause>[^\n]*)",
    re.DOTALL,
)
_BINARY: Final = re.compile(r"\[B@[0-9a-f]+(, )?")  # how Java writes bytes

# Words around the message of another program. Names of Java's exceptions have their package before them.
_JAVA_NAME: Final = re.compile(r"(?:[\w$]+\.)+(?P<name>[\w$]+)(?::\s+|$)")
_WRAPPING: Final = re.compile(
    r"An error occurred while calling \S+\.\s*:?\s*|Error running query: "
    r"|Job aborted due to stage failure: .*?\(\S+ executor \w+\): "
    r"|\[[A-Z][A-Z0-9_.]+\] (?=(?:[\w$]+\.)+[\w$]+: )"
)
_PLACE_BEFORE_PLAN: Final = re.compile(r"(; line \d+ pos \d+);$")
_DBT_HEADING: Final = re.compile(r"\w+ Error(?: in .*)?|(?:compiled code at|> ).*")
_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ")

_SUPPRESSED: Final = re.compile(r"^\t(?:Suppressed|Caused by|\t).*\n?", re.MULTILINE)
_CAUSED_BY: Final = re.compile(r"^Caused by: ", re.MULTILINE)
_FRAMES: Final = re.compile(r"^\s+(?:at [\w$.]+[/.(]|\.\.\. \d+ more)|^Driver stacktrace:", re.MULTILINE)
_TRACEBACK: Final = re.compile(
    r"^[^\n]*Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n)+(?P<last>\S[^\n]*)", re.MULTILINE
)
_PYTHON_NAME: Final = re.compile(r"(?:\w+\.)*(?P<name>\w+)(?:: |$)")
_DIRECT_CAUSE: Final = "direct cause of the following exception"

# Names that add nothing to their message.
_GENERAL: Final = frozenset(
    {"Exception", "RuntimeError", "ValueError", "OSError", "OperationalError", "Py4JJavaError", "Py4JError"}
    | {"FileNotFoundError", "PermissionError", "NotADirectoryError", "IsADirectoryError", "FileExistsError"}
    | {"ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError"}
    | {"RuntimeException", "IOException", "UncheckedIOException", "RuntimeIOException", "IllegalArgumentException"}
    | {"IllegalStateException", "UnsupportedOperationException", "FSError", "ExecutionException", "CompletionException"}
    | {"SparkException", "SparkRuntimeException", "AnalysisException", "ExtendedAnalysisException", "ParseException"}
    | {"HiveSQLException", "PythonException", "SparkIllegalArgumentException", "UnknownException", "SqlBaseException"}
    | {"DbtRuntimeError", "DbtDatabaseError", "DbtInternalError", "CompilationError", "ClientError", "Failure"}
    | {"ChiplakeError", "IncompleteError", "AttentionError", "LockedError", "InvalidSettingError"}
    | {"RasterError", "NoAnswerError", "StageError", "ReportedError"}
)

# Calls of AWS. S3's permissions have other names than its operations.
_S3_PERMISSIONS: Final = {
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "GetObject": "GetObject",
    "DeleteObject": "DeleteObject",
    "DeleteObjects": "DeleteObject",
    **dict.fromkeys(
        ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"), "PutObject"
    ),
}
_CODES_OF_MESSAGES: Final = {
    "Access Denied": "AccessDenied",
    "Please reduce your request rate.": "SlowDown",
    "The provided token has expired.": "ExpiredToken",
}
_UNAUTHORIZED: Final = re.compile(
    r"not authorized to perform: (?P<action>[\w:*]+)(?: on resource: \"?(?P<place>[^\s\"]+)\"?)?"
    r"(?: (?P<why>(?:because|with an explicit deny)[^\n(]*))?"
)
_BOTO: Final = re.compile(
    r"An error occurred \((?P<code>\w+)\) when calling the (?P<operation>\w+) operation(?: \([^)]*\))?: ?"
    r"(?P<said>[^\n]*)"
)
_ARROW: Final = re.compile(
    r"(?:key '(?P<key>[^']*)' in )?bucket '(?P<bucket>[^']*)': "
    r"AWS Error (?P<code>\w+)(?: \(HTTP status (?P<status>\d+)\))? during (?P<operation>\w+) operation: "
    r"(?:Unable to parse ExceptionName: (?P<exception>\w+) Message: )?(?P<said>[^\n]*?)(?: \(Request ID: [^)]*\))?$"
)
_JAVA_SDK: Final = re.compile(r"(?P<said>[^\n]*?):? ?\(Service: (?P<service>\w+), Status Code: (?P<status>\d+)[^\n]*")
_JAVA_OPERATION: Final = re.compile(r"Default\w+Client\.(\w+)\(")
_S3_ADDRESS: Final = re.compile(r"s3[an]?://([^\s/'\",:;)\]]+)/?([^\s'\",:;)\]]*)")
_CREDENTIALS: Final = re.compile(r"Error when retrieving credentials from ([\w-]+)")
# Iceberg's messages of a commit that came too late; PyIceberg's name the table at their end.
_CONFLICT: Final = re.compile(r"Found (?:new )?conflicting (?:delete )?files|Cannot commit, missing data files")
_TABLE: Final = re.compile(r"(?:Cannot commit|updated by another process:) ([\w.]+)")
_UNREACHED: Final = re.compile(
    r"host='(?P<host>[^']+)', port=(?P<port>\d+)\).*?(?:\[Errno -?\d+\] )?(?P<said>[\w ]+)[\"')]+$"
)


@dataclass(frozen=True)
class _Link:
    """One exception of a chain."""

    message: str  # the first line that says something; may be empty
    name: str = ""  # of the exception's type, without its package; empty if it adds nothing
    frames: str = ""  # of Java
    place: str = ""  # a bucket, if the error names it apart from its message


def root_cause(error: BaseException | str, max_length: int = _MAX_LENGTH) -> str:
    """Return what caused an error, in one line.

    A full disk, a call of AWS that was refused, and a process that was killed are named wherever they are in the chain
    of exceptions; else the line is the message of the innermost exception that has one. A `ChiplakeError` is its own
    message, because it was written for its reader.

    Args:
        error: an exception, or the text of one: a message, a stack trace of Java or of Python, or both.
        max_length: the longest line, characters; the rest is cut off.

    Returns:
        Printable characters without secrets in addresses.
    """
    message = error if isinstance(error, str) else message_of(error)
    if _OWN_LINE.search(message) and not _is_trace(message):
        text = message
    elif isinstance(error, str):
        text = _cause_of_text(error)
    elif isinstance(error, ChiplakeError):
        text = " ".join(str(error).split()) or type(error).__name__
    else:
        text = _cause_of_error(error)
    return one_line(text, max_length)


def failures_line(failed: Sequence[tuple[str, str]]) -> str:
    """Return how many nodes of dbt failed, and what caused the failure of the first one.

    Args:
        failed: name and message of each node that failed; at least one.
    """
    name, message = failed[0]
    return f"{len(failed)} of dbt's nodes failed, first {name}: {root_cause(message) or 'no message'}"


def message_of(error: BaseException) -> str:
    """Return the whole message of an error, with the trace of Java that PySpark keeps beside it."""
    try:
        text = str(getattr(error, "_stackTrace", None) or error)
    except Exception:  # Py4J asks the JVM for the text, which may have ended
        text = str(getattr(error, "errmsg", ""))
    status = getattr(error.args[0], "status", None) if error.args else None  # of PyHive
    return str(getattr(status, "errorMessage", None) or text)


def _cause_of_text(text: str) -> str:
    links = _links_of_text(text)
    return _known(text, links) or _innermost(links)


def _cause_of_error(error: BaseException) -> str:
    explicit = list(_explicit_chain(error))
    chains = [explicit, *([implicit] if (implicit := _implicit_chain(explicit)) else [])]
    for chain in chains:
        # An error may occur in the handler of another that was expected: only what is known counts there.
        if any(map(_has_lost_jvm, chain)):
            return JVM_ENDED
        texts = [message_of(one) for one in chain]
        if known := _known("\n".join(texts), [link for one in chain for link in _links_of_error(one)]):
            return known
    return _innermost([link for one in explicit for link in _links_of_error(one)]) or type(error).__name__


def _explicit_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors from which it was raised."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _implicit_chain(explicit: Sequence[BaseException]) -> list[BaseException]:
    """Return the errors in whose handlers the errors of a chain occurred."""
    found: list[BaseException] = []
    waiting = list(explicit)
    while waiting:
        one = waiting.pop()
        context = None if one.__suppress_context__ else one.__context__
        if context is not None and context not in (*explicit, *found):
            found.append(context)
            waiting.extend(_explicit_chain(context))
    return found


def _has_lost_jvm(error: BaseException) -> bool:
    """Return whether an error is Py4J's attempt to reach a JVM that has ended."""
    if type(error).__name__ == "Py4JNetworkError":
        return True
    trace = error.__traceback__ if isinstance(error, ConnectionError) else None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("py4j."):
            return True
        trace = trace.tb_next
    return False


def _links_of_error(error: BaseException) -> list[_Link]:
    text = message_of(error)
    if _is_trace(text):
        return _links_of_text(text)
    kind = type(error).__name__
    if hasattr(error, "operation_name"):  # of botocore, which has the fields of AWS's answer in a dictionary
        fields = getattr(error, "response", {}).get("Error", {})
        return [_Link(" ".join(text.split()), place=str(fields.get("BucketName", "")))]
    return [_Link(_first_line(text), "" if kind in _GENERAL else kind)]


def _is_trace(text: str) -> bool:
    return _FRAMES.search(text) is not None or "Traceback (most recent call last)" in text


def _links_of_text(text: str) -> list[_Link]:
    """Return the exceptions that a text describes, from the outermost to the innermost."""
    links = []
    for section in _CAUSED_BY.split(_SUPPRESSED.sub("", _without_headings(text))):
        head, *frames = _FRAMES.split(section, maxsplit=1)
        links.append(_link(head, "\n".join(frames)))
    return links


def _without_headings(text: str) -> str:
    """Remove the headings that dbt puts above a message, and the indent of the lines below them."""
    lines = text.strip("\n").split("\n")
    while len(lines) > 1 and (_DBT_HEADING.fullmatch(lines[0].strip()) or not lines[0].strip()):
        lines = [line.removeprefix("  ") for line in lines[1:]]
    return "\n".join(lines)


def _link(head: str, frames: str) -> _Link:
    name, message = "", head.strip()
    while message:
        if wrapping := _WRAPPING.match(message):
            message = message[wrapping.end() :].lstrip()
        elif (java := _JAVA_NAME.match(message)) and (java["name"].endswith(("Exception", "Error"))):
            name, message = java["name"], message[java.end() :].lstrip()
        else:
            break
    last = _last_of_traceback(message)
    if last is not None or name == "PythonException":
        return _python_link(last or _first_line(message), frames)
    return _Link(_first_line(message), "" if name in _GENERAL else name, frames)


def _last_of_traceback(text: str) -> str | None:
    """Return the line below the frames of Python's traceback: that of the cause, if the text has it."""
    found = list(_TRACEBACK.finditer(text))
    if not found:
        return None
    chosen = found[-1]
    for before in reversed(found[:-1]):
        between = text[before.end() : chosen.start()]
        if _DIRECT_CAUSE not in between and not _SYSTEM.search(before["last"]):
            break
        chosen = before
    return chosen["last"]


def _python_link(line: str, frames: str) -> _Link:
    name = _PYTHON_NAME.match(line)
    if name is None or not name["name"].endswith(("Error", "Exception", "Interrupt", "Failure")):
        return _Link(line, frames=frames)
    kind = name["name"].lstrip("_")
    return _Link(_first_line(line[name.end() :]), "" if kind in _GENERAL else kind, frames)


def _first_line(text: str) -> str:
    """Return the first line that says something; a line that ends with a colon continues on the next one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _DBT_HEADING.fullmatch(line)] or lines
    if not lines:
        return ""
    line = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return _PLACE_BEFORE_PLAN.sub(r"\1", _ERRNO.sub("", line, count=1) if _ERRNO.match(line) else line)


def _innermost(links: Sequence[_Link]) -> str:
    """Return the innermost exception that has a message, else the innermost name."""
    for link in reversed(links):
        if link.message:
            return f"{link.name}: {link.message}" if link.name else link.message
    return next((link.name for link in reversed(links) if link.name), "")


def _known(text: str, links: Sequence[_Link]) -> str:
    """Return the line of a known cause, which may be anywhere in the chain; empty if there is none."""
    if _GEOMETRY_OVER_THRIFT in text:
        return _GEOMETRY
    for link in reversed(links):
        if system := _SYSTEM.search(link.message):
            return system[0] + (_SPILLED if _SPILL in link.message else "")
    if conflict := next(filter(None, map(_conflict_line, links)), ""):  # AWS's own words below it are of one service
        return conflict
    for link in reversed(links):
        if line := _aws_line(link, links) or _connection_line(link):
            return line
    if any(_WORKER in link.message for link in links):
        return WORKER_ENDED
    if sedona := _SEDONA.search(text):
        given = _BINARY.sub("", sedona["arguments"]).strip(" ,")
        return f"{sedona['function']}: {sedona['cause']}" + (f"; its arguments were {given}" if given else "")
    if users := _USER_RAISED.match(text):
        return users[1]
    return JVM_ENDED if _ENDED.fullmatch(text.strip()) or _ENDED.fullmatch(_innermost(links)) else ""


def _connection_line(link: _Link) -> str:
    if found := _UNREACHED.search(link.message):
        return f"{found['said'].strip()}: {found['host']}:{found['port']}"
    return ""


def _conflict_line(link: _Link) -> str:
    if link.name != "CommitFailedException" and not _CONFLICT.search(link.message):
        return ""
    table = _TABLE.search(link.message)
    return f"another run has published {table[1] if table else 'the same table'} meanwhile; run this again"


def _aws_line(link: _Link, links: Sequence[_Link]) -> str:
    """Return code, operation and resource of a call of AWS, and what AWS says of it; empty for another error."""
    message = link.message
    if credentials := _CREDENTIALS.search(message):  # the rest may be what a credential process printed
        return f"AWS credentials cannot be retrieved from {credentials[1]}"
    if boto := _BOTO.search(message):
        code, service = boto["code"], "s3" if boto["operation"] in _S3_PERMISSIONS else ""
        return _call_line(code, service, boto["operation"], link.place, boto["said"])
    if arrow := _ARROW.search(message):
        code = arrow["exception"] or (
            arrow["status"] if arrow["code"] == "UNKNOWN" else arrow["code"].title().replace("_", "")
        )
        said = "" if arrow["said"] == "No response body." else arrow["said"]
        return _call_line(code or "", "s3", arrow["operation"], _place(arrow["bucket"], arrow["key"] or ""), said)
    if java := _JAVA_SDK.match(message):
        called = _JAVA_OPERATION.search(link.frames)
        operation = called[1][0].upper() + called[1][1:] if called else ""
        said = java["said"].strip()
        name = "" if link.name == f"{java['service']}Exception" else link.name  # the general one has no code
        code = name.removesuffix("Exception") if java["service"] == "S3" else name
        code = _CODES_OF_MESSAGES.get(said) or code or java["status"]
        address = next(filter(None, (_S3_ADDRESS.search(one.message) for one in reversed(links))), None)
        place = _place(*address.groups()) if address else ""
        return _call_line(code, java["service"].lower(), operation, place, said)
    return _call_line("AccessDenied", "", "", "", message) if _UNAUTHORIZED.search(message) else ""  # as GDAL says it


def _call_line(code: str, service: str, operation: str, place: str, said: str) -> str:
    """Write the line of a call of AWS.

    Args:
        code: such as `AccessDenied`, or the status of HTTP where the answer has no code.
        service: such as `s3`; empty if it is not known.
        operation: such as `ListObjectsV2`; may be empty.
        place: a bucket, or the address of an object; may be empty.
        said: the message of AWS.
    """
    action = _S3_PERMISSIONS.get(operation, operation) if service == "s3" else operation
    action = ":".join(filter(None, (service, action)))
    why = said
    if denied := _UNAUTHORIZED.search(said):
        code = "AccessDenied" if code.isdigit() else code
        action, why = denied["action"], denied["why"] or ""
        place = (denied["place"] or place).removeprefix("arn:aws:s3:::")
    if action == "s3:ListBucket":
        place = place.removeprefix("s3://").partition("/")[0]
    if code.isdigit() and int(code) in set(HTTPStatus):
        code = f"{code} {HTTPStatus(int(code)).phrase}"
    is_echo = why.replace(" ", "") in code.replace(" ", "") or f"HTTP status code {code[:3]}" in why
    line = f"{code} on {action}" if action else code
    line += (f" of {place}" if place else "") + ("" if is_echo else f": {why}")
    return f"{line.rstrip('.')}; {_GRANT}" if _LAKE_FORMATION in said else line


def _place(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}" if key else bucket
