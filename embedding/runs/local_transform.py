"""The transform on this machine, by the contract of a SageMaker batch transform job.

Every object gets one `.out` file, never a partial one. An object that fails does not stop the others; the status of
the whole is then Failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx

from embedding.model.card import Preprocessing
from embedding.runs.files import answer_path, objects_of
from embedding.runs.report import ObjectFailure, Progress, TransformReport, no_progress
from embedding.server.client import InferenceClient, connected
from embedding.server.process import inference_server
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError
from lakehouse.files import write_atomically


def transform_locally(
    input_dir: Path,
    output_dir: Path,
    *,
    weights_file: Path | None = None,
    preprocessing: Preprocessing | None = None,
    expected_model_id: str | None = None,
    on_progress: Progress | None = None,
) -> TransformReport:
    """Send every object of a directory to an inference server and write `<output_dir>/<object>.out`.

    Objects that have an answer are skipped; if all have one, no server is started.

    Args:
        input_dir: holds the objects, `*.arrow` and `*.parquet`.
        output_dir: made if it is missing.
        weights_file: as for `weights.load_model`.
        preprocessing: the choices of the settings; None for the default ones.
        expected_model_id: refuse to work with another model.
        on_progress: called with ("transform", done, total) as objects end.

    Raises:
        ChiplakeError: the server cannot be started, or holds another model.
    """
    objects = objects_of(input_dir)
    pending = [path for path in objects if not answer_path(output_dir, path.name).is_file()]
    skipped = len(objects) - len(pending)
    if not pending:
        return TransformReport(status="Completed", transformed=0, skipped=skipped, failures=())
    report = on_progress or no_progress
    report("transform", skipped, len(objects))
    log = output_dir.parent / "server.log"
    with (
        inference_server(weights_file, preprocessing or Preprocessing(), log) as server,
        connected(server) as client,
    ):
        if expected_model_id is not None:
            client.check_model(expected_model_id)
        failures = _embed_all(
            client, pending, output_dir, lambda done: report("transform", skipped + done, len(objects))
        )
    return TransformReport(
        status="Failed" if failures else "Completed",
        transformed=len(pending) - len(failures),
        skipped=skipped,
        failures=tuple(sorted(failures, key=lambda failure: failure.name)),
    )


def _embed_all(
    client: InferenceClient, paths: Sequence[Path], output_dir: Path, on_done: Callable[[int], None]
) -> list[ObjectFailure]:
    """Embed objects side by side; return those that failed. `on_done` gets the number of objects that have ended."""
    failures: list[ObjectFailure] = []
    with ThreadPoolExecutor(client.concurrency()) as pool:
        work = [pool.submit(_embed_object, client, path, output_dir) for path in paths]
        try:
            for done, future in enumerate(as_completed(work), start=1):
                failure = future.result()
                if failure is not None:
                    failures.append(failure)
                on_done(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def _embed_object(client: InferenceClient, path: Path, output_dir: Path) -> ObjectFailure | None:
    try:
        write_atomically(answer_path(output_dir, path.name), client.embed(path))
    except (ChiplakeError, httpx.HTTPError, OSError) as error:
        return ObjectFailure(name=path.name, reason=root_cause(error))
    return None
