"""pystac-client, decoded on this API.

What is particular to the API's documents is completed in :mod:`constellr_stac.stac.fixups`, what
is particular to its requests is in :mod:`constellr_stac.stac.io`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pystac
import pystac_client
from pystac_client.collection_search import CollectionSearch

from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.errors import NotFoundError
from constellr_stac.layers.describe import complete_items
from constellr_stac.signing.signer import Signer, sign_inplace

from .io import ConstellrIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth

__all__ = ["ConstellrClient", "open_client"]


def open_client(
    url: str | None = None,
    *,
    auth: ConstellrAuth | Credential | None = None,
    sign: bool | Signer = False,
    describe: bool = False,
    **kwargs: Any,
) -> ConstellrClient:
    """Open the API with pystac-client.

    Args:
        url: The API, with or without ``/stac``; default ``CONSTELLR_API_URL``, else
            ``https://api.constellr.com``.

    Keyword Args:
        auth: A :class:`ConstellrAuth`, or a credential; by default the credential that
            :func:`default_credential` finds.
        sign: Whether to sign the ``s3://`` hrefs of all that the client returns, or a
            :class:`Signer` to do it with. Signed hrefs end; to read pixels they are not needed.
        describe: Whether to complete the items that the client returns with what their layers
            mean: types, scales, units, masks.
        **kwargs: For :meth:`pystac_client.Client.open`: ``modifier`` (called after ``describe``
            and before ``sign``), ``request_modifier`` (called before the credential is added),
            ``headers``, ``parameters``, ``timeout``.

    Returns:
        A client that can search: ``POST /stac/search`` with filter and sort, collection search,
        single collections and items.

    Raises:
        InsecureURLError: The API is plain http and not on this machine; nothing was sent.
        CredentialsNotFoundError: There is no credential; the message lists where it was looked for.
        AuthenticationError: The credential was refused.
        APIError: The API said no; this and the next are pystac-client's ``APIError``, too.
        APIConnectionError: The API did not answer.
        TypeError: ``stac_io`` is given, which this client brings itself.
        ValueError: ``auth`` is for another API than ``url``, or ``headers`` hold a credential.

    Example:
        >>> from constellr_stac import ApiKey, open_client
        >>> from constellr_stac.sandbox import Sandbox
        >>> with Sandbox(api_key_mode=True) as sandbox:
        ...     client = open_client(sandbox.api_url, auth=ApiKey(sandbox.api_key))
        ...     search = client.search(collections=["lstprecision"], datetime="2023-07")
        ...     search.matched()
        9
    """
    if "stac_io" in kwargs:
        msg = "open_client brings its own stac_io; give headers, parameters or request_modifier."
        raise TypeError(msg)
    for name in kwargs.get("headers") or ():
        if name.lower() in ("authorization", "x-api-key"):
            msg = f"The header {name} is for the credential; give that as auth=."
            raise ValueError(msg)
    modifier = _modifier(describe=describe, given=kwargs.pop("modifier", None), sign=sign)
    stac_io = ConstellrIO(as_auth(auth, base_url=url))
    return ConstellrClient.open(  # type: ignore[return-value] # open() returns what it is called on
        stac_io.documents.stac_url, modifier=modifier, stac_io=stac_io, **kwargs
    )


class ConstellrClient(pystac_client.Client):
    """A :class:`pystac_client.Client` that says what this API cannot do before asking it."""

    def get_collection(  # type: ignore[override] # pystac-client's is wrapped in a cache
        self, collection_id: str
    ) -> pystac.Collection | pystac_client.CollectionClient | None:
        """Return a collection, or ``None`` if there is none of that id.

        Raises:
            APIError: The API said no for another reason.
        """
        try:
            return super().get_collection(collection_id)
        except NotFoundError as error:  # pystac-client 0.8 raises what 0.9 takes for an answer
            if not (error.request_url or "").startswith(self._collections_href()):
                raise  # it is the token that is not found
            return None

    def search(
        self,
        *,
        method: str | None = "POST",
        filter: dict[str, Any] | str | None = None,  # noqa: A002 - pystac-client's name
        **kwargs: Any,
    ) -> pystac_client.ItemSearch:
        """Search items; see :meth:`pystac_client.Client.search`.

        Keyword Args:
            method: ``"POST"``: the API has no search by GET.
            filter: CQL2, as JSON or text. The operator ``eq`` of the provider's examples is sent
                by its standard name, ``=``.
            **kwargs: As in pystac-client: ``collections``, ``bbox``, ``datetime``,
                ``intersects``, ``ids``, ``sortby``, ``max_items``, ``limit``, ...

        Raises:
            ValueError: Another method is asked for.
        """
        if method not in (None, "POST"):
            msg = f"The API searches by POST only, not by {method}; leave method= out."
            raise ValueError(msg)
        return super().search(method="POST", filter=_standard(filter), **kwargs)

    def collection_search(
        self,
        *,
        q: str | None = None,
        filter: dict[str, Any] | str | None = None,  # noqa: A002 - pystac-client's name
        **kwargs: Any,
    ) -> CollectionSearch:
        """Search collections; see :meth:`pystac_client.Client.collection_search`.

        Keyword Args:
            q: Text to look for. The API does not take it: pystac-client looks itself, and warns.
            filter: CQL2, as for :meth:`search`.
            **kwargs: As in pystac-client; ``bbox``, ``datetime``, ``filter`` and ``sortby`` are
                the server's work.
        """
        if isinstance(filter, dict):
            # In a query pystac-client 0.8 garbles a dict, and 0.9 wants another package for it.
            filter, kwargs["filter_lang"] = json.dumps(_standard(filter)), "cql2-json"  # noqa: A001
        if q is not None:
            return super().collection_search(q=q, filter=filter, **kwargs)
        return _ServerSideSearch(
            url=self._collections_href(),
            client=self,
            filter=filter,
            stac_io=self._stac_io,
            modifier=self.modifier,
            # Without q there is no text to look for, and nothing to warn about.
            collection_search_extension_enabled=True,
            collection_search_free_text_enabled=True,
            **kwargs,
        )


class _ServerSideSearch(CollectionSearch):
    def _validate_client_side_args(self) -> None:
        """Let all arguments pass: none of the work is done on this side."""


@dataclass(frozen=True)
class _Modifier:
    """Several modifiers, one after the other, as one that can be pickled."""

    steps: tuple[Callable[[Any], object], ...]

    def __call__(self, obj: Any) -> None:
        for step in self.steps:
            step(obj)


def _modifier(
    *, describe: bool, given: Callable[[Any], object] | None, sign: bool | Signer
) -> Callable[[Any], Any] | None:
    steps: list[Callable[[Any], object]] = []
    if describe:
        steps.append(_describe)
    if given is not None:
        steps.append(given)
    if isinstance(sign, Signer):
        steps.append(functools.partial(sign.sign, copy=False))
    elif sign:
        steps.append(sign_inplace)
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else _Modifier(tuple(steps))


def _describe(obj: Any) -> None:
    """Complete the items in ``obj``; collections have no pixels."""
    items = isinstance(obj, pystac.Item | pystac.ItemCollection)
    if items or (isinstance(obj, dict) and obj.get("type") in ("Feature", "FeatureCollection")):
        complete_items(obj, copy=False)


def _standard(expression: Any) -> Any:
    """Return a CQL2 expression with ``eq`` by its standard name."""
    if isinstance(expression, list):
        return [_standard(part) for part in expression]
    if not isinstance(expression, dict):
        return expression
    standard = {name: _standard(part) for name, part in expression.items()}
    if standard.get("op") == "eq":
        standard["op"] = "="
    return standard
