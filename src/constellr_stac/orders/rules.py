"""What an order has to fulfil, as data.

Two tables are known: :data:`CONTRACT_RULES`, the documented contract, and :data:`NEWER_RULES`,
what the API has said since. Either is a frozen value to take a changed copy of::

    rules = dataclasses.replace(CONTRACT_RULES, max_tags=20)

The check itself is in :mod:`.checks`. What only the server can know (whether the area and the
product exist, the use cases) is in no table: it has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTRACT_RULES", "NEWER_RULES", "OrderRules", "ProductRules"]


@dataclass(frozen=True, kw_only=True)
class ProductRules:
    """The limits of one product; ``None`` is no limit."""

    frequencies: tuple[str, ...] | None = None
    """The values that ``frequency`` may have."""
    min_bbox: float | None = None
    """Metres that the area's box is at least wide and high."""
    max_bbox: float | None = None
    """Metres that the area's box is at most wide and high."""
    lead_days: int | None = None
    """Days from today (UTC) to the earliest start date."""
    min_days: int | None = None
    """Days that the period lasts at least."""
    max_years: int | None = None
    """Calendar years that the period lasts at most."""
    image_limit: bool = True
    """Whether ``maximum_number_of_images`` may be given."""


@dataclass(frozen=True, kw_only=True)
class OrderRules:
    """The limits of all products, and those that hold for every order."""

    products: Mapping[str, ProductRules]
    """By product name; a product that is not here has no limits but the general ones."""
    fields: frozenset[str]
    """What an order may carry. Anything else is likely a misspelling, and a misspelt limit is
    one that the server does not see."""
    max_orders: int = 25
    """Orders in a batch."""
    max_tags: int = 10
    max_tag_length: int = 50
    illuminations: tuple[str, ...] = ("day", "night")
    """The values of ``illumination_constraint`` beside ``None``."""


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
_IMAGING_NEWER = ProductRules(
    frequencies=("single_image", "max_frequency", "weekly", "once_every_two_weeks", "monthly"),
    max_bbox=15_000,
    lead_days=0,
    min_days=7,
    max_years=1,
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
"""What the provider's documentation says since (August 2026)."""
