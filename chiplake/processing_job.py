"""`smspark-submit` of the image: a Python application in a SageMaker processing job.

PySparkProcessor of the SageMaker SDK calls it as it calls AWS's own Spark images:

    smspark-submit [--py-files P] [--jars P] [--files P] [--local-spark-event-logs-dir D] APPLICATION [ARGUMENT ...]

The application is a Python file, or a program of the image: `chiplake`, `dbt`. The application makes its Spark session
itself (lakehouse/spark/session.py), so it is run by this interpreter, and options for Spark reach the session's JVM
through PYSPARK_SUBMIT_ARGS. Properties that the session sets have priority over these options. On several hosts
the application runs on the first one, in a Spark cluster of all (chiplake/job_cluster.py).

SageMaker makes the folders of outputs for root only (https://github.com/aws/sagemaker-python-sdk/issues/4764), so the
container starts as root, gives these folders to the user named in CHIPLAKE_JOB_USER, and continues as that user.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from chiplake.job_cluster import Place, host_environment, master_address, primary_daemons, work_for_primary
from chiplake.job_hosts import Hosts, read_hosts, read_json
from chiplake.job_resources import ClusterResources, this_machine
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError
from lakehouse.settings.runtime import RuntimeSettings

ROOT_VARIABLE: Final = "CHIPLAKE_ML_ROOT"  # for tests; SageMaker's folders are below /opt/ml
USER_VARIABLE: Final = "CHIPLAKE_JOB_USER"
SUBMIT_VARIABLE: Final = "PYSPARK_SUBMIT_ARGS"
_ROOT: Final = "/opt/ml"

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingJob.html: ExitMessage
_MESSAGE_BYTES: Final = 1024
_KEPT_LINES: Final = 500  # last lines of the application's standard error; a stack trace of Java has hundreds
_TRACE: Final = re.compile(r"^(?:Traceback \(most recent call last\):|(?:[\w$]+\.)+[\w$]*(?:Exception|Error)\b)", re.M)
_ERROR_PREFIX: Final = "chiplake:"  # of the line in which the command line reports why it ends
_SHELL: Final = "pyspark-shell"  # the application of a session that Python starts
_WATCH_S: Final = 1.0
_STAGED_OPTIONS: Final = ("py-files", "jars", "files")  # lists of files, folders and addresses


@dataclass(frozen=True)
class Submission:
    """A command, and its options for Spark."""

    command: tuple[str, ...]
    spark_options: tuple[str, ...]
    python_path: tuple[str, ...]  # folders and archives of --py-files


def main() -> None:
    """Run the application and exit with its exit code; 1 if it cannot be started, 2 for wrong usage."""
    root = Path(os.environ.get(ROOT_VARIABLE, _ROOT))
    try:
        become_user(os.environ.get(USER_VARIABLE), root)
        submission = read_submission(sys.argv[1:], root)
        hosts, machine = read_hosts(root), this_machine()
        if len(hosts.names) == 1:
            variables = environment(dict(os.environ), submission, machine.settings(), root)
            code, reason = run(submission, os.environ | variables)
        else:
            code, reason = run_on_hosts(submission, hosts, ClusterResources(machine, len(hosts.names)), root)
    except ChiplakeError as error:
        code, reason = 1, f"smspark-submit: {error}"
        print(reason, file=sys.stderr)
    if code:
        write_message(root, reason or f"{' '.join(sys.argv[1:])} ended with exit code {code}")
    elif reason.startswith(_ERROR_PREFIX):  # some chips failed: CHIPLAKE_INCOMPLETE_EXIT_CODE=0
        write_message(root, reason)
    sys.exit(code)


def become_user(name: str | None, root: Path) -> None:
    """Give SageMaker's folders to a user and continue as that user.

    Without a name, or if this process is not root's, nothing is done.

    Raises:
        ChiplakeError: the user does not exist.
    """
    if not name or os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ChiplakeError(f"{USER_VARIABLE}={name}: there is no such user") from None
    for folder in (root / "processing", root / "output"):
        for path in (folder, *folder.rglob("*")):
            if path.exists():
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ["HOME"] = user.pw_dir


def read_submission(command_line: Sequence[str], root: Path) -> Submission:
    """Read the command line, and the Spark properties of the job's input `conf`.

    Args:
        command_line: arguments of smspark-submit.
        root: SageMaker's folder.

    Raises:
        ChiplakeError: a file does not exist, or an option does not work in this image.
    """
    parser = argparse.ArgumentParser("smspark-submit", allow_abbrev=False)
    for name in _STAGED_OPTIONS:
        parser.add_argument(f"--{name}", default="", metavar="PATHS", help="files and folders, with commas between")
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="a Spark property")
    parser.add_argument("--local-spark-event-logs-dir", type=Path, metavar="FOLDER", help="where event logs go")
    parser.add_argument("--verbose", "-v", action="store_true", help="ignored; AWS's own images have it")
    parser.add_argument("application", help="a Python file, or a program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for the application")
    given = parser.parse_args(command_line)
    command = (*_program(given.application), *given.arguments)
    options: list[str] = []
    staged = {name: _files(getattr(given, name.replace("-", "_")), f"--{name}") for name in _STAGED_OPTIONS}
    for name, files in staged.items():
        if files:
            options += [f"--{name}", ",".join(files)]
    properties = _configured_properties(root / "processing" / "input" / "conf" / "configuration.json")
    if given.local_spark_event_logs_dir:
        properties |= _event_log_properties(given.local_spark_event_logs_dir)
    for pair in given.conf:
        name, is_pair, value = pair.partition("=")
        if not is_pair:
            raise ChiplakeError(f"--conf {pair}: a Spark property is NAME=VALUE")
        properties[name] = value
    for name, value in properties.items():
        options += ["--conf", f"{name}={value}"]
    modules = [str(Path(file).parent) if file.endswith(".py") else file for file in staged["py-files"]]
    return Submission(command, tuple(options), tuple(dict.fromkeys(modules)))


def run_on_hosts(submission: Submission, hosts: Hosts, resources: ClusterResources, root: Path) -> tuple[int, str]:
    """Run the application on the primary with a Spark cluster of all hosts; on another host, a worker of the cluster.

    Returns:
        As `run`; (0, "") on a host that worked until the application had ended.

    Raises:
        ChiplakeError: a host did not come, or a daemon of Spark ended before the application.
    """
    signal.signal(signal.SIGTERM, _stop)
    wait_s = RuntimeSettings.from_environment().hosts_wait_s
    present = dict(os.environ)
    given = [word for word in shlex.split(present.get(SUBMIT_VARIABLE, "")) if word != _SHELL]
    properties = [word for pair in resources.spark_properties().items() for word in ("--conf", "=".join(pair))]
    submission = replace(submission, spark_options=(*properties, *given, *submission.spark_options))  # the last counts
    settings = resources.settings() | {"CHIPLAKE_SPARK_MASTER": master_address(hosts)}
    variables = present | environment(present, submission, settings, root) | host_environment(hosts)
    place = Place(hosts, resources, variables, Path(variables["SPARK_LOCAL_DIRS"].split(",")[0]))
    if not hosts.is_primary:
        work_for_primary(place, wait_s)
        return 0, ""
    with primary_daemons(place, wait_s) as daemons:
        return run(submission, variables, lambda: next(filter(None, (daemon.failure() for daemon in daemons)), ""))


def environment(
    present: dict[str, str], submission: Submission, settings: Mapping[str, str], root: Path
) -> dict[str, str]:
    """Return the variables to add to the application's environment. Settings that are present stay as they are.

    Args:
        present: the environment of this process.
        submission: the command.
        settings: those of the session, which follow from the hosts.
        root: SageMaker's folder.
    """
    defaults = {**settings, "SPARK_LOCAL_DIRS": str(_scratch(root))}
    more = {name: value for name, value in defaults.items() if name not in present}
    # Some SDKs read one name, others the other.
    region = present.get("AWS_REGION") or present.get("AWS_DEFAULT_REGION")
    if region:
        more |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    if submission.python_path:
        path = [*submission.python_path, present.get("PYTHONPATH", "")]
        more["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    if submission.spark_options:
        more[SUBMIT_VARIABLE] = shlex.join([*submission.spark_options, _SHELL])
    return more


def run(
    submission: Submission, variables: Mapping[str, str], failure: Callable[[], str] = lambda: ""
) -> tuple[int, str]:
    """Run the application to its end.

    Args:
        submission: the command.
        variables: its environment.
        failure: says why the application cannot continue; empty while it can.

    Returns:
        Its exit code, and the line of standard error that reports an error, else the last line.

    Raises:
        ChiplakeError: `failure` gave a reason, and the application was ended.
    """
    with subprocess.Popen(
        submission.command, env=variables, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        # SageMaker stops a container by SIGTERM, which ends the application.
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stderr is not None
        with _ended_on_failure(process, failure) as reasons:
            last = _pass_on(process.stderr)
    if reasons:
        raise ChiplakeError(reasons[0])
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return code, _error_line(last)


def write_message(root: Path, message: str) -> None:
    """Write why the job failed, or is incomplete, to the file that becomes the job's ExitMessage."""
    path = root / "output" / "message"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(message.encode()[:_MESSAGE_BYTES])
    except OSError as error:
        print(f"smspark-submit: cannot write {path}: {error.strerror}", file=sys.stderr)


def _program(application: str) -> tuple[str, ...]:
    if application.endswith(".py"):
        if not Path(application).is_file():
            raise ChiplakeError(f"{application}: there is no such file; is it an input of the job?")
        return (sys.executable, application)
    program = shutil.which(application)
    if program is None:
        raise ChiplakeError(f"{application}: it is neither a Python file (.py) nor a program of this image")
    return (program,)


def _files(value: str, option: str) -> list[str]:
    """Return the files of an option. PySparkProcessor puts local files into a folder; it means all files in it."""
    files: list[str] = []
    for one in filter(None, value.split(",")):
        path = Path(one)
        if "://" in one:
            raise ChiplakeError(f"{option} {one}: give PySparkProcessor a local file, which then is an input")
        if path.is_dir():
            files += sorted(str(inside) for inside in path.iterdir() if inside.is_file())
        elif path.is_file():
            files.append(str(path))
        else:
            raise ChiplakeError(f"{option} {one}: there is no such file; is it an input of the job?")
    return files


def _configured_properties(path: Path) -> dict[str, str]:
    """Spark properties of `PySparkProcessor.run(configuration=…)`, in the format of EMR."""
    if not path.is_file():
        return {}
    content = read_json(path)
    properties: dict[str, str] = {}
    for entry in content if isinstance(content, list) else [content]:
        if entry.get("Classification") != "spark-defaults":
            raise ChiplakeError(f"configuration: only spark-defaults is understood, not {entry.get('Classification')}")
        properties |= {str(name): str(value) for name, value in entry.get("Properties", {}).items()}
    return properties


def _event_log_properties(folder: Path) -> dict[str, str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ChiplakeError(f"--local-spark-event-logs-dir {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise ChiplakeError(f"--local-spark-event-logs-dir {folder}: this user may not write there")
    return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder.absolute().as_uri()}


def _stop(*_: object) -> None:
    """Leave all contexts, which end the daemons."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


@contextmanager
def _ended_on_failure(process: subprocess.Popen[str], failure: Callable[[], str]) -> Iterator[list[str]]:
    """End a process as soon as `failure` gives a reason; yield a list that then has the reason."""
    reasons: list[str] = []
    left = threading.Event()

    def watch() -> None:
        while not left.wait(_WATCH_S):
            if reason := failure():
                reasons.append(reason)
                process.terminate()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield reasons
    finally:
        left.set()
        thread.join()


def _scratch(root: Path) -> Path:
    """Return a new folder on the disk with the most free space; the job's volume depends on the instance type."""
    places = [place for place in (root / "processing", Path(tempfile.gettempdir())) if os.access(place, os.W_OK)]
    return Path(tempfile.mkdtemp(prefix="chiplake-", dir=max(places, key=lambda place: shutil.disk_usage(place).free)))


def _pass_on(stream: IO[str]) -> deque[str]:
    """Copy lines to standard error as they come, and keep the last ones."""
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    for line in stream:
        sys.stderr.write(line)
        sys.stderr.flush()
        last.append(line)
    return last


def _error_line(lines: Sequence[str]) -> str:
    """Return the last line that reports an error of Chiplake, else the root cause of a trace, else the last line."""
    errors = [line.strip() for line in lines if line.startswith(_ERROR_PREFIX)]
    if errors:
        return errors[-1]
    text = "".join(lines)
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    starts = [match.start() for match in _TRACE.finditer(text)]
    return root_cause(text[starts[0] :]) if starts else last.strip()


if __name__ == "__main__":
    main()
