"""What travels from client to workers: credentials as bytes, masked wherever they are printed.

This is the only place that serializes a secret. A parcel goes through the scheduler as data that
it neither unpacks nor prints, and never into a graph, a plugin or an event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from constellr_stac.auth.credentials import ApiKey, Credential, Password, Secret, Token
from constellr_stac.signing.aws_credentials import StorageCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["API", "S3", "MaskedBytes", "PushMessage", "Pushable", "decoded", "encoded"]

API, S3 = "api", "s3"
"""What credentials are for."""

Pushable: TypeAlias = Credential | StorageCredentials

_SOURCE = "lent by the dask client, share_credentials"


class MaskedBytes(bytes):
    """Bytes whose repr is masked, in case a message that holds them is logged."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True)
class PushMessage:
    """One credential on its way, and what a borrower has to know about it."""

    value: Pushable
    number: int
    """Counts up with each new value, from 1."""
    last: int = 0
    """The number of a value that was refused without there being another."""
    trouble: str = field(default="", compare=False)
    """Why there is no other, in words for the borrower's message."""


def encoded(parcels: Mapping[str, PushMessage]) -> MaskedBytes:
    """Write parcels as bytes, by what they are for."""
    written = {
        purpose: {
            "number": parcel.number,
            "last": parcel.last,
            "trouble": parcel.trouble,
            "value": _written(parcel.value),
        }
        for purpose, parcel in parcels.items()
    }
    return MaskedBytes(json.dumps(written).encode())


def decoded(content: bytes) -> dict[str, PushMessage]:
    """Read what :func:`encoded` wrote; the values name the client as their source."""
    return {
        purpose: PushMessage(
            _read(part["value"], part["trouble"]), part["number"], part["last"], part["trouble"]
        )
        for purpose, part in json.loads(content).items()
    }


def _written(value: Pushable) -> dict[str, Any]:
    match value:
        case StorageCredentials():
            return {
                "access_key_id": value.access_key_id,
                "secret_access_key": Secret(value.secret_access_key).reveal(),
                "token": Secret(value.token).reveal() if value.token else None,
                "expires_at": _time_written(value.expires_at),
            }
        case Token():
            return {
                "bearer": Secret(value.value).reveal(),
                "expires_at": _time_written(value.expires_at),
            }
        case ApiKey():
            return {"api_key": Secret(value.key).reveal()}
        case Password():
            return {
                "username": value.username,
                "password": Secret(value.password).reveal(),
            }
    msg = f"{type(value).__name__} is not a credential that can be lent."
    raise TypeError(msg)


def _read(written: dict[str, Any], trouble: str) -> Pushable:
    source = f"{_SOURCE}; the client has no other: {trouble}" if trouble else _SOURCE
    match written:
        case {"access_key_id": key, "secret_access_key": secret, "token": token}:
            ends = _time_read(written["expires_at"])
            return StorageCredentials(key, secret, token, ends, source=source)
        case {"bearer": bearer, "expires_at": ends}:
            return Token(bearer, _time_read(ends), source=source)
        case {"api_key": key}:
            return ApiKey(key, source=source)
        case _:
            return Password(written["username"], written["password"], source=source)


def _time_written(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time_read(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
