"""A digest of the code that makes the rows of models: if it changes, models are compared with their inputs again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

# What rows depend on apart from the SQL of their model and its inputs: macros, functions and pinned libraries.
_PARTS: Final = ("requirements.lock", "macros", "lakehouse", "python_udfs")
_SUFFIXES: Final = frozenset({".py", ".sql", ".yml", ".lock"})


def code_digest(project: Path, functions: Iterable[str] = (), more_parts: Sequence[str] = ()) -> str:
    """Return the SHA-256 of the code that makes rows, 64 hexadecimal digits; the same in every checkout of the code.

    Args:
        project: folder of the project; parts that it lacks are left out.
        functions: the user's functions, `module:NAME`. The file of each module counts, not what it imports.
        more_parts: other files and folders of the project that count too.
    """
    digest = hashlib.sha256()
    files = {str(path.relative_to(project)): path for path in _files_of_project(project, (*_PARTS, *more_parts))}
    files |= _files_of_modules(functions)
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files_of_project(project: Path, parts: Iterable[str]) -> Iterator[Path]:
    for part in parts:
        path = project / part
        candidates = path.rglob("*") if path.is_dir() else [path]
        yield from (one for one in candidates if one.suffix in _SUFFIXES and one.is_file())


def _files_of_modules(functions: Iterable[str]) -> dict[str, Path]:
    """Return the file of each module by the module's name."""
    modules = {name.partition(":")[0] for name in functions}
    specs = {module: find_spec(module) for module in modules}
    return {module: Path(spec.origin) for module, spec in specs.items() if spec is not None and spec.origin is not None}
