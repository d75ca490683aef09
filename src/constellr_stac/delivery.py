"""Search, load and follow the scenes of an order.

Items carry the order's id in the property ``order:id``. If an account's items lack it, the order's
product, area and dates are searched instead.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pystac_client.exceptions import APIError as SearchError

from ._files import write_atomically
from .errors import APIConnectionError, ConstellrError, OrderEndedError
from .orders import Order, OrdersClient
from .orders.records import parse_time

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    import pystac
    import pystac_client
    import xarray as xr

    from .limits import Limits

__all__ = ["follow", "load_order", "search_order"]

_ORDER_ID = "order:id"
_UNKNOWN_PROPERTY = (400, 422)
_SAMPLE_SIZE = 10
_MAX_FAILURES = 5
_TOO_MANY = 429
_SERVER_ERRORS = 500


def search_order(
    order: Order | str,
    *,
    client: pystac_client.Client | None = None,
    orders: OrdersClient | None = None,
    **search: Any,
) -> pystac_client.ItemSearch:
    """Return a search for an order's scenes.

    If the API does not know ``order:id``, it searches the order's product, area and dates, which
    may include scenes of other orders of the same area.

    Args:
        order: The order or its id.

    Keyword Args:
        client: A STAC client; default :func:`constellr_stac.open_client`.
        orders: A client to fetch the order and its area; default ``OrdersClient()``.
        search: Further arguments of ``client.search``, such as ``sortby`` or ``max_items``; a
            ``filter`` is combined with the order's. In a search by area and dates, ``bbox``,
            ``intersects`` and ``datetime`` replace the order's.

    Raises:
        NotFoundError: There is no such order.
    """
    with ExitStack() as stack:
        orders = orders or stack.enter_context(OrdersClient())
        client = client or _client_for(orders)
        order_id = _id_of(order)
        by_id = {**search, **_by_id(order_id, search)}
        if _first(client, _by_id(order_id, {}), 1):
            return client.search(**by_id)
        order = orders.get(order_id) if isinstance(order, str) else order
        by_place: dict[str, Any] = {
            "collections": [order.product_name.lower()],
            "intersects": orders.get_aoi(order.area_of_interest_id).geometry,
            "datetime": [order.start_date, order.end_date],
        }
        others = _first(client, by_place, _SAMPLE_SIZE)
        if any(_ORDER_ID in item.properties for item in others):
            return client.search(**by_id)  # the API knows order:id; nothing has been delivered yet
        if search.get("bbox") is not None:
            del by_place["intersects"]  # mutually exclusive
        return client.search(**{**by_place, **search})


def load_order(
    order: Order | str,
    bands: str | Sequence[str] | None = None,
    *,
    client: pystac_client.Client | None = None,
    orders: OrdersClient | None = None,
    limits: Limits | None = None,
    **load: Any,
) -> xr.Dataset:
    """Load the delivered scenes of an order as a lazy cube.

    Args:
        order: The order or its id.
        bands: As for :func:`constellr_stac.load`.

    Keyword Args:
        client: As for :func:`search_order`.
        orders: As for :func:`search_order`.
        limits: Bounds on waiting and sizes; default that of ``orders``.
        load: Further arguments of :func:`constellr_stac.load`; ``auth`` defaults to that of
            ``orders``.

    Raises:
        NotFoundError: There is no such order.
        ValueError: Nothing has been delivered yet.
    """
    from .cube.load import load as load_items

    with ExitStack() as stack:
        asks = orders or stack.enter_context(OrdersClient(limits=limits))
        items = search_order(order, client=client, orders=asks).item_collection()
    if not items.items:
        msg = f"No scenes have been delivered for order {_id_of(order)} yet."
        raise ValueError(msg)
    load.setdefault("auth", asks.auth)
    cube: xr.Dataset = load_items(items, bands, limits=limits or asks.limits, **load)
    return cube


def follow(
    order: Order | str,
    interval: float = 300.0,
    since: datetime | date | str | None = None,
    *,
    state: str | os.PathLike[str] | None = None,
    client: pystac_client.Client | None = None,
    orders: OrdersClient | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[pystac.Item]:
    """Yield each scene of an order once, as it is delivered, until the order is closed.

    Args:
        order: The order or its id.
        interval: Seconds between polls.
        since: Skip scenes created (or, if unknown, observed) until then. UTC without a zone.

    Keyword Args:
        state: A file that records the yielded scenes, so that a restart resumes. A scene is
            recorded just before it is yielded; the file is replaced atomically.
        client: As for :func:`search_order`.
        orders: As for :func:`search_order`.
        sleep: Waits for a number of seconds.

    Raises:
        ValueError: ``since`` is not a time.
        OrderEndedError: The order was rejected.
        ConstellrError: The state file is invalid or of another order, or five polls in a row
            failed.
        NotFoundError: There is no such order.
    """
    order_id = _id_of(order)
    start = None if since is None else parse_time(since)
    delivered = _Delivered(order_id, None if state is None else Path(state))
    with ExitStack() as stack:
        orders = orders or stack.enter_context(OrdersClient())
        client = client or _client_for(orders)
        failures = 0
        while True:
            try:
                # Fetch the order first: scenes delivered before it was closed are found afterwards.
                current = orders.get(order_id)
                items = list(search_order(current, client=client, orders=orders).items())
                failures = 0
            except (ConstellrError, SearchError) as error:
                failures += 1
                if failures == _MAX_FAILURES or not _is_temporary(error):
                    raise
            else:
                for item in items:
                    if item not in delivered and (start is None or _delivered_at(item) > start):
                        delivered.add(item)
                        yield item
                if current.state == "rejected":
                    raise _rejected_error(current)
                if current.is_final:
                    return
            sleep(interval)


class _Delivered:
    """The yielded items of an order, kept in a file if there is one."""

    def __init__(self, order_id: str, path: Path | None) -> None:
        self._order_id = order_id
        self._path = path
        keys = self._read(path) if path is not None and path.exists() else []
        self._keys = dict.fromkeys(keys)

    def __contains__(self, item: pystac.Item) -> bool:
        return _key_of(item) in self._keys

    def add(self, item: pystac.Item) -> None:
        """Record an item, on disk first."""
        key = _key_of(item)
        if self._path is not None:
            state = {"order": self._order_id, "delivered": [*self._keys, key]}
            write_atomically(self._path, json.dumps(state, indent=1), sync=True)
        self._keys[key] = None

    def _read(self, path: Path) -> list[str]:
        try:
            content = json.loads(path.read_text("utf-8"))
            order_id, keys = content["order"], [str(name) for name in content["delivered"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConstellrError(
                f"{path} does not contain the state of follow(). Pass another file, or "
                "delete it to start over."
            ) from error
        if order_id != self._order_id:
            raise ConstellrError(
                f"{path} contains the state of order {order_id}, not of {self._order_id}. Use one "
                "file per order."
            )
        return keys


def _client_for(orders: OrdersClient) -> pystac_client.Client:
    from .stac.client import open_client

    return open_client(auth=orders.auth, limits=orders.limits)


def _first(client: pystac_client.Client, search: dict[str, Any], count: int) -> list[pystac.Item]:
    """Return the first items of a search; none if the API does not know ``order:id``."""
    try:
        return list(client.search(**search, limit=count, max_items=count).items())
    except (SearchError, ConstellrError) as error:
        if getattr(error, "status_code", None) in _UNKNOWN_PROPERTY and "filter" in search:
            return []
        raise


def _is_temporary(error: ConstellrError | SearchError) -> bool:
    """Return whether a retry may help: no response, 429 or 5xx."""
    status = getattr(error, "status_code", None)
    if status is None:
        return isinstance(error, (APIConnectionError, SearchError))
    return bool(status == _TOO_MANY or status >= _SERVER_ERRORS)


def _by_id(order_id: str, search: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter by order id, combined with the search's own filter."""
    own = {"op": "=", "args": [{"property": _ORDER_ID}, order_id]}
    other, language = search.get("filter"), search.get("filter_lang")
    if isinstance(other, str) and (language == "cql2-json" or other.lstrip().startswith("{")):
        other = json.loads(other)
    if isinstance(other, str):
        quoted = order_id.replace("'", "''")
        text = f"\"{_ORDER_ID}\" = '{quoted}' AND ({other})"
        return {"filter": text, "filter_lang": "cql2-text"}
    both = {"op": "and", "args": [own, other]} if other else own
    return {"filter": both, "filter_lang": "cql2-json"}


def _id_of(order: Order | str) -> str:
    if isinstance(order, str):
        return order
    if order.id is None:
        msg = "The order is not placed yet, so it has no scenes."
        raise ValueError(msg)
    return order.id


def _key_of(item: pystac.Item) -> str:
    return f"{item.collection_id}/{item.id}"


def _delivered_at(item: pystac.Item) -> datetime:
    when = item.common_metadata.created or item.datetime or item.common_metadata.start_datetime
    return datetime.max.replace(tzinfo=UTC) if when is None else when


def _rejected_error(order: Order) -> OrderEndedError:
    reason = f": {order.rejection_reason}" if order.rejection_reason else ""
    error = OrderEndedError(
        f"The order {order.id} was rejected{reason}. No scenes will be delivered."
    )
    error.order = order
    return error
