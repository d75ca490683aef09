"""The rules for orders, as data.

:data:`CONTRACT_RULES` is the documented contract, :data:`NEWER_RULES` the newer API. Both are
frozen; change a copy::

    rules = dataclasses.replace(CONTRACT_RULES, max_tags=20)

Whether an area or product exists, and the use cases, are left to the server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTRACT_RULES", "NEWER_RULES", "OrderRules", "ProductRules"]


@dataclass(frozen=True, kw_only=True)
class ProductRules:
    """The limits of one product; ``None`` means no limit."""

    frequencies: tuple[str, ...] | None = None
    """Valid values of ``frequency``."""
    min_bbox: float | None = None
    """Minimum width and height of the area's bounding box, in metres."""
    max_bbox: float | None = None
    """Maximum width and height of the area's bounding box, in metres."""
    lead_days: int | None = None
    """Days from today (UTC) to the earliest start date."""
    min_days: int | None = None
    """Minimum length of the period, in days."""
    max_years: int | None = None
    """Maximum length of the period, in calendar years."""
    image_limit: bool = True
    """Whether ``maximum_number_of_images`` is allowed."""


@dataclass(frozen=True, kw_only=True)
class OrderRules:
    """The limits of all products, and those common to every order."""

    products: Mapping[str, ProductRules]
    """By product name; other products only have the common limits."""
    fields: frozenset[str]
    """Valid fields. Others are refused: the server would ignore a misspelt limit."""
    max_orders: int = 25
    """Maximum orders per batch."""
    max_tags: int = 10
    max_tag_length: int = 50
    illuminations: tuple[str, ...] = ("day", "night")
    """Valid values of ``illumination_constraint`` besides ``None``."""


_FIELDS = frozenset(
    {
        "area_of_interest_id",
        "start_date",
        "end_date",
        "frequency",
        "product_name",
        "comment",
        "tags",
        "illumination_constraint",
    }
)
_IMAGING = ProductRules(
    frequencies=("single_image", "max_frequency", "once_every_two_weeks", "monthly"),
    max_bbox=15_000,
    lead_days=8,
    min_days=7,
    max_years=1,
)
_IMAGING_NEWER = replace(
    _IMAGING,
    frequencies=("single_image", "max_frequency", "weekly", "once_every_two_weeks", "monthly"),
    lead_days=0,
)

CONTRACT_RULES = OrderRules(
    products={
        "LSTprecision": _IMAGING,
        "LSTzoom": _IMAGING,
        "LSTfusion": ProductRules(frequencies=("daily",), image_limit=False),
    },
    fields=_FIELDS,
)
"""The documented contract (December 2025)."""

NEWER_RULES = OrderRules(
    products={
        "LSTprecision": _IMAGING_NEWER,
        "LSTzoom": _IMAGING_NEWER,
        "LSTfusion": ProductRules(
            frequencies=("daily",), min_bbox=60, max_bbox=110_000, image_limit=False
        ),
    },
    fields=_FIELDS | {"maximum_number_of_images", "product_options"},
)
"""The provider's newer documentation (August 2026)."""
