"""Request modifiers for pystac-client's own ``Client.open``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from constellr_stac._process import STATE
from constellr_stac._secret import Secret
from constellr_stac.config import api_url

from .find_credential import VARIABLES
from .requests_auth import ConstellrAuth

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    RequestModifier: TypeAlias = Callable[[requests.Request], requests.Request | None]

__all__ = ["make_request_modifier", "request_modifier"]


def request_modifier(request: requests.Request) -> requests.Request | None:
    """Add the credential to a request: for ``pystac_client.Client.open(request_modifier=...)``.

    Uses the credential that :func:`default_credential` finds and the API of
    ``CONSTELLR_API_URL``. Requests to other origins are unchanged. The environment variables are
    read at each request, so changes take effect.
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
        # An auth object, not a header: it sees the response, and .netrc does not override it.
        if auth.covers(request.url):
            request.auth = auth
        return request

    return modify
