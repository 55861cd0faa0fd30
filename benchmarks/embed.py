"""Embedding of chips: the server and the transform compared with the bare encoder, by size and precision.

    python benchmarks/embed.py [--sizes base large] [--precisions float32 bfloat16] [--chips 192]

Chips of ten bands with texture from noise; the weights are untrained, of the published sizes (speed does not depend on
the weights). The floor has all its chips prepared in memory and calls only the encoder, with the same batch, device
and threads. Chiplake reads the objects of an export, posts them to the inference server, and writes the answers; its
time is from the first answer to the last, without the start of the server. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import torch
from harness.chips import make_chips
from harness.timing import REPEATS, wall_s
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from embedding.model.card import Precision, Preprocessing
from embedding.model.encoder import KNOWN_SIZES
from embedding.model.inference import batch_of, embed_table, encode, encode_chips, inputs_of, prepare_rows
from embedding.model.weights import ClayModel, load_model, seeded_encoder
from embedding.runs.local_transform import transform_locally
from embedding.server.serve import keep_freed_memory
from embedding.wire import ARROW_STREAM, write_table

CHIPS_PER_OBJECT: Final = 16

Result = dict[str, Any]


def encoder_rates(model: ClayModel, chips: pa.Table, batch: int) -> dict[str, Callable[[], float]]:
    """Return functions that measure the bare encoder and a request, from its table to that of its answers, chips/s."""
    prepared = [chip for chip in prepare_rows(model, chips.slice(0, batch)) if not isinstance(chip, str)]
    rounds = max(1, chips.num_rows // batch)
    on_device = inputs_of(model, prepared)

    def bare() -> None:
        for _ in range(rounds):
            encode(model, on_device)
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    def copied() -> None:
        for _ in range(rounds):
            encode_chips(model, prepared)

    encode_chips(model, prepared)  # to warm up
    return {
        "bare_per_s": lambda: rounds * batch / wall_s(bare),
        "with_copies_per_s": lambda: rounds * batch / wall_s(copied),
        "request_per_s": lambda: chips.num_rows / wall_s(lambda: embed_table(model, chips, batch)),
    }


def measure_transform(model: ClayModel, chips: pa.Table) -> float:
    """Measure the chips a second from the objects of an export to the files of their answers."""
    answered: list[float] = []
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as name:
        folder = Path(name)
        objects, checkpoint = folder / "input", folder / "encoder.safetensors"
        objects.mkdir()
        save_file({name: weight.contiguous().cpu() for name, weight in model.encoder.state_dict().items()}, checkpoint)
        for number, start in enumerate(range(0, chips.num_rows, CHIPS_PER_OBJECT)):
            table = chips.slice(start, CHIPS_PER_OBJECT).combine_chunks()
            (objects / f"chips-{number:05d}.arrow").write_bytes(write_table(table, ARROW_STREAM))
        report = transform_locally(
            objects,
            folder / "output",
            weights_file=checkpoint,
            preprocessing=model.preprocessing,
            on_progress=lambda _stage, done, _total: answered.append(time.perf_counter()) if done else None,
        )
    if report.failures:
        raise SystemExit(f"objects failed: {report.failures[0]}")
    return (len(answered) - 1) * CHIPS_PER_OBJECT / (answered[-1] - answered[0])


def measure(size: str, precision: Precision, chips: pa.Table, given: argparse.Namespace) -> Result:
    """Measure all rates of one size and precision."""
    preprocessing = Preprocessing(precision=precision)
    model = load_model(None, preprocessing, given.device)
    model = replace(model, encoder=seeded_encoder(KNOWN_SIZES[size]).to(model.device))
    batch = given.batch or batch_of(model)
    measures = encoder_rates(model, chips, batch) | {"transform_per_s": lambda: measure_transform(model, chips)}
    rates = dict.fromkeys(measures, 0.0)
    for _ in range(given.repeats):  # alternating, because the speed of a machine varies
        for name, measured in measures.items():
            rates[name] = max(rates[name], measured())
    return {
        "size": size,
        "precision": precision,
        "batch": batch,
        **{name: round(rate, 2) for name, rate in rates.items()},
        "ratio_to_bare": round(rates["transform_per_s"] / rates["bare_per_s"], 3),
    }


def main(given: argparse.Namespace) -> Result:
    """Measure everything and print it."""
    console = Console()
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # so that the server also uses no GPU
    keep_freed_memory()  # the floor does the same as the server
    chips = make_chips(given.chips)
    models = [measure(size, precision, chips, given) for size in given.sizes for precision in given.precisions]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() and given.device != "cpu" else "cpu"
    table = Table(title=f"{given.chips} chips, untrained weights, {device}, {torch.get_num_threads()} threads")
    for column in models[0]:
        table.add_column(column.replace("_", " "))
    for model in models:
        table.add_row(*(f"{value:,}" if isinstance(value, float) else str(value) for value in model.values()))
    console.print(table)
    result: Result = {
        "benchmark": "embedding",
        "device": device,
        "threads": torch.get_num_threads(),
        "chips": given.chips,
        "models": models,
    }
    if given.dollars_per_hour:
        # On one such machine, at the rate of the transform.
        result["dollars_per_million_chips"] = {
            f"{model['size']} {model['precision']}": round(
                1e6 / model["transform_per_s"] / 3600 * given.dollars_per_hour, 2
            )
            for model in models
        }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure embedding of chips.")
    parser.add_argument("--sizes", nargs="+", choices=tuple(KNOWN_SIZES), default=["tiny"])
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--chips", type=int, default=192, help="chips of a run, a multiple of 16")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="number of runs; the fastest counts")
    parser.add_argument("--batch", type=int, help="chips in one batch of the encoder; default that of the server")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dollars-per-hour", type=float, help="price of the machine")
    print(json.dumps(main(parser.parse_args())))
