"""The local transform follows batch transform's contract: real server process, real HTTP on loopback."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from support.embeddings import make_chip, make_request

from embedding.model.card import Preprocessing
from embedding.model.weights import describe_model
from embedding.runs import local_transform
from embedding.runs.local_transform import transform_locally
from embedding.server import client
from embedding.server.process import ServerDiedError, inference_server
from embedding.wire import ARROW_STREAM, PARQUET, read_table, write_table
from lakehouse.errors import ChiplakeError

BANDS = ("blue", "nir")


@pytest.fixture
def input_dir(tmp_path: Path) -> Path:
    """Three objects of two chips each."""
    directory = tmp_path / "input"
    directory.mkdir()
    for number in range(3):
        table = make_request([make_chip(number * 2 + k, BANDS) for k in range(2)], BANDS)
        (directory / f"chips-{number}.arrow").write_bytes(write_table(table, ARROW_STREAM))
    return directory


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    return tmp_path / "output"


def test_every_object_gets_one_answer_and_progress_is_reported(input_dir: Path, output_dir: Path) -> None:
    parquet = make_request([make_chip(9, BANDS)], BANDS)
    (input_dir / "chips-3.parquet").write_bytes(write_table(parquet, PARQUET))
    calls: list[tuple[str, int, int]] = []

    report = transform_locally(input_dir, output_dir, on_progress=lambda *call: calls.append(call))

    assert (report.status, report.transformed, report.skipped, report.failures) == ("Completed", 4, 0, ())
    assert sorted(path.name for path in output_dir.iterdir()) == [
        "chips-0.arrow.out",
        "chips-1.arrow.out",
        "chips-2.arrow.out",
        "chips-3.parquet.out",
    ]
    answers = read_table((output_dir / "chips-1.arrow.out").read_bytes(), ARROW_STREAM)
    assert answers["chip_id"].to_pylist() == ["chip-002", "chip-003"]
    assert read_table((output_dir / "chips-3.parquet.out").read_bytes(), PARQUET).num_rows == 1
    assert calls == [("transform", done, 4) for done in range(5)]


def test_when_an_object_fails_the_others_continue(input_dir: Path, output_dir: Path) -> None:
    (input_dir / "chips-1.arrow").write_bytes(b"damaged")
    report = transform_locally(input_dir, output_dir)
    assert (report.status, report.transformed) == ("Failed", 2)
    assert [failure.name for failure in report.failures] == ["chips-1.arrow"]
    assert report.failures[0].reason.startswith("the inference server answered 400: not a readable")
    assert sorted(path.name for path in output_dir.iterdir()) == ["chips-0.arrow.out", "chips-2.arrow.out"]


def test_objects_with_an_answer_are_skipped(input_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output_dir.mkdir()
    (output_dir / "chips-0.arrow.out").write_bytes(b"kept")
    report = transform_locally(input_dir, output_dir)
    assert (report.status, report.transformed, report.skipped) == ("Completed", 2, 1)
    assert (output_dir / "chips-0.arrow.out").read_bytes() == b"kept"

    monkeypatch.setattr(local_transform, "inference_server", lambda *_: pytest.fail("a server was started"))
    assert transform_locally(input_dir, output_dir).skipped == 3


def test_a_server_that_dies_is_a_clear_failure_and_earlier_answers_stay(
    input_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_CONCURRENT_OBJECTS", 1)

    def kill_server(_stage: str, done: int, _total: int) -> None:
        if done == 1:
            (server,) = [child for child in psutil.Process().children() if "embedding" in child.cmdline()]
            server.kill()

    report = transform_locally(input_dir, output_dir, on_progress=kill_server)

    assert report.status == "Failed"
    assert (output_dir / "chips-0.arrow.out").is_file()
    assert report.failures
    assert all("the inference server ended with exit code -9" in failure.reason for failure in report.failures)
    done = {f"{path.name}" for path in output_dir.iterdir()}
    assert done | {f"{failure.name}.out" for failure in report.failures} == {f"chips-{n}.arrow.out" for n in range(3)}

    assert transform_locally(input_dir, output_dir).status == "Completed", "the rest is done by the next call"


def test_a_checkpoint_is_used_and_a_wrong_model_is_refused(
    input_dir: Path, output_dir: Path, sample_data: Path
) -> None:
    checkpoint = sample_data / "clay" / "encoder-48.ckpt"
    model_id = describe_model(checkpoint, Preprocessing()).model_id
    with pytest.raises(ChiplakeError, match="the chips were exported for another"):
        transform_locally(input_dir, output_dir, weights_file=checkpoint, expected_model_id="another")
    assert not output_dir.exists()

    transform_locally(input_dir, output_dir, weights_file=checkpoint, expected_model_id=model_id)
    answers = read_table((output_dir / "chips-0.arrow.out").read_bytes(), ARROW_STREAM)
    assert set(answers["model_id"].to_pylist()) == {model_id}


def test_a_server_that_cannot_start_states_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"broken")
    with (
        pytest.raises(ServerDiedError, match=r"exit code 1: error: .*broken\.ckpt: truncated"),
        inference_server(broken, Preprocessing(), tmp_path / "server.log"),
    ):
        pass


def test_no_server_is_left_behind(tmp_path: Path) -> None:
    with inference_server(None, Preprocessing(), tmp_path / "server.log") as server:
        pid = server.process.pid
    assert server.process.returncode == 0
    assert not Path(f"/proc/{pid}").exists()
