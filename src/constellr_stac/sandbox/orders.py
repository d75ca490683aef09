"""Areas and orders as values, and their form in the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import shapely

    from .measure import Measures
    from .scenes import Scene

__all__ = ["UNTIL_ACCEPTED", "UNTIL_CLOSING", "Area", "Draft", "Order", "zulu"]

UNTIL_ACCEPTED = 0.1
"""Fraction of an order's lifetime until it is in progress."""
UNTIL_CLOSING = 0.9
"""Fraction of an order's lifetime until everything is delivered."""


@dataclass(frozen=True)
class Area:
    """An area of interest."""

    id: str
    name: str
    description: str | None
    geometry: dict[str, Any]
    """As received."""
    polygon: shapely.Polygon
    size: Measures
    created: datetime

    def answer(self, *, newer: bool) -> dict[str, Any]:
        """Return the area in the API's format."""
        return {
            "name": self.name,
            "geojson" if newer else "geometry": self.geometry,
            "description": self.description,
            "bbox_width": round(self.size.width, 1),
            "bbox_height": round(self.size.height, 1),
            "id": self.id,
            "created": self.created.replace(tzinfo=None).isoformat(timespec="microseconds"),
        }


@dataclass(frozen=True)
class Draft:
    """A validated order that is not placed yet."""

    area: Area
    fields: dict[str, Any]
    """Fields of the API's answer except area, times and tags."""
    starts: datetime
    ends: datetime
    tags: list[str]


@dataclass
class Order:
    """A placed order."""

    id: str
    draft: Draft
    created: datetime
    tags: list[dict[str, str]]
    lifetime: timedelta | None
    """Time until it is closed; ``None``: its state does not change."""
    fixed_state: str | None = None
    rejection_reason: str | None = None
    due: list[tuple[datetime, Scene]] = field(default_factory=list)
    """Pending deliveries."""

    def state(self, now: datetime, *, newer: bool) -> str:
        """Return the state."""
        if self.fixed_state is not None:
            return self.fixed_state
        first = "pending_validation" if newer else "initial_state"
        if self.lifetime is None:
            return first
        age = now - self.created
        if age >= self.lifetime:
            return "closed"
        if age < self.lifetime * UNTIL_ACCEPTED:
            return first
        return "in_progress" if age < self.lifetime * UNTIL_CLOSING else "closing"

    def answer(self, now: datetime, *, newer: bool) -> dict[str, Any]:
        """Return the order in the API's format."""
        answer = {
            "area_of_interest_id": self.draft.area.id,
            "start_date": zulu(self.draft.starts),
            "end_date": zulu(self.draft.ends),
            **self.draft.fields,
            "id": self.id,
            "created": zulu(self.created),
            "state": self.state(now, newer=newer),
            "tags": self.tags,
        }
        return {**answer, "rejection_reason": self.rejection_reason} if newer else answer


def zulu(when: datetime, *, timespec: str = "microseconds") -> str:
    """Format a time as the API does."""
    return when.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
