"""Order files, in YAML or JSON."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from typer import BadParameter

from .inputs import STDIN, from_yaml

__all__ = ["read_batch"]


def read_batch(file: str) -> dict[str, Any]:
    """Return the arguments of :meth:`.OrdersClient.create` for the orders of a file.

    The file holds one order, a list of them, or ``orders`` with ``use_case`` and ``comment``.

    Raises:
        typer.BadParameter: The file holds no orders.
    """
    name = "Standard input" if file == STDIN else Path(file).name
    content = from_yaml(file)
    batch_fields: dict[str, str] = {}
    if isinstance(content, dict) and "orders" in content:
        others = {key: value for key, value in content.items() if key != "orders"}
        batch_fields = {key: str(value) for key, value in others.items() if value is not None}
        unknown = batch_fields.keys() - {"use_case", "comment"}
        if unknown:
            raise BadParameter(
                f"{name}: unknown {', '.join(sorted(map(str, unknown)))}; beside orders, only "
                "use_case and comment are allowed. Other fields belong into an order."
            )
        content = content["orders"]
    orders = [content] if isinstance(content, dict) else content
    if not isinstance(orders, list) or not orders:
        raise BadParameter(f"{name} holds no orders.")
    if not all(isinstance(order, dict) for order in orders):
        raise BadParameter(f"{name}: an order is a mapping of fields, such as product_name.")
    return {"orders": [_with_string_tags(order) for order in orders], **batch_fields}


def _with_string_tags(order: dict[str, Any]) -> dict[str, Any]:
    """Return the order with tags as strings: YAML parses the tag 2026 as a number."""
    tags = order.get("tags")
    if not isinstance(tags, list):
        return order
    numbers = (int, float, date)
    strings = [
        str(tag) if isinstance(tag, numbers) and not isinstance(tag, bool) else tag for tag in tags
    ]
    return {**order, "tags": strings}
