"""Checkpoints are loaded strictly, run no code, and name the model."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from embedding.model.card import SEEDED_PREFIX, Preprocessing
from embedding.model.encoder import EncoderSize
from embedding.model.weights import describe_model, load_model, seeded_encoder
from embedding.server.command import serve_command
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR

SIZE = EncoderSize(dim=48, depth=2, heads=2, dim_head=16, mlp_dim=96)
DEFAULT = Preprocessing()
State = dict[str, Any]


@pytest.fixture
def state() -> State:
    return dict(seeded_encoder(SIZE).state_dict())


def saved(path: Path, content: object, heads: int | None = SIZE.heads) -> Path:
    if path.suffix == ".safetensors":
        assert isinstance(content, dict)
        save_file(content, path)
    else:
        torch.save(content, path)
    if heads is not None:
        path.with_suffix(".json").write_text(json.dumps({"heads": heads}))
    return path


def lightning(state: State) -> State:
    encoder = {f"model.encoder.{key}": value for key, value in state.items()}
    return {"state_dict": encoder | {"model.decoder.x": torch.zeros(1), "model.teacher.cls_token": torch.zeros(1)}}


def test_all_forms_of_a_checkpoint_give_the_same_encoder(tmp_path: Path, state: State) -> None:
    paths = [
        saved(tmp_path / "lightning.ckpt", lightning(state)),
        saved(tmp_path / "bare.pt", state),
        saved(tmp_path / "bare.safetensors", state),
        saved(tmp_path / "lightning.safetensors", lightning(state)["state_dict"]),
    ]
    for path in paths:
        loaded = load_model(path, DEFAULT).encoder.state_dict()
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], state[key]) for key in state), path


def test_the_model_id_has_size_digest_and_options(sample_data: Path) -> None:
    path = sample_data / "clay" / "encoder-48.ckpt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = describe_model(path, DEFAULT)
    assert (card.model_id, card.dimension, card.weights) == (f"clay-48x2h2:sha256:{digest[:16]}", 48, "checkpoint")
    other = describe_model(path, Preprocessing(latlon_order="latitude_first"))
    assert other.model_id == f"{card.model_id}:latitude-first"
    assert load_model(path, DEFAULT).card == card


def test_the_seeded_encoder_is_the_same_everywhere_and_says_that_it_is_untrained(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        model = load_model(None, DEFAULT)
    # The digest is a constant: it must not depend on the machine or the process.
    assert model.card.model_id == "clay-seeded-96x2:seed2:sha256:dd63e669fc1ee37e:pre1"
    assert model.card == describe_model(None, DEFAULT)
    assert (model.card.is_trained, model.card.weights) == (False, "untrained weights")
    assert "untrained weights" in caplog.text


def test_the_macro_is_trained_knows_ids_of_seeded_encoders() -> None:
    macro = (PROJECT_DIR / "macros" / "similarity" / "is_trained.sql").read_text()
    assert f"not like '{SEEDED_PREFIX}%'" in macro
    assert describe_model(None, Preprocessing()).model_id.startswith(SEEDED_PREFIX)


def test_the_seeded_encoder_does_not_change_the_global_random_state() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_model(None, DEFAULT)
    assert torch.equal(torch.rand(3), expected)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChiplakeError, match=r"none\.ckpt: the checkpoint does not exist"):
        load_model(tmp_path / "none.ckpt", DEFAULT)


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, state: State, suffix: str, keep: float) -> None:
    path = saved(tmp_path / f"cut{suffix}", state)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(ChiplakeError, match="truncated"):
        load_model(path, DEFAULT)


class Malicious:
    """Makes a directory when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return shutil.copytree, (str(self.target.parent / "source"), str(self.target))


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, state: State, is_zip: bool) -> None:
    (tmp_path / "source").mkdir()
    path = tmp_path / "evil.ckpt"
    content = lightning(state) | {"hyper_parameters": Malicious(tmp_path / "ran")}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ChiplakeError, match="refused, it holds Python objects"):
        load_model(path, DEFAULT)
    assert not (tmp_path / "ran").exists()


def _without(state: State, key: str) -> State:
    return {name: value for name, value in state.items() if name != key}


TO_QKV = "transformer.layers.1.0.to_qkv.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: _without(s, TO_QKV), f"missing {TO_QKV}"),
        (lambda s: _without(s, "cls_token"), "cls_token is missing"),
        (lambda s: s | {"transformer.extra": torch.zeros(1)}, r"unexpected transformer\.extra"),
        (
            lambda s: s | {TO_QKV: torch.zeros(95, 48)},
            r"has shape \(95, 48\); an encoder of this size needs \(96, 48\)",
        ),
        (lambda s: s | {"cls_token": torch.full((1, 1, 48), float("nan"))}, "not finite"),
        (lambda s: s | {"cls_token": torch.zeros(1, 1, 50)}, "multiple of 4"),
        (lambda s: s | {"cls_token": "text"}, "is not a tensor of floats"),
        (lambda _: {"weights": torch.zeros(1)}, "not a Clay encoder"),
        (lambda _: [1, 2], "it holds a list"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, state: State, change: Any, words: str) -> None:
    path = saved(tmp_path / "wrong.ckpt", change(state))
    with pytest.raises(ChiplakeError, match=words):
        load_model(path, DEFAULT)


def test_an_unknown_size_needs_its_heads_beside_it(tmp_path: Path, state: State) -> None:
    path = saved(tmp_path / "own.ckpt", state, heads=None)
    with pytest.raises(ChiplakeError, match=r"the number of heads is unknown; give heads .*own\.json"):
        describe_model(path, DEFAULT)


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"heads": 5}, "cannot be split over 5 heads"),
        ({"heads": 2, "dim_head": 64}, "dim_head is 64 here and 16"),
        ({"heads": 2, "patch_size": 16}, "patch_size is 16 here and 8"),
        ({"heads": 2, "mlp_ratio": 4}, "mlp_dim is 192 here and 96"),
        ({"dim": 48}, "not the configuration of an encoder"),
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_refused(
    tmp_path: Path, state: State, sidecar: State, words: str
) -> None:
    path = saved(tmp_path / "own.ckpt", state)
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    with pytest.raises(ChiplakeError, match=words):
        describe_model(path, DEFAULT)


def test_heads_are_part_of_the_model_id(tmp_path: Path, state: State) -> None:
    path = saved(tmp_path / "own.ckpt", state, heads=2)
    two = describe_model(path, DEFAULT).model_id
    path.with_suffix(".json").write_text('{"heads": 4}')
    assert describe_model(path, DEFAULT).model_id != two


def test_half_precision_weights_are_computed_in_single_precision(tmp_path: Path, state: State) -> None:
    path = saved(tmp_path / "half.safetensors", {key: value.half() for key, value in state.items()})
    loaded = load_model(path, DEFAULT).encoder.state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    np.testing.assert_allclose(loaded["cls_token"], state["cls_token"], atol=1e-3)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver is too old for torch, which says so."""

    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("cuda", "driver"), [("12.8", "525"), ("13.0", "580")])
def test_a_gpu_that_was_asked_for_and_cannot_be_used_is_an_error_with_its_driver(
    monkeypatch: pytest.MonkeyPatch, cuda: str, driver: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(ChiplakeError, match="the device cuda was asked for and cannot be used") as raised:
        load_model(None, Preprocessing(), "cuda")
    message = str(raised.value)
    assert f"with CUDA {cuda} needs an NVIDIA GPU and a driver of version {driver} or newer" in message
    assert "too old (found version 11040)" in message
    assert "al2-ami-sagemaker-batch-gpu-535" in message


@pytest.mark.usefixtures("no_gpu")
def test_a_torch_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ChiplakeError, match="is built without CUDA; install a build with it"):
        load_model(None, Preprocessing(), "cuda")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("has_device", [True, False])
def test_the_choice_of_a_cpu_beside_a_gpu_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, has_device: bool
) -> None:
    device = tmp_path / "nvidiactl"
    if has_device:
        device.touch()
    monkeypatch.setattr("embedding.model.weights._NVIDIA_DEVICE", device)
    assert load_model(None, Preprocessing(), "auto").device.type == "cpu"
    assert ("the CPU is used instead" in caplog.text) is has_device


def test_a_device_that_does_not_exist_is_named() -> None:
    with pytest.raises(ChiplakeError, match="tpu: unknown device; use auto, cpu or cuda"):
        load_model(None, Preprocessing(), "tpu")


def test_the_container_gets_its_device_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    monkeypatch.setattr("embedding.server.serve.serve", lambda options: chosen.append(options.device))
    app = typer.Typer()
    app.command()(serve_command)
    for environment in ({}, {"CHIPLAKE_DEVICE": "cuda"}):
        assert CliRunner().invoke(app, [], env=environment).exit_code == 0
    assert chosen == ["auto", "cuda"]
