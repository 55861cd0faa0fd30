"""Model data of a SageMaker model: the same bytes each time, and code that runs the server."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from chiplake.cli.embed import app
from embedding.model.card import Preprocessing, read_weights
from embedding.model.weights import describe_model
from embedding.server.package import packaged_weights, write_package
from embedding.server.process import inference_server
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR, get_settings


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first, weights = write_package(tmp_path / "a", None)
    time.sleep(1.1)  # times of files have a resolution of a second
    second, _ = write_package(tmp_path / "b.tar.gz", None)
    assert first == tmp_path / "a" / "model.tar.gz"
    assert first.read_bytes() == second.read_bytes()
    assert weights.card(Preprocessing()) == describe_model(None, Preprocessing())
    assert read_weights(tmp_path / "a" / "model.tar.gz.card.json") == weights
    with tarfile.open(first) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    assert {(entry.uid, entry.gid, entry.mtime, entry.uname) for entry in entries} == {(0, 0, 0, "")}
    assert {"code/lakehouse/settings/__init__.py", "code/embedding/server/app.py", "code/python_udfs/codec.py"} <= set(
        names
    )
    assert all(name.startswith("code/") and name.endswith(".py") for name in names)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_the_packed_code_runs_the_server(tmp_path: Path, has_checkpoint: bool, request: pytest.FixtureRequest) -> None:
    checkpoint = None
    if has_checkpoint:
        checkpoint = request.getfixturevalue("sample_data") / "clay" / "encoder-48.ckpt"
    archive, weights = write_package(tmp_path, checkpoint)
    card = weights.card(Preprocessing())
    model_dir = tmp_path / "opt" / "ml" / "model"
    with tarfile.open(archive) as tar:
        tar.extractall(model_dir, filter="data")
    code = model_dir / "code"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "PYTHONPATH": str(code), "SM_MODEL_DIR": str(model_dir)}
    imported = subprocess.run(
        [sys.executable, "-c", "import embedding; print(embedding.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(imported.stdout.strip()) == code / "embedding" / "__init__.py"
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "log").open("wb") as log:
        port, fd = listener.getsockname()[1], listener.fileno()
        process = subprocess.Popen(
            [str(PROJECT_DIR / "docker" / "serve"), "--listen-fd", str(fd)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[fd],
        )
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/ping", timeout=60, trust_env=False)
        assert answer.status_code == 200
        assert answer.json()["model_id"] == card.model_id
    finally:
        process.terminate()
        process.wait(30)


def test_a_sidecar_goes_with_its_checkpoint(tmp_path: Path, sample_data: Path) -> None:
    checkpoint = tmp_path / "odd.ckpt"
    checkpoint.write_bytes((sample_data / "clay" / "encoder-48.ckpt").read_bytes())
    sidecar = sample_data / "clay" / "encoder-48.json"
    if not sidecar.is_file():
        pytest.skip(f"no {sidecar}")
    (tmp_path / "odd.json").write_bytes(sidecar.read_bytes())
    archive, _ = write_package(tmp_path, checkpoint)
    with tarfile.open(archive) as tar:
        assert [name for name in tar.getnames() if not name.startswith("code/")] == ["odd.ckpt", "odd.json"]


def test_a_checkpoint_that_cannot_be_used_is_not_packed(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"broken")
    with pytest.raises(ChiplakeError, match=r"broken\.ckpt: truncated"):
        write_package(tmp_path / "out", broken)
    assert not (tmp_path / "out").exists()


def test_the_checkpoint_of_model_data_is_found(tmp_path: Path) -> None:
    assert packaged_weights(tmp_path / "none") is None
    assert packaged_weights(tmp_path) is None
    (tmp_path / "clay.ckpt").touch()
    (tmp_path / "clay.json").touch()
    assert packaged_weights(tmp_path) == tmp_path / "clay.ckpt"
    (tmp_path / "other.safetensors").touch()
    with pytest.raises(ChiplakeError, match=r"clay\.ckpt, other\.safetensors"):
        packaged_weights(tmp_path)


def test_the_local_transform_ignores_sagemaker_model_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.ckpt").write_bytes(b"broken")
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path))  # as in a container of SageMaker
    with inference_server(None, Preprocessing(), tmp_path / "server.log") as server:
        model_id = httpx.get(f"{server.url}/ping", trust_env=False).json()["model_id"]
    assert model_id == describe_model(None, Preprocessing()).model_id


def test_the_command_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHIPLAKE_CLAY_CHECKPOINT", raising=False)
    get_settings.cache_clear()
    result = CliRunner().invoke(app, ["package", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'out' / 'model.tar.gz'}: {describe_model(None, Preprocessing()).model_id}" in result.output
    assert (tmp_path / "out" / "model.tar.gz").is_file()


def test_the_image_has_the_versions_of_the_project_except_for_torch() -> None:
    pins = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)
    project = dict(pins.findall((PROJECT_DIR / "requirements.lock").read_text()))
    image = dict(pins.findall((PROJECT_DIR / "docker" / "requirements.lock").read_text()))
    assert image == {name: project[name] for name in image}
    assert "torch" not in image, "torch-requirements.lock has an older one, for CUDA 12"
