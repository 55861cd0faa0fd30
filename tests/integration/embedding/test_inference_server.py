"""The inference server as a real process, over real HTTP on loopback."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from support.embeddings import make_chip, make_request

from embedding.model.card import Preprocessing
from embedding.model.inference import encode_chips
from embedding.model.preprocess import prepare_chip
from embedding.model.weights import load_model
from embedding.server.process import InferenceServer, inference_server
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, MAX_OBJECT_BYTES, PARQUET, read_table, write_table
from lakehouse.settings import PROJECT_DIR

BANDS = ("blue", "green", "red", "nir")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServer]:
    with inference_server(None, Preprocessing(), tmp_path_factory.mktemp("server") / "server.log") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: InferenceServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        yield http


def invoke(client: httpx.Client, table: pa.Table, media_type: str = ARROW_STREAM) -> list[dict[str, Any]]:
    response = client.post("/invocations", content=write_table(table, media_type), headers={"content-type": media_type})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type
    answers = read_table(response.content, media_type)
    assert answers.schema.names == ANSWER_SCHEMA.names
    assert answers.num_rows == table.num_rows
    return list(answers.to_pylist())


def post(client: httpx.Client, content: bytes, media_type: str = ARROW_STREAM) -> httpx.Response:
    return client.post("/invocations", content=content, headers={"content-type": media_type})


def test_ping_and_parameters_name_the_model_and_its_untrained_weights(client: httpx.Client) -> None:
    ping = client.get("/ping")
    assert ping.status_code == 200
    assert ping.json()["model_id"].startswith("clay-seeded-")
    assert ping.json()["weights"] == "untrained weights"
    parameters = client.get("/execution-parameters").json()
    assert parameters["BatchStrategy"] == "SINGLE_RECORD"
    assert parameters["MaxConcurrentTransforms"] * parameters["MaxPayloadInMB"] <= 100
    assert parameters["weights"] == "untrained weights"


@pytest.mark.parametrize("media_type", [ARROW_STREAM, PARQUET])
def test_every_chip_gets_the_encoder_s_class_token(client: httpx.Client, media_type: str) -> None:
    chips = [make_chip(number, BANDS) for number in range(10)]
    answers = invoke(client, make_request(chips, BANDS), media_type)

    assert [answer["chip_id"] for answer in answers] == [chip["chip_id"] for chip in chips]
    assert [answer["input_hash"] for answer in answers] == [chip["input_hash"] for chip in chips]
    assert {answer["error"] for answer in answers} == {None}
    model = load_model(None, Preprocessing())
    prepared = [
        prepare_chip(
            chip,
            chip["source_index"],
            chip["acquired_at"],
            chip["longitude"],
            chip["latitude"],
            Preprocessing(),
        )
        for chip in chips
    ]
    assert {answer["model_id"] for answer in answers} == {model.card.model_id}
    np.testing.assert_allclose([a["embedding"] for a in answers], encode_chips(model, prepared), atol=1e-5)


def test_a_bad_chip_gets_an_error_and_the_others_an_embedding(client: httpx.Client) -> None:
    chips = [make_chip(number, BANDS) for number in range(5)]
    alone = invoke(client, make_request([chips[4]], BANDS))[0]
    chips[0]["red"] = b"nonsense"
    chips[1]["acquired_at"] = None
    chips[2] |= dict.fromkeys(BANDS)
    chips[3]["latitude"] = 200.0
    answers = invoke(client, make_request(chips, BANDS))

    assert [answer["embedding"] is None for answer in answers] == [True, True, True, True, False]
    assert "column red" in answers[0]["error"]
    assert answers[1]["error"] == "acquired_at is null"
    assert answers[2]["error"] == "the chip has no band"
    assert "are not coordinates in degrees" in answers[3]["error"]
    np.testing.assert_allclose(answers[4]["embedding"], alone["embedding"], atol=1e-5)


def test_a_date_that_python_cannot_hold_is_one_chip_s_error(client: httpx.Client) -> None:
    table = make_request([make_chip(0, BANDS), make_chip(1, BANDS)], BANDS)
    instants = pa.array([2**62, 0], pa.timestamp("us", tz="UTC"))
    answers = invoke(client, table.set_column(2, "acquired_at", instants))
    assert answers[0]["error"] == "acquired_at is outside the years 1 to 9999"
    assert answers[1]["error"] is None


def test_a_chip_is_embedded_from_the_bands_it_has(client: httpx.Client) -> None:
    full, without_red = make_chip(1, BANDS), make_chip(1, BANDS) | {"red": None}
    answers = invoke(client, make_request([full, without_red], BANDS))
    (three_bands,) = invoke(client, make_request([full], BANDS).drop_columns(["red"]))

    np.testing.assert_allclose(answers[1]["embedding"], three_bands["embedding"], atol=1e-5)
    assert not np.allclose(answers[0]["embedding"], three_bands["embedding"], atol=1e-3)


def test_an_empty_request_gets_an_empty_answer(client: httpx.Client) -> None:
    assert invoke(client, make_request([], BANDS)) == []


@pytest.mark.parametrize("media_type", ["text/csv", "application/json", ""])
def test_other_content_types_are_refused(client: httpx.Client, media_type: str) -> None:
    response = post(client, b"a,b", media_type)
    assert response.status_code == 415
    assert "application/vnd.apache.arrow.stream" in response.json()["error"]


@pytest.mark.parametrize("media_type", [ARROW_STREAM, PARQUET])
def test_a_corrupt_request_is_refused(client: httpx.Client, media_type: str) -> None:
    whole = write_table(make_request([make_chip(1, BANDS)], BANDS), media_type)
    for content in (b"", b"nonsense", whole[: len(whole) // 2], b"\xff" * 64):
        response = post(client, content, media_type)
        assert response.status_code == 400, content[:16]
        assert "not a readable" in response.json()["error"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["chip_id", "blue"], "column input_hash, acquired_at, longitude, latitude is missing"),
        (["chip_id", "input_hash", "acquired_at", "longitude", "latitude"], "the request has no band"),
    ],
)
def test_a_request_without_its_columns_is_refused(client: httpx.Client, columns: list[str], words: str) -> None:
    table = make_request([make_chip(1, BANDS)], BANDS).select(columns)
    response = post(client, write_table(table, ARROW_STREAM))
    assert response.status_code == 400
    assert words in response.json()["error"]


def test_a_column_of_another_type_is_refused(client: httpx.Client) -> None:
    table = make_request([make_chip(1, BANDS)], BANDS).drop_columns(["acquired_at"])
    table = table.append_column("acquired_at", pa.array(["yesterday"]))
    response = post(client, write_table(table, ARROW_STREAM))
    assert response.status_code == 400
    assert response.json()["error"] == "column acquired_at is string, not a timestamp"


def test_a_request_above_the_limit_is_refused_with_and_without_a_declared_length(client: httpx.Client) -> None:
    block = bytes(1_000_000)
    count = MAX_OBJECT_BYTES // len(block) + 1

    def stream() -> Iterator[bytes]:
        for _ in range(count):
            yield block

    assert post(client, block * count).status_code == 413
    headers = {"content-type": ARROW_STREAM}
    assert client.post("/invocations", content=stream(), headers=headers).status_code == 413
    assert client.get("/ping").status_code == 200


def test_unknown_paths_and_methods_are_refused(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404
    assert client.get("/invocations").status_code == 405


def test_log_lines_are_json_and_name_the_weights(client: httpx.Client, server: InferenceServer) -> None:
    invoke(client, make_request([make_chip(1, BANDS)], BANDS))
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    last = [line for line in lines if line["message"] == "invocation"][-1]
    assert (last["chips"], last["errors"], last["weights"]) == (1, 0, "untrained weights")
    loads = [line for line in lines if "using the seeded encoder" in line["message"]]
    assert len(loads) == 1, "the model is loaded once"


def start_by_hand(*options: str) -> tuple[subprocess.Popen[str], str]:
    """Start `serve` as a user does, and wait until it prints its address."""
    command = [sys.executable, "-m", "embedding", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, cwd=PROJECT_DIR, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if '"serving"' in line:
            data = json.loads(line)
            return process, f"http://{data['host']}:{data['port']}"
    raise AssertionError(f"the server ended with {process.wait()}")


def test_sigterm_lets_a_request_finish_and_ends_with_success() -> None:
    process, url = start_by_hand()
    try:
        body = write_table(make_request([make_chip(number) for number in range(16)]), ARROW_STREAM)
        assert "127.0.0.1" in url
        httpx.get(f"{url}/ping", timeout=60, trust_env=False)
        started = threading.Event()

        def slowly() -> Iterator[bytes]:
            yield body[:1000]
            started.set()
            time.sleep(0.5)
            yield body[1000:]

        def stop() -> None:
            started.wait()
            process.send_signal(signal.SIGTERM)

        stopper = threading.Thread(target=stop)
        stopper.start()
        headers = {"content-type": ARROW_STREAM}
        response = httpx.post(f"{url}/invocations", content=slowly(), headers=headers, timeout=60, trust_env=False)
        stopper.join()
        assert response.status_code == 200
        assert read_table(response.content, ARROW_STREAM).num_rows == 16
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_server_ends_when_its_parent_is_gone() -> None:
    process, _ = start_by_hand("--exit-with-parent")
    try:
        assert process.stdin is not None
        process.stdin.close()  # as when the parent ends
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.mark.parametrize("make_checkpoint", [None, b"broken"])
def test_a_checkpoint_that_cannot_be_used_ends_the_server_in_one_line(
    tmp_path: Path, make_checkpoint: bytes | None
) -> None:
    checkpoint = tmp_path / "clay.ckpt"
    if make_checkpoint is not None:
        checkpoint.write_bytes(make_checkpoint)
    command = [sys.executable, "-m", "embedding", "serve", "--port", "0", "--checkpoint", str(checkpoint)]
    ended = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(rf"error: {checkpoint}: .*\n", ended.stderr)


def test_the_error_names_a_port_that_is_in_use(server: InferenceServer) -> None:
    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "embedding", "serve", "--port", port]
    ended = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
