"""The only place that adds a credential to a request, and only for the API's origin.

:class:`ConstellrAuth` adds and renews it and handles a 401; request modifiers and sessions use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase
from requests.utils import rewind_body

from constellr_stac._pushed import advice_for
from constellr_stac._refresh import utc_now
from constellr_stac._secret import Secret, SharedOnCopy
from constellr_stac.config import api_url, origin
from constellr_stac.errors import APIConnectionError, APIError, AuthenticationError

from .credentials import ApiKey, Credential, Password, Token
from .find_credential import own_credential, owner_of, pushed_credential
from .response_hook import RequestConnectionError, ResponseHook, SentHeader
from .token import token_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac._pushed import Owner, PushedValue
    from constellr_stac.limits import Limits

__all__ = ["CREDENTIAL_HEADERS", "ConstellrAuth", "as_auth"]

_KEY = attrgetter("base_url", "_explicit", "_limits")
_UNAUTHORIZED, _PLACES_ORDERS = 401, "/orders/batch"

CREDENTIAL_HEADERS = ("Authorization", "X-Api-Key")
"""The headers that hold a credential."""


class ConstellrAuth(SharedOnCopy, AuthBase):
    """A ``requests`` auth object that adds the credential to requests to the API only.

    A password is exchanged for a token at ``POST /token``, once per process for all threads. The
    token is renewed before it expires. A 401 renews it and re-sends the request once, unless the
    request places orders.

    It pickles without the credential; the unpickling process searches for its own.

    Args:
        credential: An :class:`ApiKey`, :class:`Password` or :class:`Token`; default the one that
            :func:`default_credential` finds at the first request.

    Keyword Args:
        base_url: The API; default ``CONSTELLR_API_URL``, else ``https://api.constellr.com``.
        limits: Bounds on waiting for ``POST /token``; default from the environment.

    Raises:
        InsecureURLError: ``base_url`` is ``http://`` and its host is not loopback.

    Example:
        >>> import constellr_stac
        >>> auth = constellr_stac.ConstellrAuth(constellr_stac.ApiKey("secret"))
        >>> auth
        ConstellrAuth(ApiKey(source='given in code'), base_url='https://api.constellr.com')
    """

    def __init__(
        self,
        credential: Credential | None = None,
        *,
        base_url: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        if credential is not None and not isinstance(credential, Credential):
            msg = f"Pass an ApiKey, a Password or a Token, not a {type(credential).__name__}."
            raise TypeError(msg)
        self.base_url = api_url(base_url)
        self._explicit = credential
        self._found: Credential | None = credential
        self._limits = limits
        self._not_pickled = False
        self.owner: Owner | None = None  # whose graph it came with to this process
        self._own: Owner | None = None  # whose credential graphs built here use

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the credential to ``request``, if it is for the API.

        Raises:
            AuthenticationError: The password was refused, or the token has expired.
            CredentialsNotFoundError: There is no credential.
            APIConnectionError: ``POST /token`` was not answered.
        """
        if self.covers(request.url or ""):
            sent = self.current_header()
            request.headers[sent.name] = sent.value
            request.register_hook("response", ResponseHook(self, sent))
        return request

    def covers(self, url: str) -> bool:
        """Return whether ``url`` has the API's origin, so that the credential may be sent."""
        return origin(url) == origin(self.base_url)

    @property
    def credential(self) -> Credential:
        """The credential in use; searched for if not given.

        Raises:
            CredentialsNotFoundError: There is none.
        """
        pushed = self._pushed()
        value = None if pushed is None else pushed.get()  # not cached: the client replaces it
        if value is not None:
            return value
        if self._found is None:
            self._own = None
            self._found = own_credential(
                base_url=self.base_url, not_pickled=self._not_pickled, owner=self.owner
            )
        return self._found

    def token(self) -> Token | None:
        """Return the current token, or ``None`` for an API key.

        Raises:
            AuthenticationError: The password was refused, or the token has expired.
            CredentialsNotFoundError: There is no credential.
            APIConnectionError: ``POST /token`` was not answered.
        """
        try:
            return self._valid_token()
        except AuthenticationError:
            self._found = self._explicit  # search again: the source may have been corrected
            raise

    def _valid_token(self) -> Token | None:
        credential = self.credential
        if isinstance(credential, Password):
            return token_of(self.base_url, credential).get(self._limits)
        if isinstance(credential, Token):
            if credential.expires_at is not None and credential.expires_at <= utc_now():
                renewed = self.credential if self.discard(credential) else None
                if isinstance(renewed, Token):
                    return renewed
                otherwise = "Get a new one, or use an API key or a password instead."
                ended = f"{credential.expires_at:%Y-%m-%d %H:%M:%S} UTC"
                advice = advice_for(self._pushed(), otherwise)
                raise AuthenticationError(
                    f"The token ({credential.source}) expired at {ended}{advice}"
                )
            return credential
        return None

    def discard(self, refused: Token) -> bool:
        """Drop a refused token; return whether another one can be obtained.

        Waits for the dask client to replace a pushed token.
        """
        pushed, credential = self._pushed(), self.credential
        if isinstance(credential, Password):
            token_of(self.base_url, credential).discard(refused)
            return True
        return pushed is not None and pushed.other_than(refused) is not None

    def own(self) -> Self:
        """Return a copy with this process's own credential, to share it with workers.

        Raises:
            CredentialsNotFoundError: There is none.
        """
        own = self._explicit or own_credential(base_url=self.base_url)
        return type(self)(own, base_url=self.base_url, limits=self._limits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConstellrAuth) and _KEY(self) == _KEY(other)

    def __hash__(self) -> int:
        return hash(_KEY(self))

    def __repr__(self) -> str:
        if "_found" not in vars(self):
            return "ConstellrAuth(not initialized)"  # as debuggers show it
        return f"ConstellrAuth({self._found!r}, base_url={self.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        given, owner = self._explicit is not None, self.graph_owner()
        lost = {"_explicit": None, "_found": None, "_not_pickled": self._not_pickled or given}
        return {**vars(self), **lost, "owner": owner, "_own": None}

    def graph_owner(self) -> Owner:
        """Return whose credential the tasks of a graph use."""
        given, owner = self._explicit is not None, self.owner or self._own
        if owner is None or not (self.owner or owner.is_here):  # not here: this process was forked
            self._own = owner = owner_of(self._found, self.base_url, explicit=given)
        return owner

    def _pushed(self) -> PushedValue[Credential] | None:
        return None if self._explicit else pushed_credential(self.base_url, self.owner)

    def current_header(self) -> SentHeader:
        """Return the header of a request that is sent now; raises as :meth:`token`."""
        try:
            token = self.token()
        except APIConnectionError as error:
            raise RequestConnectionError.of(error) from error.__cause__
        if token is not None:
            bearer = Secret("Bearer " + Secret(token.value).reveal())
            return SentHeader("Authorization", bearer, token)
        credential = self.credential
        if not isinstance(credential, ApiKey):
            raise TypeError(f"{type(credential).__name__} is not a credential that can be sent.")
        return SentHeader("X-Api-Key", Secret(credential.key), None)

    def handle_response(
        self, response: requests.Response, hook: ResponseHook, send_kwargs: Mapping[str, Any]
    ) -> requests.Response:
        """Handle a response: strip the credential from redirects, renew and re-send after a 401.

        Raises:
            AuthenticationError: A 401 that a new token cannot fix.
            APIConnectionError: ``POST /token`` was not answered.
        """
        sent = hook.sent
        request = response.request
        where = response.headers.get("Location", "")
        if response.is_redirect and not self.covers(urljoin(response.url, where)):
            # requests removes Authorization here, but not X-Api-Key.
            for name in CREDENTIAL_HEADERS:
                request.headers.pop(name, None)
        if response.status_code != _UNAUTHORIZED or not self.covers(request.url or ""):
            return response
        if sent is None:
            return response  # unpickled: not sent again
        refused = request.headers.get(sent.name) == sent.value
        final = refused and (sent.token is None or not self.discard(sent.token))
        if request.method == "POST" and request.path_url.endswith(_PLACES_ORDERS):
            return response  # OrdersClient lists the orders before it sends a batch again
        if final:
            raise self._refused(response)
        _ = response.content  # frees the connection, even if there is no other token
        response.close()
        header = self.current_header()
        answer = self._resend(response, header, send_kwargs)
        # A prepared request that is sent again begins with the token that works.
        request.headers[header.name], hook.sent = header.value, header
        return answer

    def _resend(
        self, response: requests.Response, header: SentHeader, send_kwargs: Mapping[str, Any]
    ) -> requests.Response:
        # As in requests.auth.HTTPDigestAuth: copy, rewind, send, keep history.
        again = response.request.copy()
        again.headers[header.name] = header.value
        if getattr(again, "_body_position", None) is not None:
            rewind_body(again)
        elif isinstance(again.body, Iterator):  # consumed: an empty body would be sent
            msg = "The token was renewed, but the request body is consumed. Send the request again."
            raise requests.exceptions.UnrewindableBodyError(msg)
        answer: requests.Response = response.connection.send(again, **send_kwargs)
        answer.history.append(response)
        answer.request = again
        if answer.status_code == _UNAUTHORIZED:
            raise self._refused(answer)
        return answer

    def _refused(self, response: requests.Response) -> AuthenticationError:
        source = self.credential.source
        self._found = self._explicit  # search again: the source may have been corrected
        hint = f"The credential ({source}) was refused; check that it is still valid."
        return cast("AuthenticationError", APIError.from_response(response, hint=hint))


def as_auth(
    auth: ConstellrAuth | Credential | None = None,
    *,
    base_url: str | None = None,
    limits: Limits | None = None,
) -> ConstellrAuth:
    """Return ``auth`` as a :class:`ConstellrAuth`.

    Args:
        auth: An auth object or a credential; default the credential that
            :func:`default_credential` finds.

    Keyword Args:
        base_url: The API; default that of ``auth``, else ``CONSTELLR_API_URL``.
        limits: Bounds on waiting for ``POST /token``; an auth object has its own.

    Raises:
        TypeError: ``auth`` is neither.
        ValueError: ``auth`` is for an API other than ``base_url``.
    """
    if not isinstance(auth, ConstellrAuth):
        return ConstellrAuth(auth, base_url=base_url, limits=limits)
    if base_url is not None and api_url(base_url) != auth.base_url:
        raise ValueError(f"auth is for {auth.base_url}; its credential is not sent to {base_url}.")
    return auth
