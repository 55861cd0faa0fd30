"""The user's own mask: a registered SQL function that says which pixels of a chip are not to be used.

`CHIPLAKE_FILL_MASK` names one of the functions of `CHIPLAKE_FUNCTIONS`. Its arguments are named like columns of
fct_chips, and it returns a frame of (128, 128) uint8, not 0 where a pixel is not valid. SQL can call it as well, and
workers that fill chips and make composites call it with the frames that they read.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from lakehouse.bands import CHIP_LAYERS, CHIP_PIXELS_20M
from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings
from python_udfs.codec import decode_array
from python_udfs.sql_function import SqlFunction, load_functions
from python_udfs.valid_pixels import Mask

_SETTING: Final = "CHIPLAKE_FILL_MASK"
_ARGUMENT: Final = re.compile(r"\s*(\w+)\s+binary\s*", re.IGNORECASE)
_DIGITS: Final = 16  # hexadecimal, of the digest of the code


@dataclass(frozen=True)
class OwnMask:
    """A mask of the user's."""

    version: str  # name and digest of the code; a rule holds it
    layers: tuple[str, ...]  # columns of fct_chips, in the order of the function's arguments
    function: Callable[..., bytes | None]

    def invalid(self, chip: Mapping[str, Any]) -> Mask | None:
        """Return the pixels that are not valid, (128, 128); None if the function returns None.

        Args:
            chip: a row of fct_chips. The function gets None for layers that the chip lacks.

        Raises:
            ValueError: the function returns no frame of this size.
        """
        frame = self.function(*(_bytes(chip.get(layer)) for layer in self.layers))
        if frame is None:
            return None
        try:
            invalid: Mask = decode_array(frame, "uint8", CHIP_PIXELS_20M) != 0
            return invalid
        except (ValueError, TypeError) as error:
            raise ValueError(f"the mask {self.version.partition(' ')[0]} does not return a mask: {error}") from error


def _bytes(frame: Any) -> bytes | None:
    return None if frame is None else bytes(frame)


@lru_cache(maxsize=4)
def own_mask(version: str) -> OwnMask:
    """Return the mask of a rule.

    Raises:
        ChiplakeError: this process has no such function, or another code of it.
    """
    name = version.partition(" ")[0]
    mask = find_mask(name, get_settings().runtime.function_names)
    if mask.version != version:
        raise ChiplakeError(
            f"{_SETTING}: the code of {name} is not that of the rule ({mask.version}, not {version}): "
            "run again, with the same module on all machines"
        )
    return mask


def find_mask(name: str, function_names: tuple[str, ...]) -> OwnMask:
    """Find a mask among the user's functions.

    Args:
        name: by which SQL calls it.
        function_names: those of the setting `functions`.

    Raises:
        ChiplakeError: there is no such function, or it is not a mask.
    """
    functions = {function.name.lower(): function for function in load_functions(function_names, ())}
    function = functions.get(name.lower())
    if function is None:
        raise ChiplakeError(
            f"{_SETTING}: {name} is none of your functions ({', '.join(functions) or 'there are none'}); "
            "name it in CHIPLAKE_FUNCTIONS"
        )
    return OwnMask(f"{function.name} {_digest(function)}", _layers_of(function), function.implementation)


def _layers_of(function: SqlFunction) -> tuple[str, ...]:
    arguments = [_ARGUMENT.fullmatch(argument) for argument in function.arguments.split(",")]
    layers = [match[1].lower() if match else "" for match in arguments]
    is_mask = function.kind == "scalar" and function.returns.lower() == "binary"
    if not is_mask or any(layer not in CHIP_LAYERS for layer in layers):
        raise ChiplakeError(
            f"{_SETTING}: {function.name}({function.arguments}) is not a mask: a scalar function that returns binary, "
            f"of arguments such as `blue binary, scl binary`; layers are {', '.join(CHIP_LAYERS)}"
        )
    return tuple(layers)


def _digest(function: SqlFunction) -> str:
    """Return a digest of the file that holds the function. What the file imports does not count."""
    source = inspect.getsourcefile(function.implementation)
    if source is None:
        raise ChiplakeError(f"{_SETTING}: the source of {function.name} is not found; it must be a Python file")
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:_DIGITS]
