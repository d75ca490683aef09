"""Credentials as immutable values; :mod:`.find_credential` finds one.

A credential masks its secret in repr and is never pickled: another process searches for its own.
Nothing here calls the API.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

from constellr_stac._secret import Secret, SharedOnCopy

__all__ = [
    "ApiKey",
    "Credential",
    "Password",
    "Secret",
    "Token",
    "account_of",
]


@dataclass(frozen=True)
class Credential(SharedOnCopy):
    """The common part of all credentials: a source for messages, and no pickling."""

    source: str = field(default="given in code", kw_only=True, compare=False)
    """Where it was found, for messages: ``environment variable CONSTELLR_API_KEY``."""

    def __reduce__(self) -> NoReturn:
        msg = (
            f"{type(self).__name__} cannot be pickled, to keep secrets out of files and dask "
            "graphs. Set the CONSTELLR_ variables in the environment of the other processes; with "
            "a dask client, constellr_stac.share_credentials(client) does without."
        )
        raise TypeError(msg)


@dataclass(frozen=True)
class ApiKey(Credential):
    """A workspace-scoped key, sent in the header ``X-Api-Key`` (the recommended credential).

    Raises:
        TypeError: The key is not a str.
        ValueError: The key is empty, or not valid in a header.

    Example:
        >>> ApiKey("secret")
        ApiKey(source='given in code')
    """

    key: Secret | str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _header_value(self.key, "An API key"))


@dataclass(frozen=True)
class Password(Credential):
    """A user name and password, exchanged for a token at ``POST /token``.

    Raises:
        TypeError: One of them is not a str.
        ValueError: One of them is empty.
    """

    username: str = field(repr=False)
    password: Secret | str = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.username, str) or not isinstance(self.password, str):
            msg = "A Password needs a user name and a password; one of them is not a str."
            raise TypeError(msg)
        if not self.username or not self.password:
            msg = "A Password needs a user name and a password; one of them is empty."
            raise ValueError(msg)
        object.__setattr__(self, "password", Secret(self.password))


@dataclass(frozen=True)
class Token(Credential):
    """A bearer token. It cannot be renewed and is refused once expired.

    Args:
        value: The token, without the word ``Bearer``.
        expires_at: Expiry (aware); default the ``exp`` claim of a JWT.

    Raises:
        TypeError: The token is not a str.
        ValueError: The token is empty, or ``expires_at`` has no time zone.
    """

    value: Secret | str = field(repr=False)
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        value = _header_value(self.value, "A token")
        object.__setattr__(self, "value", value)
        if self.expires_at is None:
            object.__setattr__(self, "expires_at", _jwt_time(value, "exp"))
        elif self.expires_at.tzinfo is None:
            msg = "A token's expires_at needs a time zone: datetime(..., tzinfo=UTC)."
            raise ValueError(msg)

    @property
    def issued_at(self) -> datetime | None:
        """Time of issue by the server's clock (the ``iat`` claim of a JWT), if known."""
        return _jwt_time(Secret(self.value), "iat")


def account_of(credential: Credential, base_url: str) -> str:
    """Return a digest that tells accounts apart; empty for a token, which does not name its own."""
    match credential:
        case ApiKey(key=name) | Password(username=name):
            digest = hashlib.blake2b(f"{type(credential).__name__} {base_url}".encode())
            digest.update(name.encode())
            return digest.hexdigest()[:16]
    return ""


def _header_value(value: str, what: str) -> Secret:
    """Return ``value`` as a stripped secret that is valid in a header."""
    # No plain str in local variables: some tools show those of a traceback.
    is_text, kind = isinstance(value, str), type(value).__name__
    value = Secret(Secret(value).strip() if is_text else "")
    if not is_text:  # such as os.environ.get("MY_KEY") of an unset variable
        raise TypeError(f"{what} must be a str, not a {kind}.")
    if not value:
        raise ValueError(f"{what} must not be empty.")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{what} contains invalid characters; was it copied completely?")
    return value


def _jwt_time(token: Secret, claim: str) -> datetime | None:
    """Read a time from a JWT's payload, without verifying the signature."""
    parts = token.reveal().split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        return None
    payload = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        seconds = json.loads(base64.urlsafe_b64decode(payload))[claim]
        return datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, LookupError, TypeError, ArithmeticError, OSError, RecursionError):
        return None
