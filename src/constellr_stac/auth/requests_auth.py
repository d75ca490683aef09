"""The one place where a credential is added to a request, and only to the API's own origin.

:class:`ConstellrAuth` adds it, renews it and answers a 401; request modifiers and sessions use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, cast
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase
from requests.utils import rewind_body

from constellr_stac._process import STATE
from constellr_stac._refresh import utc_now
from constellr_stac._secret import Secret
from constellr_stac.config import api_url, origin
from constellr_stac.errors import APIError, AuthenticationError

from .credentials import (
    VARIABLES,
    ApiKey,
    Credential,
    Password,
    Token,
    own_credential,
    pushed_credential,
)
from .token import token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from constellr_stac._pushed import PushedValue

    RequestModifier: TypeAlias = Callable[[requests.Request], requests.Request | None]

__all__ = [
    "CREDENTIAL_HEADERS",
    "ConstellrAuth",
    "as_auth",
    "make_request_modifier",
    "request_modifier",
]

_UNAUTHORIZED = 401

CREDENTIAL_HEADERS = ("Authorization", "X-Api-Key")
"""The headers that hold a credential."""


class ConstellrAuth(AuthBase):
    """Adds the credential to requests to the API, and to no others.

    Works wherever a ``requests`` auth object does. A password is exchanged for a token at
    ``POST /token``, once for the whole process however many threads ask; the token is renewed
    before it expires. A 401 renews it and re-sends the request once.

    It pickles without the credential; one is looked up again where it is unpickled.

    Args:
        credential: An :class:`ApiKey`, :class:`Password` or :class:`Token`; by default what
            :func:`default_credential` finds when the first request is made.

    Keyword Args:
        base_url: The API; default ``CONSTELLR_API_URL``, else ``https://api.constellr.com``.

    Raises:
        InsecureURLError: ``base_url`` is plain http and not on this machine.

    Example:
        >>> import constellr_stac
        >>> auth = constellr_stac.ConstellrAuth(constellr_stac.ApiKey("secret"))
        >>> auth
        ConstellrAuth(ApiKey(source='given in code'), base_url='https://api.constellr.com')
    """

    def __init__(
        self, credential: Credential | None = None, *, base_url: str | None = None
    ) -> None:
        if credential is not None and not isinstance(credential, Credential):
            msg = f"Give an ApiKey, a Password or a Token, not a {type(credential).__name__}."
            raise TypeError(msg)
        self.base_url = api_url(base_url)
        self._explicit = credential
        self._found: Credential | None = credential
        self._left_behind = False

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the credential to ``request``, if it goes to the API.

        Raises:
            AuthenticationError: The password was refused, or the token has ended.
            CredentialsNotFoundError: There is no credential.
            APIConnectionError: ``POST /token`` was not answered.
        """
        if self.covers(request.url or ""):
            sent = self._header()
            request.headers[sent.name] = sent.value
            request.register_hook("response", _Look(self, sent))
        return request

    def covers(self, url: str) -> bool:
        """Say whether ``url`` is of the API's origin, where the credential may go."""
        return origin(url) == origin(self.base_url)

    @property
    def credential(self) -> Credential:
        """The credential in use; looked for when it was not given.

        Raises:
            CredentialsNotFoundError: There is none.
        """
        pushed = self._pushed()
        value = None if pushed is None else pushed.get()  # each time: the client replaces it
        if value is not None:
            return value
        if self._found is None:
            self._found = own_credential(base_url=self.base_url, left_behind=self._left_behind)
        return self._found

    def token(self) -> Token | None:
        """Return the token that requests are sent with now, or ``None`` with an API key.

        Raises:
            AuthenticationError: The password was refused, or the token has ended.
            CredentialsNotFoundError: There is no credential.
            APIConnectionError: ``POST /token`` was not answered.
        """
        try:
            return self._good_token()
        except AuthenticationError:
            self._found = self._explicit  # what was found may have been corrected since
            raise

    def _good_token(self) -> Token | None:
        credential = self.credential
        if isinstance(credential, Password):
            return token_of(self.base_url, credential).get()
        if isinstance(credential, Token):
            if credential.expires_at is not None and credential.expires_at <= utc_now():
                renewed = self.credential if self.discard(credential) else None
                if isinstance(renewed, Token):
                    return renewed
                raise AuthenticationError(
                    f"The token ({credential.source}) ended at "
                    f"{credential.expires_at:%Y-%m-%d %H:%M:%S} UTC. Get a new one, or give a "
                    "password or an API key, which need no renewing by hand."
                )
            return credential
        return None

    def discard(self, refused: Token) -> bool:
        """Drop a token that was refused, and say whether there can be another.

        A pushed one is replaced by the dask client, which may take a moment.
        """
        pushed, credential = self._pushed(), self.credential
        if isinstance(credential, Password):
            token_of(self.base_url, credential).discard(refused)
            return True
        return pushed is not None and pushed.other_than(refused) is not None

    def own(self) -> Self:
        """Return the same with this process's own credential, to share it with workers.

        Raises:
            CredentialsNotFoundError: There is none.
        """
        own = self._explicit or own_credential(base_url=self.base_url)
        return type(self)(own, base_url=self.base_url)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConstellrAuth):
            return NotImplemented
        return (self.base_url, self._explicit) == (other.base_url, other._explicit)

    def __hash__(self) -> int:
        return hash((self.base_url, self._explicit))

    def __repr__(self) -> str:
        return f"ConstellrAuth({self._found!r}, base_url={self.base_url!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        left_behind = self._left_behind or self._explicit is not None
        return {"base_url": self.base_url, "left_behind": left_behind}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.base_url = state["base_url"]
        self._explicit = self._found = None
        self._left_behind = state["left_behind"]

    def _pushed(self) -> PushedValue[Credential] | None:
        return pushed_credential(self.base_url) if self._explicit is None else None

    def _header(self) -> _Header:
        token = self.token()
        if token is not None:
            value = Secret("Bearer " + Secret(token.value).reveal())
            return _Header("Authorization", value, token)
        credential = self.credential
        if not isinstance(credential, ApiKey):
            msg = f"{type(credential).__name__} is not a credential that can be sent."
            raise TypeError(msg)
        return _Header("X-Api-Key", Secret(credential.key), None)

    def answered(
        self, response: requests.Response, sent: _Header, send_kwargs: Mapping[str, Any]
    ) -> requests.Response:
        """Look at an answer before ``requests`` hands it on, and renew what was refused.

        Raises:
            AuthenticationError: A 401 that no new token helps.
        """
        request = response.request
        where = response.headers.get("Location", "")
        if response.is_redirect and not self.covers(urljoin(response.url, where)):
            # requests takes Authorization off here, X-Api-Key not.
            for name in CREDENTIAL_HEADERS:
                request.headers.pop(name, None)
        if response.status_code != _UNAUTHORIZED or not self.covers(request.url or ""):
            return response
        refused = request.headers.get(sent.name) == sent.value
        if refused and (sent.token is None or not self.discard(sent.token)):
            raise self._refused(response)
        _ = response.content  # the connection is free again, even if there is no other token
        response.close()
        return self._sent_again(response, self._header(), send_kwargs)

    def _sent_again(
        self, response: requests.Response, header: _Header, send_kwargs: Mapping[str, Any]
    ) -> requests.Response:
        # The same recipe as requests.auth.HTTPDigestAuth: copy, rewind, send, keep history.
        again = response.request.copy()
        again.headers[header.name] = header.value
        if getattr(again, "_body_position", None) is not None:
            rewind_body(again)
        elif isinstance(again.body, Iterator):  # used up: nothing would be sent in its place
            msg = "The token is renewed, but the request's body is used up. Send the request again."
            raise requests.exceptions.UnrewindableBodyError(msg)
        answer: requests.Response = response.connection.send(again, **send_kwargs)
        answer.history.append(response)
        answer.request = again
        if answer.status_code == _UNAUTHORIZED:
            raise self._refused(answer)
        return answer

    def _refused(self, response: requests.Response) -> AuthenticationError:
        source = self.credential.source
        self._found = self._explicit  # one that was found may have been replaced since
        error = APIError.from_response(
            response, hint=f"The credential ({source}) was refused; check that it is still valid."
        )
        return cast("AuthenticationError", error)


def as_auth(
    auth: ConstellrAuth | Credential | None = None, *, base_url: str | None = None
) -> ConstellrAuth:
    """Return ``auth`` as a :class:`ConstellrAuth`.

    Args:
        auth: One, or a credential for one; by default the credential that
            :func:`default_credential` finds.

    Keyword Args:
        base_url: The API; default ``auth``'s, else ``CONSTELLR_API_URL``.

    Raises:
        TypeError: ``auth`` is neither.
        ValueError: ``auth`` is for another API than ``base_url``.
    """
    if not isinstance(auth, ConstellrAuth):
        return ConstellrAuth(auth, base_url=base_url)
    if base_url is not None and api_url(base_url) != auth.base_url:
        msg = f"auth is for {auth.base_url}, and its credential is not sent to {base_url}."
        raise ValueError(msg)
    return auth


def request_modifier(request: requests.Request) -> requests.Request | None:
    """Add the credential to a request: for ``pystac_client.Client.open(request_modifier=...)``.

    The credential is the one that :func:`default_credential` finds, for the API that
    ``CONSTELLR_API_URL`` names. Requests to other origins are left as they are. The variables
    are read each time, so that a corrected password or another account is noticed.
    """
    variables = tuple(Secret(os.environ.get(name, "")) for name in VARIABLES)
    url = api_url()
    auth = STATE.shared("auth", (url, variables), lambda: ConstellrAuth(base_url=url))
    return make_request_modifier(auth)(request)


def make_request_modifier(auth: ConstellrAuth) -> RequestModifier:
    """Return a request modifier for pystac-client that uses ``auth``.

    Example:
        >>> from constellr_stac import ApiKey, ConstellrAuth, make_request_modifier
        >>> modifier = make_request_modifier(ConstellrAuth(ApiKey("secret")))
    """

    def modify(request: requests.Request) -> requests.Request | None:
        # An auth object, not a header: it sees the answer, and .netrc does not displace it.
        if auth.covers(request.url):
            request.auth = auth
        return request

    return modify


class _Look:
    """The response hook of one request. An answer pickles with its request, so with this."""

    def __init__(self, auth: ConstellrAuth, sent: _Header | None) -> None:
        self._auth, self._sent = auth, sent

    def __call__(self, response: requests.Response, **send_kwargs: Any) -> requests.Response:
        if self._sent is None:
            return response  # unpickled, and never sent again
        return self._auth.answered(response, self._sent, send_kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Look, (self._auth, None)


class _Header(NamedTuple):
    """What was added to a request: the header, and the token in it, if it was one."""

    name: str
    value: Secret
    token: Token | None
