"""Orders as tables and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constellr_stac.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from constellr_stac.orders import Order, OrdersClient

    from .terminal import Terminal

__all__ = ["preview_orders", "show_order", "show_orders"]

_COLUMNS = ("id", "state", "product", "from", "to", "tags")
_IN_TABLE = (
    "area_of_interest_id",
    "product_name",
    "frequency",
    "start_date",
    "end_date",
    "illumination_constraint",
)
"""Fields shown as columns before an order is placed; others get a line each."""


def preview_orders(terminal: Terminal, client: OrdersClient, payload: dict[str, Any]) -> None:
    """Show the orders on standard error."""
    from constellr_stac.orders import Order

    orders = [Order.model_validate(order) for order in payload["orders"]]
    names = {}
    for id_ in dict.fromkeys(order.area_of_interest_id for order in orders):
        try:
            names[id_] = client.get_aoi(id_).name
        except APIError:  # the API decides whether it can be ordered
            names[id_] = id_
    rows = [
        (
            names[order.area_of_interest_id],
            order.product_name,
            order.frequency,
            _format_time(order.start_date),
            _format_time(order.end_date),
            order.illumination_constraint or "either",
        )
        for order in orders
    ]
    columns = ("area", "product", "frequency", "from", "to", "light")
    terminal.table(columns, rows, stderr=True)
    for number, order in enumerate(orders, 1):
        which = f"order {number}: " if len(orders) > 1 else ""
        for name, value in order.payload().items():
            if name not in _IN_TABLE:
                terminal.note(
                    f"{which}{name}: {', '.join(order.tag_names) if name == 'tags' else value}"
                )
    for key in ("use_case", "comment"):
        if payload.get(key):
            terminal.note(f"batch {key}: {payload[key]}")


def show_order(terminal: Terminal, order: Order) -> None:
    """Print the fields of an order."""
    value = order.to_dict()
    facts = {**value, "tags": ", ".join(order.tag_names) or None}
    terminal.facts(value, ((name.replace("_", " "), fact) for name, fact in facts.items()))


def show_orders(terminal: Terminal, orders: Sequence[Order]) -> None:
    """Print a table of orders."""
    if terminal.as_json:
        terminal.json([order.to_dict() for order in orders])
        return
    if not orders:
        terminal.note("No orders.")
        return
    terminal.table(_COLUMNS, map(_row, orders))


def _row(order: Order) -> tuple[Any, ...]:
    return (
        order.id,
        order.state,
        order.product_name,
        _format_time(order.start_date),
        _format_time(order.end_date),
        ", ".join(order.tag_names),
    )


def _format_time(when: datetime) -> str:
    """Format a time in UTC; only the date if it is midnight."""
    return f"{when:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
