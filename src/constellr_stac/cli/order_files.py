"""Files of orders, in YAML or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .inputs import STDIN, from_yaml

if TYPE_CHECKING:
    from constellr_stac.orders import OrdersClient

__all__ = ["Batch", "read_batch"]


@dataclass(frozen=True)
class Batch:
    """What a file says."""

    orders: list[Any]
    use_case: str | None = None
    comment: str | None = None

    def payload(self, client: OrdersClient, *, check: bool) -> dict[str, Any]:
        """Return what is sent to place it."""
        return client.create(
            self.orders,
            use_case=self.use_case,
            comment=self.comment,
            check=check,
            dry_run=True,
        )


def read_batch(file: str) -> Batch:
    """Return the orders in a file, one or several, with or without words on all of them.

    Args:
        file: A path or ``-``.

    Raises:
        typer.BadParameter: It holds none.
    """
    name = "Standard input" if file == STDIN else Path(file).name
    content = from_yaml(file)
    words: dict[str, str] = {}
    if isinstance(content, dict) and "orders" in content:
        words = {
            key: str(value)
            for key, value in content.items()
            if key != "orders" and value is not None
        }
        unknown = words.keys() - {"use_case", "comment"}
        if unknown:
            raise typer.BadParameter(
                f"{name}: {', '.join(sorted(map(str, unknown)))}: beside orders there are use_case "
                "and comment; everything else belongs to an order."
            )
        content = content["orders"]
    orders = [content] if isinstance(content, dict) else content
    if not isinstance(orders, list) or not orders:
        raise typer.BadParameter(f"{name} holds no orders.")
    if not all(isinstance(order, dict) for order in orders):
        raise typer.BadParameter(f"{name}: an order is a set of fields, such as product_name.")
    return Batch([_with_text_tags(order) for order in orders], **words)


def _with_text_tags(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order whose tags are text: YAML reads the tag 2026 as a number."""
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
