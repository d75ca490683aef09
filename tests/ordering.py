"""Clients and orders for a sandbox."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import shapely

from constellr_stac import Password
from constellr_stac.orders import OrdersClient
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from constellr_stac.sandbox import Exchange

TODAY = date(2026, 8, 1)
FIELD = shapely.box(8.60, 49.80, 8.65, 49.85)


def open_sandbox(**knobs: Any) -> Sandbox:
    """Return a sandbox with a fixed date."""
    return Sandbox(today=TODAY, **knobs)


def client_of(sandbox: Sandbox, role: str = "owner", **options: Any) -> OrdersClient:
    """Return a client of the sandbox that does not sleep."""
    account = sandbox.accounts[role]
    options = {"today": lambda: TODAY, "sleep": lambda _seconds: None, **options}
    return OrdersClient(
        Password(account.username, account.password), base_url=sandbox.api_url, **options
    )


def wish(area: Any, **changes: Any) -> dict[str, Any]:
    """Return the fields of a valid order."""
    fields: dict[str, Any] = {
        "area_of_interest_id": area,
        "product_name": "LSTprecision",
        "frequency": "max_frequency",
        "start_date": "2026-09-01T10:30:08.004Z",
        "end_date": "2026-09-30",
    }
    return fields | changes


def new_name() -> str:
    """Return an unused area name."""
    return f"field {uuid4()}"


def batches_sent(sandbox: Sandbox) -> list[Exchange]:
    """Return the requests that place orders."""
    return [sent for sent in sandbox.requests if sent.path == "/orders/batch"]
