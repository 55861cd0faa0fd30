"""Signing of raster addresses when a raster is opened, for providers that require it.

Tables hold unsigned addresses: a signature is a secret and expires. `CHIPLAKE_HREF_SIGNER` names the signer.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from lakehouse.errors import ChiplakeError
from lakehouse.redaction import without_secrets

Signer = Callable[[str], str]  # address in the tables to address to open; may raise any exception

NO_SIGNER: Final = "none"
PLANETARY_COMPUTER: Final = "planetary_computer"
MIN_TOKEN_S: Final = 20 * 60  # Planetary Computer's tokens live for about an hour, a task for minutes


@lru_cache(maxsize=4)
def load_signer(name: str) -> Signer:
    """Return the signer of a name: none, planetary_computer, or `module:function` of your own.

    The signer of Planetary Computer asks its token service for one SAS token a container and keeps it until it
    expires. Addresses of other hosts stay as they are. PC_SDK_SUBSCRIPTION_KEY may hold a key for the service.

    Raises:
        ChiplakeError: the function does not exist.
    """
    if name == NO_SIGNER:
        return _unsigned
    if name == PLANETARY_COMPUTER:
        with warnings.catch_warnings():
            # Its settings have the style of pydantic 1, for which pydantic 2 warns.
            warnings.simplefilter("ignore", DeprecationWarning)
            sas = importlib.import_module("planetary_computer.sas")
        return partial(_sign_for_a_task, sas)
    module, _, function = name.partition(":")
    try:
        signer: Signer = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ChiplakeError(f"CHIPLAKE_HREF_SIGNER: {name} does not exist: {error}") from error
    return signer


def without_signature(text: str, signed: str, href: str) -> str:
    """Return the text of an error with the unsigned address in place of the signed one: a signature is a secret."""
    if signed != href:
        text = text.replace(signed, href).replace(signed.partition("?")[2] or signed, "…")
    return without_secrets(text)


def _sign_for_a_task(sas: Any, href: str) -> str:
    """Sign with a token that stays valid as long as a task: a raster is read for minutes after it is opened."""
    for address, token in list(sas.TOKEN_CACHE.items()):
        if token.ttl() < MIN_TOKEN_S:
            sas.TOKEN_CACHE.pop(address, None)
    signed: str = sas.sign_url(href)
    return signed


def _unsigned(href: str) -> str:
    return href
