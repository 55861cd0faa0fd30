"""Removal of secrets from addresses: signatures, tokens, user names and passwords are neither stored nor printed."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

MAX_DEPTH: Final = 3  # how deep addresses inside the parameters of addresses are searched

# Names of parameters in lower case without - and _: those of Amazon, CloudFront, Google, Alibaba, Akamai; tokens.
_SECRET_NAMES: Final = frozenset({"sig", "auth", "jwt", "pwd", "hdnea", "hdnts", "subscriptionkey", "keypairid"})
_SECRET_PREFIXES: Final = ("xamz", "xgoog", "xoss")
_SECRET_ENDINGS: Final = (
    *("signature", "token", "secret", "apikey", "authkey", "accesskey"),
    *("accesskeyid", "accessid", "password", "credential", "credentials", "sessionid"),
)
# Secret only together with a signature: without one, they may distinguish one file from another.
_BESIDE_SIGNATURE: Final = frozenset({"policy", "expires", "kid"})
_PATH: Final = re.compile(r"[./]|%2f", re.IGNORECASE)  # a `key` is a user's key, unless its value looks like a file
_SIGNATURE_NAMES: Final = ("sig", "signature", "xamzsignature", "xgoogsignature", "xosssignature")
# https://learn.microsoft.com/en-us/rest/api/storageservices/create-user-delegation-sas, and the account and service SAS
_AZURE_NAMES: Final = frozenset(
    {"se", "si", "sip", "ske", "skoid", "sks", "skt", "sktid", "skv", "sp", "spr", "sr", "srt", "ss", "st", "sv"}
    | {"saoid", "scid", "sdd", "suoid", "rscc", "rscd", "rsce", "rscl", "rsct"}
)

# A query or fragment extends to the end of the string, also inside JSON.
_QUERY: Final = re.compile(r"([?#])((?:[^\"\s\\?#]|\\.)+)")
_PATH_PARAMETER: Final = re.compile(r";([A-Za-z_-]+)=[^\"\s\\?#/;&]*")
# Up to the last @ before the query: a password may contain @ and / if the part after it looks like a host.
_USER: Final = re.compile(
    r"((?:https?|s3|ftps?|file|gs|abfss?|azure?):(?:\\?/){2})(?:[^/\"\s\\?#]*@|[^/\"\s\\?#]*:[^\"\s\\?#]*@(?=[\w.-]+[/:\"]))",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"(&amp;|\\u0026|&|;)")


def without_secrets(text: str, depth: int = 0) -> str:
    """Return an address, or a text with addresses such as JSON, without signatures, tokens, user names and passwords.

    Other parameters of a query stay as they are.
    """
    if "@" in text:
        text = _USER.sub(r"\1", text)
    if ";" in text:
        text = _PATH_PARAMETER.sub(lambda match: "" if _is_secret(_plain(match[1])) else match[0], text)
    return _QUERY.sub(lambda match: _clean_query(match, depth), text) if "?" in text or "#" in text else text


def _clean_query(match: re.Match[str], depth: int) -> str:
    start, query = match.groups()
    if "=" not in query:
        return match[0]
    parts = _AND.split(query)  # parameter, separator, parameter ...
    names = [_plain(unquote(part.partition("=")[0])) for part in parts[::2]]
    is_azure, is_signed = "sig" in names, any(name in _SIGNATURE_NAMES for name in names)
    kept = [
        (separator, _clean_parameter(part, depth))
        for separator, part, name in zip(["", *parts[1::2]], parts[::2], names, strict=True)
        if not (
            _is_secret(name)
            or (name == "key" and (is_signed or not _PATH.search(part)))
            or (is_azure and name in _AZURE_NAMES)
            or (is_signed and name in _BESIDE_SIGNATURE)
        )
    ]
    if not kept:
        return ""
    (_, first), *others = kept
    return start + first + "".join(separator + part for separator, part in others)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _is_secret(name: str) -> bool:
    return name in _SECRET_NAMES or name.startswith(_SECRET_PREFIXES) or name.endswith(_SECRET_ENDINGS)


def _clean_parameter(part: str, depth: int) -> str:
    """Clean a parameter whose value may be an address."""
    name, equals, value = part.partition("=")
    if depth >= MAX_DEPTH or ("%3f" not in value.lower() and "%40" not in value):
        return part
    inner = unquote(value)
    clean = without_secrets(inner, depth + 1)
    return part if clean == inner else name + equals + quote(clean, safe="")
