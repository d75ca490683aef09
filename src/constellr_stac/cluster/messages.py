"""Serialization of credentials between client and workers, as bytes that mask themselves.

This is the only module that serializes a secret. The scheduler stores a message as opaque data;
it is never part of a graph, a plugin or an event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from constellr_stac._secret import Secret
from constellr_stac.auth.credentials import ApiKey, Credential, Password, Token
from constellr_stac.signing.aws_credentials import StorageCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "API",
    "S3",
    "MaskedBytes",
    "PushMessage",
    "Pushable",
    "decoded",
    "decoded_items",
    "encoded",
    "encoded_items",
]

API, S3 = "api", "s3"
"""Purposes of credentials."""

Pushable: TypeAlias = Credential | StorageCredentials

_SOURCE = "pushed by the dask client, share_credentials"


class MaskedBytes:
    """Bytes that mask themselves in repr and ``str()``, since dask logs messages at DEBUG.

    Not a subclass of ``bytes``: dask would send that as plain bytes.
    """

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True)
class PushMessage:
    """One credential with its bookkeeping."""

    value: Pushable
    number: int
    """Version of the value, from 1."""
    last: int = 0
    """Version of a refused value that could not be replaced."""
    trouble: str = field(default="", compare=False)
    """Why it could not be replaced; shown in the worker's error message."""


def encoded(messages: Mapping[str, PushMessage]) -> MaskedBytes:
    """Serialize messages by purpose."""
    written = {
        purpose: vars(message) | {"value": _to_json(message.value)}
        for purpose, message in messages.items()
    }
    return MaskedBytes(json.dumps(written).encode())


def decoded(content: bytes) -> dict[str, PushMessage]:
    """Deserialize messages; their values name the client as their source."""
    return {
        purpose: PushMessage(**part | {"value": _from_json(part["value"], part["trouble"])})
        for purpose, part in json.loads(content).items()
    }


def encoded_items(items: Mapping[tuple[str, str], Mapping[str, str]]) -> MaskedBytes:
    """Serialize the signed URLs of items, by collection and id, then by asset."""
    return MaskedBytes(json.dumps([[*name, dict(urls)] for name, urls in items.items()]).encode())


def decoded_items(content: bytes) -> dict[tuple[str, str], dict[str, str]]:
    """Deserialize the signed URLs of items."""
    return {(collection, item): urls for collection, item, urls in json.loads(content)}


def _to_json(value: Pushable) -> dict[str, Any]:
    match value:
        case StorageCredentials():
            return {
                "access_key_id": value.access_key_id,
                "secret_access_key": Secret(value.secret_access_key).reveal(),
                "token": Secret(value.token).reveal() if value.token else None,
                "expires_at": _iso(value.expires_at),
            }
        case Token():
            return {"bearer": Secret(value.value).reveal(), "expires_at": _iso(value.expires_at)}
        case ApiKey():
            return {"api_key": Secret(value.key).reveal()}
        case Password():
            return {"username": value.username, "password": Secret(value.password).reveal()}
    raise TypeError(f"{type(value).__name__} is not a credential that can be shared.")


def _from_json(written: dict[str, Any], trouble: str) -> Pushable:
    source = f"{_SOURCE}; the client has no other: {trouble}" if trouble else _SOURCE
    match written:
        case {"access_key_id": key, "secret_access_key": secret, "token": token}:
            expires_at = _time(written["expires_at"])
            return StorageCredentials(key, secret, token, expires_at, source=source)
        case {"bearer": bearer, "expires_at": expires_at}:
            return Token(bearer, _time(expires_at), source=source)
        case {"api_key": key}:
            return ApiKey(key, source=source)
        case _:
            return Password(written["username"], written["password"], source=source)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
