"""From an order to its scenes: search them, load them, follow them as they arrive.

Orders (:mod:`.orders`) and scenes (the STAC API) meet here. An item carries its order's id in
the property ``order:id``; where an account's items are too old for that, the order's product,
area and dates stand in.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pystac_client.exceptions import APIError as SearchError

from constellr_stac.errors import OrderEndedError

from ._files import write_atomically
from .errors import APIConnectionError, ConstellrError
from .orders import Order, OrdersClient
from .orders.payloads import utc_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    import pystac
    import pystac_client
    import xarray as xr

__all__ = ["follow", "load_order", "search_order"]

_ORDER_ID = "order:id"
_NO_SUCH_PROPERTY = (400, 422)
_PEEK = 10
_PATIENCE = 5
_TOO_MANY = 429
_SERVER_ERRORS = 500


def search_order(
    order: Order | str,
    *,
    client: pystac_client.Client | None = None,
    orders: OrdersClient | None = None,
    **search: Any,
) -> pystac_client.ItemSearch:
    """Return the search for the scenes that an order has brought so far.

    Where the API does not know ``order:id``, it is the search for the order's product in its
    area and dates, which may find scenes of other orders of the same area too.

    Args:
        order: The order or its id.

    Keyword Args:
        client: A STAC client for the search; default :func:`constellr_stac.open_client`.
        orders: A client for the order and its area, asked only where they are needed; default
            ``OrdersClient()``.
        search: More for ``client.search``, such as ``sortby`` or ``max_items``; a ``filter`` has to
            hold, too. Where area and dates stand in for the order, ``bbox`` or ``intersects`` and
            ``datetime`` take their place.

    Raises:
        NotFoundError: There is no such order.
    """
    with ExitStack() as decoded:
        orders = orders or decoded.enter_context(OrdersClient())
        client = client or _client_for(orders)
        order_id = order if isinstance(order, str) else _id_of(order)
        by_id = {**search, **_by_id(order_id, search)}
        if _first(client, _by_id(order_id, {}), 1):
            return client.search(**by_id)
        order = orders.get(order_id) if isinstance(order, str) else order
        by_place: dict[str, Any] = {
            "collections": [order.product_name.lower()],
            "intersects": orders.get_aoi(order.area_of_interest_id).geometry,
            "datetime": [order.start_date, order.end_date],
        }
        others = _first(client, by_place, _PEEK)
        if any(_ORDER_ID in item.properties for item in others):
            return client.search(**by_id)  # known: there is just nothing yet
        if search.get("bbox") is not None:
            del by_place["intersects"]  # the API takes one or the other
        return client.search(**{**by_place, **search})


def load_order(
    order: Order | str,
    bands: str | Sequence[str] | None = None,
    *,
    client: pystac_client.Client | None = None,
    orders: OrdersClient | None = None,
    **load: Any,
) -> xr.Dataset:
    """Return what an order has brought so far as a lazy cube.

    Args:
        order: The order or its id.
        bands: As for :func:`constellr_stac.load`.

    Keyword Args:
        client: As for :func:`search_order`.
        orders: As for :func:`search_order`.
        load: More for :func:`constellr_stac.load`; ``auth`` is that of ``orders``, unless given.

    Raises:
        NotFoundError: There is no such order.
        ValueError: Nothing has been delivered yet.
    """
    from .cube.load import load as load_items

    items = search_order(order, client=client, orders=orders).item_collection()
    if not items.items:
        msg = f"The order {order if isinstance(order, str) else order.id} has brought nothing yet."
        raise ValueError(msg)
    if orders is not None:
        load.setdefault("auth", orders.auth)
    cube: xr.Dataset = load_items(items, bands, **load)
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
        interval: Seconds between two looks.
        since: Leave out the scenes that were there by then: created, or if an item does not
            say that, observed. Without a zone it is UTC.

    Keyword Args:
        state: A file that remembers what was yielded, so that a restart goes on where this ended.
            A scene counts as yielded when it is handed over; the file is replaced as a whole.
        client: As for :func:`search_order`.
        orders: As for :func:`search_order`.
        sleep: Waits for some seconds.

    Raises:
        ValueError: ``since`` is no time.
        OrderEndedError: The order was rejected.
        ConstellrError: The state file is another order's or broken, or the API has failed five
            times in a row.
        NotFoundError: There is no such order.
    """
    order_id = order if isinstance(order, str) else _id_of(order)
    start = None if since is None else utc_of(since)
    delivered = _Delivered(order_id, None if state is None else Path(state))
    with ExitStack() as decoded:
        orders = orders or decoded.enter_context(OrdersClient())
        client = client or _client_for(orders)
        failures = 0
        while True:
            try:
                # The state first: what was delivered before it was closed is found after that.
                current = orders.get(order_id)
                items = list(search_order(current, client=client, orders=orders).items())
                failures = 0
            except (ConstellrError, SearchError) as error:
                failures += 1
                if failures == _PATIENCE or not _may_pass(error):
                    raise
            else:
                for item in items:
                    if item not in delivered and (start is None or _arrived(item) > start):
                        delivered.add(item)
                        yield item
                if current.state == "rejected":
                    raise _rejected(current)
                if current.is_final:
                    return
            sleep(interval)


class _Delivered:
    """Which items of an order were handed over; kept in a file, if there is one."""

    def __init__(self, order_id: str, path: Path | None) -> None:
        self._order_id = order_id
        self._path = path
        self._names = self._read(path) if path is not None and path.exists() else []
        self._known = set(self._names)

    def __contains__(self, item: pystac.Item) -> bool:
        return _name_of(item) in self._known

    def add(self, item: pystac.Item) -> None:
        """Remember an item, on disk before anywhere else."""
        names = [*self._names, _name_of(item)]
        if self._path is not None:
            state = {"order": self._order_id, "delivered": names}
            write_atomically(self._path, json.dumps(state, indent=1), sync=True)
        self._names = names
        self._known.add(names[-1])

    def _read(self, path: Path) -> list[str]:
        try:
            content = json.loads(path.read_text("utf-8"))
            order_id, names = content["order"], [str(name) for name in content["delivered"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConstellrError(
                f"{path} does not hold the state of an order that is followed. Name another file, "
                "or delete it to begin again."
            ) from error
        if order_id != self._order_id:
            raise ConstellrError(
                f"{path} holds the state of order {order_id}, not of {self._order_id}. Give each "
                "order a file of its own."
            )
        return names


def _client_for(orders: OrdersClient) -> pystac_client.Client:
    from .stac.client import open_client

    return open_client(auth=orders.auth)


def _first(client: pystac_client.Client, search: dict[str, Any], count: int) -> list[pystac.Item]:
    """Return the first items of a search; none where the API does not know the property."""
    try:
        return list(client.search(**search, limit=count, max_items=count).items())
    except (SearchError, ConstellrError) as error:
        if getattr(error, "status_code", None) in _NO_SUCH_PROPERTY and "filter" in search:
            return []
        raise


def _may_pass(error: ConstellrError | SearchError) -> bool:
    """Say whether it is worth trying again: no answer, too many requests, a server that fails."""
    status = getattr(error, "status_code", None)
    if status is None:
        return isinstance(error, (APIConnectionError, SearchError))
    return bool(status == _TOO_MANY or status >= _SERVER_ERRORS)


def _by_id(order_id: str, search: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter by an order's id, joined with the one that a search may have."""
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


def _id_of(order: Order) -> str:
    if order.id is None:
        msg = "This order is not placed yet, so nothing can have come of it."
        raise ValueError(msg)
    return order.id


def _name_of(item: pystac.Item) -> str:
    return f"{item.collection_id}/{item.id}"


def _arrived(item: pystac.Item) -> datetime:
    moment = item.common_metadata.created or item.datetime or item.common_metadata.start_datetime
    return datetime.max.replace(tzinfo=UTC) if moment is None else moment


def _rejected(order: Order) -> OrderEndedError:
    reason = f": {order.rejection_reason}" if order.rejection_reason else ""
    error = OrderEndedError(f"The order {order.id} was rejected{reason}. Nothing will come of it.")
    error.order = order
    return error
