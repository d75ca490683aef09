"""A pystac-client ``Client`` for this API.

:mod:`.fixups` completes the API's documents, :mod:`.io` sends the requests.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pystac
import pystac_client
from pystac_client.collection_search import CollectionSearch

from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.errors import NotFoundError
from constellr_stac.layers.describe import complete_items
from constellr_stac.signing.default import sign_inplace
from constellr_stac.signing.signer import Signer

from .empty_search import ExplainedSearch
from .io import ConstellrIO
from .members import owned
from .search_arguments import area, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits

__all__ = ["ConstellrClient", "open_client"]


def open_client(
    url: str | None = None,
    *,
    auth: ConstellrAuth | Credential | None = None,
    sign: bool | Signer = False,
    describe: bool = False,
    limits: Limits | None = None,
    **kwargs: Any,
) -> ConstellrClient:
    """Open the API with pystac-client.

    Args:
        url: The API, with or without ``/stac``; default ``CONSTELLR_API_URL``, else
            ``https://api.constellr.com``.

    Keyword Args:
        auth: A :class:`ConstellrAuth` or a credential; default the credential that
            :func:`default_credential` finds.
        sign: Whether to sign the ``s3://`` hrefs of returned objects, or a :class:`Signer` to use.
            Signed hrefs expire; :func:`constellr_stac.load` does not need them.
        describe: Whether to add types, scales, units and mask classes to returned items.
        limits: Bounds on waiting and sizes; default from the environment.
        **kwargs: For :meth:`pystac_client.Client.open`: ``modifier`` (called after ``describe``
            and before ``sign``), ``request_modifier`` (called before the credential is added),
            ``headers``, ``parameters``, ``timeout``.

    Returns:
        A client with item search (``POST /stac/search`` with filter and sort), collection search,
        single collections and items.

    Raises:
        InsecureURLError: The URL is ``http://`` and its host is not loopback; nothing was sent.
        CredentialsNotFoundError: There is no credential; the message lists the places searched.
        AuthenticationError: The credential was refused.
        APIError: An error response. This and the next are also pystac-client's ``APIError``.
        APIConnectionError: The API did not answer.
        TypeError: ``stac_io`` is given.
        ValueError: ``auth`` is for an API other than ``url``, or ``headers`` hold a credential.

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
        msg = "open_client uses its own stac_io; pass headers, parameters or request_modifier."
        raise TypeError(msg)
    for name in kwargs.get("headers") or ():
        if name.lower() in ("authorization", "x-api-key"):
            msg = f"The header {name} holds a credential; pass the credential as auth= instead."
            raise ValueError(msg)
    modifier = _modifier(describe=describe, given=kwargs.pop("modifier", None), sign=sign)
    stac_io = ConstellrIO(as_auth(auth, base_url=url, limits=limits), limits=limits)
    return ConstellrClient.open(  # type: ignore[return-value] # open() returns its own class
        stac_io.fixups.stac_url, modifier=modifier, stac_io=stac_io, **kwargs
    )


class ConstellrClient(pystac_client.Client):
    """A :class:`pystac_client.Client` that rejects requests which this API does not support."""

    def get_collection(  # type: ignore[override] # pystac-client's is wrapped in a cache
        self, collection_id: str
    ) -> pystac.Collection | pystac_client.CollectionClient | None:
        """Return a collection, or ``None`` if it does not exist.

        Raises:
            APIError: Another error response.
        """
        try:
            found = super().get_collection(collection_id)
            return None if found is None else owned(found, self)
        except NotFoundError as error:  # pystac-client 0.8 raises it, 0.9 returns None
            if not (error.request_url or "").startswith(self._collections_href()):
                raise  # a 404 of POST /token
            return None

    def get_collections(self) -> Iterator[pystac.Collection]:
        """Return all collections."""
        for collection in super().get_collections():
            yield owned(collection, self)

    def covers(self, url: str) -> bool:
        """Return whether a URL is one of the API, which gets its credential."""
        return isinstance(self._stac_io, ConstellrIO) and self._stac_io.fixups.covers(url)

    def __getstate__(self) -> dict[str, Any]:
        # pystac keeps all items ever found in it.
        return {**vars(self), "_resolved_objects": pystac.cache.ResolvedObjectCache()}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the client, which copies of its items share."""
        return self

    def search(
        self,
        *,
        method: str | None = "POST",
        filter: dict[str, Any] | str | None = None,  # noqa: A002 - pystac-client's name
        datetime: Any = None,
        intersects: Any = None,
        **kwargs: Any,
    ) -> pystac_client.ItemSearch:
        """Search items; see :meth:`pystac_client.Client.search`.

        Keyword Args:
            method: ``"POST"``; the API does not support GET searches.
            filter: CQL2, as JSON or text. The operator ``eq`` of the provider's examples is sent
                as ``=``.
            datetime: A str, date, datetime, ``np.datetime64``, ``pd.Timestamp`` or
                ``pd.Period``, or a pair of these.
            intersects: A geometry: GeoJSON, shapely, WKT, a GeoDataFrame or GeoSeries in any CRS,
                or the path of a vector file.
            **kwargs: As in pystac-client: ``collections``, ``bbox``, ``ids``, ``sortby``,
                ``max_items``, ``limit``, ...

        Raises:
            InvalidAreaError: ``intersects`` is not a geometry.
            ValueError: Another method is requested.

        Warns:
            UserWarning: Nothing is found (when the search runs), and a collection or a property in
                the request does not exist.
        """
        if method not in (None, "POST"):
            msg = f"The API supports POST searches only, not {method}; omit method=."
            raise ValueError(msg)
        search = super().search(
            method="POST",
            filter=_standardized(filter),
            datetime=interval(datetime),
            intersects=None if intersects is None else area(intersects),
            **kwargs,
        )
        search.__class__ = ExplainedSearch  # the class that Client.search makes is fixed
        return search

    def collection_search(
        self,
        *,
        q: str | None = None,
        filter: dict[str, Any] | str | None = None,  # noqa: A002 - pystac-client's name
        **kwargs: Any,
    ) -> CollectionSearch:
        """Search collections; see :meth:`pystac_client.Client.collection_search`.

        Keyword Args:
            q: Free text. The API does not support it; pystac-client filters locally and warns.
            filter: CQL2, as for :meth:`search`.
            **kwargs: As in pystac-client; ``bbox``, ``datetime``, ``filter`` and ``sortby`` are
                applied by the server.
        """
        if isinstance(filter, dict):
            # In a query, pystac-client 0.8 garbles a dict, and 0.9 needs another package for it.
            filter, kwargs["filter_lang"] = json.dumps(_standardized(filter)), "cql2-json"  # noqa: A001
        if q is not None:
            return super().collection_search(q=q, filter=filter, **kwargs)
        return _ServerSideSearch(
            url=self._collections_href(),
            client=self,
            filter=filter,
            stac_io=self._stac_io,
            modifier=self.modifier,
            # Prevents a warning about q, which is not used here.
            collection_search_extension_enabled=True,
            collection_search_free_text_enabled=True,
            **kwargs,
        )


class _ServerSideSearch(CollectionSearch):
    def _validate_client_side_args(self) -> None:
        """Accept all arguments: the server applies them."""


@dataclass(frozen=True)
class _Modifier:
    """Several modifiers in sequence; picklable."""

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
    """Complete the items in ``obj``; ignore collections."""
    items = isinstance(obj, pystac.Item | pystac.ItemCollection)
    if items or (isinstance(obj, dict) and obj.get("type") in ("Feature", "FeatureCollection")):
        complete_items(obj, copy=False)


def _standardized(expression: Any) -> Any:
    """Return a CQL2 expression with ``eq`` replaced by ``=``."""
    if isinstance(expression, list):
        return [_standardized(part) for part in expression]
    if not isinstance(expression, dict):
        return expression
    standard = {name: _standardized(part) for name, part in expression.items()}
    if standard.get("op") == "eq":
        standard["op"] = "="
    return standard
