"""Accounts, the tokens of ``/token`` and API keys.

Tokens are JSON Web Tokens signed with HS256, like the real ones.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import Clock, Options

__all__ = ["Account", "Accounts", "NotAuthenticated"]

_EVERYTHING = frozenset({"orders", "areas", "products", "stac"})


class NotAuthenticated(Exception):  # noqa: N818 - the message is the API's answer
    """A credential is not accepted; the message is the API's."""


@dataclass(frozen=True)
class Account:
    """An account."""

    username: str
    password: str = field(repr=False)
    permissions: frozenset[str] = _EVERYTHING
    """Any of ``orders``, ``areas``, ``products``, ``stac``."""
    confirmed: bool = True
    """Whether the e-mail address is confirmed."""
    reset_required: bool = False
    """Whether the password must be reset first."""
    workspaces: int = 1
    """Passwords and tokens work only for members of exactly one."""


class Accounts:
    """The accounts of a sandbox, by role, and their credentials."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._clock = clock
        self._lifetime = options.token_lifetime.total_seconds()
        self._signing_key = secrets.token_bytes(32)
        workspaces = 2 if options.api_key_mode else 1
        self.by_role = {
            "owner": _account("scientist", workspaces=workspaces),
            "viewer": _account("viewer", permissions=frozenset()),
            "unconfirmed": _account("unconfirmed", confirmed=False),
            "reset_required": _account("forgetful", reset_required=True),
            "legacy": _account("legacy"),
        }
        self._by_name = {account.username: account for account in self.by_role.values()}
        self._names_by_key = {_api_key(): name for name in self._by_name}

    def api_key(self, role: str) -> str:
        """Return the valid API key of this role's account."""
        name = self.by_role[role].username
        return next(key for key, owner in self._names_by_key.items() if owner == name)

    def replace_api_key(self, role: str) -> str:
        """Revoke the account's API key and return a new one."""
        replaced = dict(self._names_by_key)
        name = replaced.pop(self.api_key(role))
        key = _api_key()
        self._names_by_key = {**replaced, key: name}
        return key

    def revoke_tokens(self) -> None:
        """Revoke every token issued so far."""
        self._signing_key = secrets.token_bytes(32)

    def log_in(self, username: str, password: str) -> str:
        """Return a token.

        Raises:
            NotAuthenticated: The account is unknown or not ready, or the password is wrong.
        """
        account = self._by_name.get(username)
        if account is None or not hmac.compare_digest(account.password.encode(), password.encode()):
            raise NotAuthenticated("Incorrect username or password")
        if not account.confirmed:
            raise NotAuthenticated("User is not confirmed")
        if account.reset_required:
            raise NotAuthenticated("Password reset required")
        if account.workspaces != 1:
            raise NotAuthenticated(
                "Username and password work for accounts with exactly one workspace; use an API key"
            )
        now = self._clock.time()
        expires = now + self._lifetime
        claims = {
            "sub": username,
            "iat": now,
            "exp": int(expires) if expires.is_integer() else expires,
            "jti": secrets.token_hex(8),
        }
        return self._encode_token(claims)

    def authenticate(self, authorization: str | None, api_key: str | None) -> Account:
        """Return the account of a request; an API key takes precedence over a token.

        Raises:
            NotAuthenticated: There is no valid credential.
        """
        if api_key is not None:
            name = self._names_by_key.get(api_key)
            if name is None:
                raise NotAuthenticated("Invalid, expired or revoked API key")
            return self._by_name[name]
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("Not authenticated")
        claims = self._decode_token(token.strip())
        if claims["exp"] <= self._clock.time():
            raise NotAuthenticated("Token has expired")
        account = self._by_name[claims["sub"]]
        if account.workspaces != 1:
            raise NotAuthenticated("This token's account is in two workspaces; use an API key")
        return account

    def _encode_token(self, claims: dict[str, Any]) -> str:
        head = _segment(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        text = f"{head}.{_segment(json.dumps(claims).encode())}"
        return f"{text}.{self._signature(text)}"

    def _decode_token(self, token: str) -> dict[str, Any]:
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(text).encode()):
            raise NotAuthenticated("Invalid token")
        payload = text.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return claims

    def _signature(self, text: str) -> str:
        return _segment(hmac.digest(self._signing_key, text.encode(), hashlib.sha256))


def _account(name: str, **details: Any) -> Account:
    """Create an account; its password has characters that need encoding."""
    password = f"p&ss=w+rd % ü:{secrets.token_urlsafe(12)}"
    return Account(f"{name}@example.com", password, **details)


def _api_key() -> str:
    return f"constellr_{secrets.token_urlsafe(24)}"


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
