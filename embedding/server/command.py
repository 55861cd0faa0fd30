"""The command of `chiplake embed serve` and `python -m embedding serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse.settings import get_settings
from lakehouse.transform_job import DEFAULT_MAX_PAYLOAD_MB, DEVICE_VARIABLE, MB


def serve_command(
    checkpoint: Annotated[
        Path | None, typer.Option(help="Clay checkpoint; default CHIPLAKE_CLAY_CHECKPOINT, else untrained weights.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on.", envvar="SAGEMAKER_BIND_TO_PORT")
    ] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 inside a container only.")] = "127.0.0.1",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", envvar=DEVICE_VARIABLE)] = "auto",
    max_payload_mb: Annotated[
        int, typer.Option(min=1, max=100, help="Largest request, MB.", envvar="SAGEMAKER_MAX_PAYLOAD_IN_MB")
    ] = DEFAULT_MAX_PAYLOAD_MB,
    model_dir: Annotated[
        Path | None, typer.Option(help="Unpacked model data, searched for a checkpoint.", envvar="SM_MODEL_DIR")
    ] = None,
    expected_model_id: Annotated[
        str | None, typer.Option(help="Refuse to serve another model.", envvar="CHIPLAKE_EXPECTED_MODEL_ID")
    ] = None,
    listen_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", hidden=True)] = False,
) -> None:
    """Run the inference server until it is stopped."""
    from embedding.model.card import preprocessing_of
    from embedding.server.package import packaged_weights
    from embedding.server.serve import ServerOptions, serve

    settings = get_settings()
    serve(
        ServerOptions(
            weights_file=(
                checkpoint or settings.clay.checkpoint or (packaged_weights(model_dir) if model_dir else None)
            ),
            preprocessing=preprocessing_of(settings.clay),
            expected_model_id=expected_model_id,
            host=host,
            port=port,
            device=device,
            max_payload_bytes=max_payload_mb * MB,
            listen_fd=listen_fd,
            exit_with_parent=exit_with_parent,
        )
    )
