"""Model data of a SageMaker model: an archive of the server's code and a checkpoint, unpacked to /opt/ml/model.

    code/lakehouse, code/embedding, code/python_udfs   what the server imports
    NAME.ckpt, NAME.json                               the checkpoint and its sidecar, if there is one

Equal content gives equal bytes, so that an unchanged archive need not be uploaded again.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path
from typing import Final

from embedding.model.card import Weights, card_path, write_weights
from embedding.model.weights import weights_of
from lakehouse.errors import ChiplakeError
from lakehouse.files import replaced_atomically
from lakehouse.settings import PROJECT_DIR

CODE_DIR: Final = "code"
SERVER_PACKAGES: Final = ("lakehouse", "embedding", "python_udfs")
WEIGHTS_SUFFIXES: Final = (".ckpt", ".pt", ".pth", ".safetensors")
_ARCHIVE_NAME: Final = "model.tar.gz"


def write_package(dest: Path, weights_file: Path | None) -> tuple[Path, Weights]:
    """Write the archive, and the card of its weights beside it.

    Args:
        dest: the archive `NAME.tar.gz`, or a directory for `model.tar.gz`.
        weights_file: as for `weights.load_model`; None to pack only the code.

    Returns:
        The archive, and the weights that a server with it will hold.

    Raises:
        ChiplakeError: the checkpoint cannot be used, or its suffix is not one of a checkpoint.
    """
    weights = weights_of(weights_file)
    archive = dest if dest.name.endswith(".tar.gz") else dest / _ARCHIVE_NAME
    members = _members(weights_file)
    with (
        replaced_atomically(archive) as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in sorted(members.items()):
            _add(tar, name, path)
    write_weights(card_path(archive), weights)
    return archive, weights


def packaged_weights(model_dir: Path) -> Path | None:
    """Find the checkpoint in unpacked model data; None if they contain only the code.

    Raises:
        ChiplakeError: there are several.
    """
    if not model_dir.is_dir():
        return None
    found = sorted(path for path in model_dir.iterdir() if path.suffix in WEIGHTS_SUFFIXES and path.is_file())
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ChiplakeError(f"{model_dir} holds several checkpoints ({names}); set CHIPLAKE_CLAY_CHECKPOINT to one")
    return found[0] if found else None


def _members(weights_file: Path | None) -> dict[str, Path]:
    members = {
        f"{CODE_DIR}/{path.relative_to(PROJECT_DIR).as_posix()}": path
        for package in SERVER_PACKAGES
        for path in (PROJECT_DIR / package).rglob("*.py")
    }
    if weights_file is not None:
        if weights_file.suffix not in WEIGHTS_SUFFIXES:
            raise ChiplakeError(f"{weights_file}: a packed checkpoint must end in one of {', '.join(WEIGHTS_SUFFIXES)}")
        members[weights_file.name] = weights_file
        sidecar = weights_file.with_suffix(".json")
        if sidecar.is_file():
            members[sidecar.name] = sidecar
    return members


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        entry = tarfile.TarInfo(name)  # owner 0 and time 0, so that the bytes do not depend on this machine
        entry.size = os.fstat(file.fileno()).st_size
        entry.mode = 0o644
        tar.addfile(entry, file)
