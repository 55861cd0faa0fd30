"""Signing of raster addresses, where a provider asks for it, at the moment a raster is opened.

Tables hold unsigned addresses alone: a signature is a secret, and expires. `CHIPLAKE_HREF_SIGNER` names the signer.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from lakehouse.errors import ChiplakeError
from lakehouse.redaction import without_secrets

Signer = Callable[[str], str]  # from the address in the tables to the address to open; may raise anything

NO_SIGNER: Final = "none"
PLANETARY_COMPUTER: Final = "planetary_computer"
MIN_TOKEN_S: Final = 20 * 60  # Planetary Computer's tokens live for about an hour, a task for minutes


@lru_cache(maxsize=4)
def load_signer(name: str) -> Signer:
    """The signer of a name: none, planetary_computer, or `module:function` of your own.

    Planetary Computer's asks its token service for a SAS token a container and keeps it until it expires; addresses
    elsewhere stay as they are. It takes an optional key from PC_SDK_SUBSCRIPTION_KEY.

    Raises:
        ChiplakeError: there is no such function.
    """
    if name == NO_SIGNER:
        return _unsigned
    if name == PLANETARY_COMPUTER:
        with warnings.catch_warnings():
            # Its settings are of pydantic's older style, which pydantic 2 takes with a warning.
            warnings.simplefilter("ignore", DeprecationWarning)
            sas = importlib.import_module("planetary_computer.sas")
        return partial(_sign_for_a_task, sas)
    module, _, function = name.partition(":")
    try:
        signer: Signer = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ChiplakeError(f"CHIPLAKE_HREF_SIGNER: there is no {name}: {error}") from error
    return signer


def without_signature(words: str, signed: str, href: str) -> str:
    """An error's words with the address as the tables have it: whoever reads them must not learn the signature."""
    if signed != href:
        words = words.replace(signed, href).replace(signed.partition("?")[2] or signed, "…")
    return without_secrets(words)


def _sign_for_a_task(sas: Any, href: str) -> str:
    """Sign with a token that lives as long as a task: a raster stays open for minutes, and is read all the while."""
    for address, token in list(sas.TOKEN_CACHE.items()):
        if token.ttl() < MIN_TOKEN_S:
            sas.TOKEN_CACHE.pop(address, None)
    signed: str = sas.sign_url(href)
    return signed


def _unsigned(href: str) -> str:
    return href
