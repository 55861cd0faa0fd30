"""The images, without a container engine: their content, and their entry points as processes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from support.processing_container import image_environment, run_container
from support.servers.aws import REGION, AwsServer

from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.spark.jars import JARS

DOCKER = PROJECT_DIR / "docker"
SPARK = (DOCKER / "spark.Dockerfile").read_text()
CLAY = (DOCKER / "clay.Dockerfile").read_text()
PINS = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)
BUCKET = "lake-of-tests"
# Of the inference server, and of whoever describes a checkpoint without a card.
MODULES_WITH_TORCH = (
    *(f"embedding/model/{name}.py" for name in ("encoder", "inference", "preprocess", "weights")),
    *(f"embedding/server/{name}.py" for name in ("app", "package", "serve")),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder that replaces /opt/ml of the container."""
    (tmp_path / "ml" / "processing").mkdir(parents=True)
    return tmp_path / "ml"


def application(root: Path, text: str) -> str:
    """Return an application in the folder in which SageMaker puts the input `code`."""
    path = root / "processing" / "input" / "code" / "app.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_the_spark_image_has_the_versions_of_the_project() -> None:
    project = dict(PINS.findall((PROJECT_DIR / "requirements.lock").read_text()))
    image = dict(PINS.findall((DOCKER / "spark-requirements.lock").read_text()))
    assert image == {name: project[name] for name in image}
    assert "torch" not in image
    assert "torch" not in SPARK.lower().replace("has no torch", "")
    assert not {"apache-airflow", "aws-cdk-lib", "moto", "pytest", "pyhive"} & image.keys()


def test_torch_of_the_inference_server_is_built_for_the_cuda_that_sagemakers_driver_runs() -> None:
    """Driver 535, the newest that batch transform offers, runs CUDA 12 of any minor version and nothing newer."""
    packages = dict(PINS.findall((DOCKER / "torch-requirements.lock").read_text()))
    assert f"ARG TORCH=torch=={packages['torch']}\n" in CLAY
    assert packages["nvidia-cuda-runtime-cu12"].startswith("12.")
    libraries = [name for name in packages if name.startswith("nvidia-")]
    assert len(libraries) > 10
    assert all(name.endswith("-cu12") for name in libraries), libraries
    others = dict(PINS.findall((DOCKER / "requirements.lock").read_text()))
    assert "torch" not in others
    assert {name: packages[name] for name in packages.keys() & others.keys()} == {
        name: others[name] for name in packages.keys() & others.keys()
    }


def test_the_image_of_the_inference_server_asks_nvidias_runtime_for_the_gpu() -> None:
    assert "ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility\n" in CLAY


@pytest.mark.parametrize(
    ("torch", "index", "expected"),
    [
        ("torch==2.10.0", "", "-m pip install --require-hashes --requirement /tmp/torch-requirements.lock"),
        ("torch==2.10.0", "https://cpu.example", "-m pip install --index-url https://cpu.example torch==2.10.0"),
        ("", "", ""),
    ],
)
def test_the_image_build_takes_torch_from_its_lock_or_another_index(
    tmp_path: Path, torch: str, index: str, expected: str
) -> None:
    (step,) = (step for step in _run_steps(CLAY) if "TORCH_INDEX" in step)
    recorder = tmp_path / "python"
    recorder.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/called\n')
    recorder.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH": torch, "TORCH_INDEX": index}
    subprocess.run(["sh", "-c", step], env=environment, check=True, capture_output=True)
    called = tmp_path / "called"
    assert (called.read_text().strip() if called.exists() else "") == expected


def test_the_packages_of_the_spark_image_are_all_that_jobs_import() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (DOCKER / "spark-requirements.lock").read_text(), re.MULTILINE))
    allowed = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if any(_name(one) in pinned for one in distributions)
    }
    modules = sorted(
        path.relative_to(PROJECT_DIR).with_suffix("").as_posix().replace("/", ".")
        for package in ("chiplake", "embedding", "ingestion", "lakehouse", "python_udfs")
        for path in (PROJECT_DIR / package).rglob("*.py")
        # The image does not have the demo.
        if path.name not in ("__main__.py", "__init__.py") and not {"demo", "synthetic"} & set(path.parts)
    )
    for_torch = {path.removesuffix(".py").replace("/", ".") for path in MODULES_WITH_TORCH}
    assert for_torch <= set(modules)
    modules = [module for module in modules if module not in for_torch]
    packages = ["chiplake", "embedding", "ingestion", "lakehouse", "python_udfs", "dbt_chiplake", "pyspark_chiplake"]
    script = f"""
import sys
allowed = {[*sorted(allowed), *modules, *packages]!r}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {sorted(importlib.metadata.packages_distributions())!r} and top not in allowed:
            raise ModuleNotFoundError(f"No module named {{name!r}}: not in the image", name=name)
sys.meta_path.insert(0, Refuse())
import importlib
for module in {modules!r} + ["dbt_chiplake", "pyspark_chiplake", "boto3", "dbt.adapters.spark.session", "sedona.spark"]:
    importlib.import_module(module)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_DIR,
        env=os.environ | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def _run_steps(dockerfile: str) -> list[str]:
    """Return the scripts of the RUN steps, as /bin/sh gets them."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#")))
    return re.findall(r"^RUN (.*)$", joined, re.MULTILINE)


def test_run_steps_are_valid_shell() -> None:
    for dockerfile in DOCKER.glob("*.Dockerfile"):
        steps = _run_steps(dockerfile.read_text())
        assert len(steps) >= 3
        for step in steps:
            done = subprocess.run(["sh", "-n"], input=step, capture_output=True, text=True)
            assert done.returncode == 0, f"{dockerfile.name}: {step}: {done.stderr}"


def test_the_image_build_takes_setuptools_from_the_lock_with_its_hashes(tmp_path: Path) -> None:
    (step,) = (step for step in _run_steps(SPARK) if "setuptools" in step)
    (awk,) = re.findall(r"awk .* > \S+", step)
    shutil.copy(DOCKER / "spark-requirements.lock", tmp_path / "requirements.lock")
    subprocess.run(["sh", "-c", awk.replace("/tmp/", f"{tmp_path}/")], check=True)
    first, *hashes = (tmp_path / "setuptools.txt").read_text().splitlines()
    assert first.startswith("setuptools==")
    assert len(hashes) >= 2
    assert all("--hash=sha256:" in line for line in hashes)


def test_the_files_that_the_jar_step_copies_are_enough_to_fetch_and_check_jars(tmp_path: Path) -> None:
    """The build step has only one package of the project."""
    (copied,) = re.findall(r"^COPY (.*) /opt/fetch/lakehouse$", SPARK, re.MULTILINE)
    shutil.copytree(PROJECT_DIR / copied, tmp_path / "fetch" / copied)
    (step,) = (step for step in _run_steps(SPARK) if "ensure_jars" in step)
    jars = tmp_path / "jars"
    jars.mkdir()
    for jar in JARS:
        (jars / jar.file_name).symlink_to(Settings().runtime.jars_dir / jar.file_name)
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CHIPLAKE_JARS_DIR": str(jars)}
    command = step.replace("/opt/fetch", str(tmp_path / "fetch"))
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.java
@pytest.mark.aws
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # in its docstrings
def test_pyspark_processor_drives_the_image(aws: AwsServer, tmp_path: Path) -> None:
    """The SDK makes the request; the job runs an application on a lake in S3 and Glue."""
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.spark.processing import PySparkProcessor

    aws.run_processing_jobs = True
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    helper = tmp_path / "helper.py"
    helper.write_text("TEXT = 'of a helper'\n")
    app = tmp_path / "count_tables.py"
    app.write_text(
        "import sys\n"
        "from helper import TEXT\n"
        "from python_udfs.session import get_spark\n"
        "spark = get_spark()\n"
        "print(TEXT, sys.argv[1:], spark.sql('show tables in raw').count(), 'tables')\n"
        "print(spark.conf.get('spark.executor.heartbeatInterval'), spark.conf.get('spark.sql.ansi.enabled'))\n"
    )
    aws_session = boto3.Session(region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")
    session = Session(boto_session=aws_session, sagemaker_client=aws.client("sagemaker"), default_bucket=BUCKET)
    processor = PySparkProcessor(
        role="arn:aws:iam::123456789012:role/chiplake-job",
        image_uri="123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake:1",
        instance_type="ml.m5.4xlarge",
        instance_count=1,
        env={
            "CHIPLAKE_WAREHOUSE": f"s3://{BUCKET}/warehouse",
            "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g",
        },
        sagemaker_session=session,
    )
    processor.run(
        str(app),
        submit_py_files=[str(helper)],
        arguments=["--start-date", "2023-08-01"],
        configuration=[{"Classification": "spark-defaults", "Properties": {"spark.executor.heartbeatInterval": "21s"}}],
        spark_event_logs_s3_uri=f"s3://{BUCKET}/spark-events",
        job_name="chiplake-job-1",
        wait=False,
        logs=False,
    )
    aws.wait_for_jobs()
    job = aws.client("sagemaker").describe_processing_job(ProcessingJobName="chiplake-job-1")
    log = aws.processing_jobs["chiplake-job-1"].log
    assert job["AppSpecification"]["ContainerEntrypoint"][0] == "smspark-submit"
    assert job["ProcessingJobStatus"] == "Completed", log
    assert "of a helper ['--start-date', '2023-08-01'] 6 tables\n21s false\n" in log
    databases = {one["Name"] for one in aws.client("glue").get_databases()["DatabaseList"]}
    assert databases == {"default", "raw", "ops", "chiplake"}
    written = s3.list_objects_v2(Bucket=BUCKET, Prefix="spark-events/")["Contents"]
    (event_log,) = (one for one in written if "/events_" in one["Key"])  # each application has a folder
    assert event_log["Size"] > 1000
    assert "ExitMessage" not in job


def test_the_exit_message_of_an_incomplete_job_counts_the_remaining_chips(root: Path) -> None:
    script = "echo working >&2; echo 'chiplake: 4 chips could not be read' >&2; echo end >&2"
    done = run_container(root, ["smspark-submit", "sh", "-c", script], {})
    assert done.returncode == 0, done.stderr
    assert (root / "output" / "message").read_text() == "chiplake: 4 chips could not be read"


def test_the_error_of_a_failed_job_is_its_exit_message(root: Path) -> None:
    script = (PROJECT_DIR / "scripts" / "run_job.py").read_text()
    command = ["smspark-submit", application(root, script), "nightly"]
    done = run_container(root, [*command, "--start-date", "2023-08-02", "--end-date", "2023-08-01"], {})
    assert done.returncode == 1
    message = (root / "output" / "message").read_text()
    assert message == "chiplake: the start date 2023-08-02 is after the end date 2023-08-01"
    assert message in done.stderr


def test_the_exit_message_of_an_application_with_a_trace_is_the_root_cause(root: Path) -> None:
    app = application(root, "with open('/dev/full', 'w') as file:\n    file.write('x')\n")
    done = run_container(root, ["smspark-submit", app], {})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert (root / "output" / "message").read_text() == "No space left on device"


def test_the_exit_message_after_a_trace_of_java_is_the_root_cause(root: Path) -> None:
    trace = tomllib.loads((PROJECT_DIR / "tests/unit/lakehouse/errors_of_the_jvm.toml").read_text())["denied_read"]
    text = f"py4j.protocol.Py4JJavaError: {trace['text']}"
    app = application(root, f"import sys\nprint({text!r}, file=sys.stderr)\nsys.exit(1)\n")
    run_container(root, ["smspark-submit", app], {})
    assert (root / "output" / "message").read_text() == trace["line"]


def test_settings_fit_the_machine_unless_the_job_has_its_own(root: Path) -> None:
    names = ("CHIPLAKE_SPARK_DRIVER_MEMORY", "CHIPLAKE_SHUFFLE_PARTITIONS", "SPARK_LOCAL_DIRS", "AWS_DEFAULT_REGION")
    text = f"import json, os\nprint(json.dumps([os.environ.get(name) for name in {names}]))\n"
    given = {"CHIPLAKE_SHUFFLE_PARTITIONS": "7", "AWS_REGION": "eu-west-1"}
    done = run_container(root, ["smspark-submit", application(root, text)], given)
    memory, partitions, scratch, region = json.loads(done.stdout)
    assert re.fullmatch(r"[1-9][0-9]*g", memory)
    assert (partitions, region) == ("7", "eu-west-1")
    assert Path(scratch).is_relative_to(root.parent)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ([], 2, "the following arguments are required: application"),
        (["--class", "org.example.Main", "APP"], 2, "smspark-submit: error"),
        (["no_such.py"], 1, "no_such.py: there is no such file; is it an input of the job?"),
        (["no_such_program"], 1, "no_such_program: it is neither a Python file (.py) nor a program of this image"),
        (["--py-files", "s3://bucket/a.py", "APP"], 1, "give PySparkProcessor a local file"),
        (["--jars", "/no/such", "APP"], 1, "--jars /no/such: there is no such file"),
        (["--conf", "spark.ui.enabled", "APP"], 1, "a Spark property is NAME=VALUE"),
        (["APP"], 7, "the last line"),
    ],
)
def test_a_message_names_what_cannot_run_and_the_exit_code_is_kept(
    root: Path, command: list[str], code: int, message: str
) -> None:
    app = application(
        root, "import sys\nprint('first', file=sys.stderr)\nprint('the last line', file=sys.stderr)\nsys.exit(7)\n"
    )
    done = run_container(root, ["smspark-submit", *(app if word == "APP" else word for word in command)], {})
    assert done.returncode == code
    assert message in done.stderr
    if code != 2:
        assert message in (root / "output" / "message").read_text()


def test_other_classifications_of_emr_are_refused(root: Path) -> None:
    conf = root / "processing" / "input" / "conf" / "configuration.json"
    conf.parent.mkdir(parents=True)
    conf.write_text(json.dumps([{"Classification": "hive-site", "Properties": {}}]))
    done = run_container(root, ["smspark-submit", application(root, "print('ran')")], {})
    assert (done.returncode, done.stdout) == (1, "")
    assert "only spark-defaults is understood, not hive-site" in done.stderr


def test_a_job_that_is_stopped_ends(root: Path) -> None:
    text = "import pathlib, time\npathlib.Path(__file__).with_suffix('.started').touch()\ntime.sleep(60)\n"
    app = application(root, text)
    process = subprocess.Popen(["smspark-submit", app], env=image_environment(root), stderr=subprocess.DEVNULL)
    started = Path(app).with_suffix(".started")
    deadline = time.monotonic() + 30
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM


@pytest.fixture
def shared_root() -> Iterator[Path]:
    """Like `root`, but readable by every user: only their owner can read pytest's folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "ml" / "processing").mkdir(parents=True)
        yield Path(folder) / "ml"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_application_does_not_run_as_root_and_may_write_outputs(shared_root: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    output = shared_root / "processing" / "objects"
    output.mkdir(mode=0o755)
    # A shell script, because this Python may be in a folder that only root can read.
    script = shared_root / "app.sh"
    script.write_text(f"id -u; id -G; touch {output}/written; echo 'chiplake: no' >&2; exit 4\n")
    given = {"CHIPLAKE_JOB_USER": "nobody", "TMPDIR": tempfile.gettempdir()}
    done = run_container(shared_root, ["smspark-submit", "sh", str(script)], given)
    assert (done.returncode, done.stdout) == (4, f"{nobody.pw_uid}\n{nobody.pw_gid}\n"), done.stderr
    assert (output / "written").stat().st_uid == nobody.pw_uid
    assert (shared_root / "output" / "message").read_text() == "chiplake: no"


def test_programs_of_the_image_are_executable() -> None:
    (programs,) = re.findall(r"^COPY (docker/.*) /usr/local/bin/$", SPARK, re.MULTILINE)
    assert programs.split() == ["docker/smspark-submit", "docker/chiplake"]
    for program in programs.split():
        assert os.access(PROJECT_DIR / program, os.X_OK), f"{program} is not executable"
    compile((DOCKER / "chiplake").read_text(), "chiplake", "exec")
