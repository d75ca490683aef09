"""Order files, in YAML or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .inputs import STDIN, from_yaml

if TYPE_CHECKING:
    from constellr_stac.orders import Order, OrdersClient

__all__ = ["Batch", "read_batch"]


@dataclass(frozen=True)
class Batch:
    """Orders of a file, with the fields of the whole batch."""

    orders: list[Any]
    use_case: str | None = None
    comment: str | None = None

    def payload(self, client: OrdersClient, *, check: bool) -> dict[str, Any]:
        """Return the request body."""
        return client.create(
            self.orders, use_case=self.use_case, comment=self.comment, check=check, dry_run=True
        )

    def place(self, client: OrdersClient, *, exist_ok: bool, duplicate_ok: bool) -> list[Order]:
        """Place the orders, which were checked before."""
        return client.create(
            self.orders,
            use_case=self.use_case,
            comment=self.comment,
            check=False,
            exist_ok=exist_ok,
            duplicate_ok=duplicate_ok,
        )


def read_batch(file: str) -> Batch:
    """Return the orders of a file: one, a list, or ``orders`` with ``use_case`` and ``comment``.

    Raises:
        typer.BadParameter: The file holds no orders.
    """
    name = "Standard input" if file == STDIN else Path(file).name
    content = from_yaml(file)
    batch_fields: dict[str, str] = {}
    if isinstance(content, dict) and "orders" in content:
        batch_fields = {
            key: str(value)
            for key, value in content.items()
            if key != "orders" and value is not None
        }
        unknown = batch_fields.keys() - {"use_case", "comment"}
        if unknown:
            raise typer.BadParameter(
                f"{name}: unknown {', '.join(sorted(map(str, unknown)))}; beside orders, only "
                "use_case and comment are allowed. Other fields belong into an order."
            )
        content = content["orders"]
    orders = [content] if isinstance(content, dict) else content
    if not isinstance(orders, list) or not orders:
        raise typer.BadParameter(f"{name} holds no orders.")
    if not all(isinstance(order, dict) for order in orders):
        raise typer.BadParameter(f"{name}: an order is a mapping of fields, such as product_name.")
    return Batch([_with_string_tags(order) for order in orders], **batch_fields)


def _with_string_tags(order: dict[str, Any]) -> dict[str, Any]:
    """Return the order with tags as strings: YAML parses the tag 2026 as a number."""
    tags = order.get("tags")
    if not isinstance(tags, list):
        return order
    numbers = (int, float, date)
    return {
        **order,
        "tags": [
            str(tag) if isinstance(tag, numbers) and not isinstance(tag, bool) else tag
            for tag in tags
        ],
    }
