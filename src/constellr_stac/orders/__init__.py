"""Order scenes: areas of interest, orders and products.

::

    from constellr_stac.orders import Order, OrdersClient

    with OrdersClient() as client:
        area = client.create_aoi("field 42", "field42.geojson")
        [order] = client.create(
            Order(
                area_of_interest_id=area,
                product_name="LSTprecision",
                frequency="max_frequency",
                start_date="2026-06-01",
                end_date="2026-08-31",
            )
        )
        client.wait(order.id, on_change=print)
"""

from __future__ import annotations

from constellr_stac.errors import (
    AreaOfInterestExistsError,
    InvalidAreaError,
    OrderEndedError,
    OrderExistsError,
    OrderOutcomeUnknown,
    OrderValidationError,
    OrderWaitTimeout,
)

from .checks import check_order, check_orders, violations
from .client import OrdersClient
from .geometry import measure, polygon_from, same_area
from .payloads import AreaOfInterest, GeometryInfo, Order, Product, Tag
from .rules import CONTRACT_RULES, NEWER_RULES, OrderRules, ProductRules
from .tables import aois_to_geodataframe, orders_to_geodataframe
from .violation import Violation

__all__ = [
    "CONTRACT_RULES",
    "NEWER_RULES",
    "AreaOfInterest",
    "AreaOfInterestExistsError",
    "GeometryInfo",
    "InvalidAreaError",
    "Order",
    "OrderEndedError",
    "OrderExistsError",
    "OrderOutcomeUnknown",
    "OrderRules",
    "OrderValidationError",
    "OrderWaitTimeout",
    "OrdersClient",
    "Product",
    "ProductRules",
    "Tag",
    "Violation",
    "aois_to_geodataframe",
    "check_order",
    "check_orders",
    "measure",
    "orders_to_geodataframe",
    "polygon_from",
    "same_area",
    "violations",
]
