"""Exchange a password for a token at ``POST /token``, once per process.

This is the only module that sends the password.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from constellr_stac._process import STATE
from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac.errors import APIError, AuthenticationError, forget_echo
from constellr_stac.limits import Limits

from .credentials import Password, Token
from .retry import READS, RetryingSession
from .transport import connection_errors, without_frames

if TYPE_CHECKING:
    import requests

__all__ = ["forget_token", "token_of"]

_TOKEN_LIFE = timedelta(hours=24)  # documented; for tokens without an expiry
_REFUSAL_COOLDOWN = timedelta(seconds=30)
_NOTABLE_SKEW = timedelta(seconds=30)
_UNAUTHORIZED = 401
_NO_SUCH_PATH = (404, 405)


def token_of(base_url: str, password: Password) -> Refreshing[Token]:
    """Return the process-wide token of an account; its ``get`` takes the caller's limits.

    Args:
        base_url: The API.
        password: The account.
    """

    def start() -> Refreshing[Token]:
        return Refreshing(_Exchange(base_url, password), lambda token: token.expires_at)

    return STATE.shared("token", (base_url, password), start)


def forget_token(base_url: str, password: Password) -> None:
    """Drop the account's token and password from this process."""
    STATE.forget("token", (base_url, password))


class _Exchange:
    """Exchanges a password for a token.

    A refused password is not retried for 30 seconds: many tasks with a wrong password would lock
    the account.
    """

    def __init__(self, base_url: str, password: Password) -> None:
        self._url = f"{base_url}/token"
        self._password = password
        self._refused: tuple[datetime, AuthenticationError] | None = None

    def __call__(self, limits: Limits | None = None) -> Token:
        if self._refused is not None and utc_now() < self._refused[0] + _REFUSAL_COOLDOWN:
            raise copy.copy(self._refused[1])
        try:
            return self._ask(limits or Limits())
        except AuthenticationError as error:
            self._refused = (utc_now(), error)
            raise

    def _ask(self, limits: Limits) -> Token:
        try:
            response = self._post(limits)
        except BaseException as error:  # also a signal: the frames of requests hold the form
            without_frames(error)
            raise
        if response.request is not None:
            response.request.body = None  # holds the password, and errors keep their frames
        return self._token(response)

    def _post(self, limits: Limits) -> requests.Response:
        with (
            RetryingSession(limits, READS | {"POST"}) as session,
            connection_errors("POST", self._url),
        ):
            return session.post(
                self._url,
                data={"username": self._password.username, "password": self._password.password},
                headers={"Accept": "application/json"},
                auth=_unchanged,  # otherwise .netrc would add credentials
                allow_redirects=False,  # the password must not follow a redirect
            )

    def _token(self, response: requests.Response) -> Token:
        source = self._password.source
        if response.status_code == _UNAUTHORIZED:
            raise APIError.from_response(
                response,
                hint=f"The user name and password ({source}) were refused; check them, and that "
                "the account is confirmed. They are not retried for "
                f"{_REFUSAL_COOLDOWN.seconds} seconds.",
                secret=self._password.password,
            )
        if not response.ok or response.is_redirect:
            elsewhere = response.is_redirect or response.status_code in _NO_SUCH_PATH
            hint = "Is this the API's URL? Check CONSTELLR_API_URL." if elsewhere else None
            raise APIError.from_response(response, hint=hint, secret=self._password.password)
        try:
            token = Token(response.json()["access_token"], source=source)
        except (ValueError, KeyError, TypeError, RecursionError):
            forget_echo(response, self._password.password)
            raise APIError(
                f"POST {self._url} answered {response.status_code} without a usable "
                "access_token. Is this the API's URL?",
                status_code=response.status_code,
                request_url=self._url,
            ) from None
        return _timed(token, response.headers.get("Date"))


def _timed(token: Token, date: str | None) -> Token:
    """Return ``token`` with its expiry corrected for the skew of this machine's clock."""
    now = utc_now()
    if token.expires_at is None:
        return replace(token, expires_at=now + _TOKEN_LIFE)
    try:
        server_now = token.issued_at or parsedate_to_datetime(date or "")
        if abs(server_now - now) < _NOTABLE_SKEW:
            return token
        return replace(token, expires_at=now + (token.expires_at - server_now))
    except (TypeError, ValueError, OverflowError):  # not a time, one without a zone, or after 9999
        return token


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
