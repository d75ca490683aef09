"""Orders, areas of interest and products as immutable values.

Fields are named as in the API. Unknown fields are kept. Times are aware and in UTC. Both
spellings of ``single_image`` and both forms of an area (``geometry``, ``geojson``) are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from constellr_stac.geometry.polygons import polygon_of

from .records import Record, UtcTime

if TYPE_CHECKING:
    from datetime import date, datetime

__all__ = ["FINAL_STATES", "AreaOfInterest", "GeometryInfo", "Order", "Product", "Tag"]

FINAL_STATES = frozenset({"closed", "rejected"})
"""States that an order does not leave."""


def _id_of(value: Any) -> Any:
    """Replace an area by its id."""
    if isinstance(value, AreaOfInterest):
        return value.id
    return str(value) if isinstance(value, UUID) else value


def _check_tags(value: Any) -> Any:
    if isinstance(value, str):
        msg = "expected a list of tags, not a string"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueErrors
    return () if value is None else value


Frequency = Annotated[
    str, BeforeValidator(lambda value: "single_image" if value == "single-image" else value)
]
AreaId = Annotated[str, BeforeValidator(_id_of)]


class Tag(Record):
    """A label of an order; a string is accepted in its place."""

    name: str
    id: str | None = None
    created: UtcTime | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return self.name


class Order(Record):
    """An order: the request and, once placed, its status.

    Times without a zone are UTC; a date is its first moment in UTC.

    Example:
        >>> order = Order(
        ...     area_of_interest_id="1c53eaa-9b26-4c3d-8998-bfc8e9ac1770",
        ...     product_name="LSTprecision",
        ...     start_date="2026-09-01",
        ...     end_date="2026-09-30",
        ...     frequency="single-image",
        ...     tags=["field42"],
        ... )
        >>> order.frequency, order.start_date.isoformat()
        ('single_image', '2026-09-01T00:00:00+00:00')
    """

    area_of_interest_id: AreaId
    """The id of the area; an :class:`AreaOfInterest` is accepted."""
    start_date: UtcTime
    """Start of the period, UTC."""
    end_date: UtcTime
    """End of the period, UTC."""
    frequency: Frequency
    """``single_image``, ``max_frequency``, ``once_every_two_weeks``, ``monthly``, ``daily``, or
    another frequency that the product offers."""
    product_name: str
    """A name from :meth:`OrdersClient.products`."""
    comment: str | None = None
    tags: Annotated[tuple[Tag, ...], BeforeValidator(_check_tags)] = ()
    illumination_constraint: str | None = None
    """``day``, ``night``, or ``None`` for either."""
    maximum_number_of_images: int | None = Field(default=None, strict=True)
    product_options: dict[str, Any] | None = None
    """For example ``{"sharpened_10m": True}``."""

    id: str | None = None
    """Set by the server; ``None`` until the order is placed."""
    created: UtcTime | None = None
    """When the order was placed, UTC, by the server's clock."""
    state: str | None = None
    """``pending_validation``, ``in_progress``, ``closing``, ``closed`` or ``rejected``."""
    rejection_reason: str | None = None

    if TYPE_CHECKING:
        # Accepts more types than the fields hold.
        def __init__(
            self,
            *,
            area_of_interest_id: str | UUID | AreaOfInterest,
            start_date: datetime | date | str,
            end_date: datetime | date | str,
            frequency: str,
            product_name: str,
            comment: str | None = None,
            tags: Iterable[str | Tag] | None = (),
            illumination_constraint: str | None = None,
            maximum_number_of_images: int | None = None,
            product_options: dict[str, Any] | None = None,
            **others: Any,
        ) -> None: ...

    @property
    def tag_names(self) -> tuple[str, ...]:
        """The tags as strings."""
        return tuple(tag.name for tag in self.tags)

    @property
    def is_final(self) -> bool:
        """Whether the order is closed or rejected."""
        return self.state in FINAL_STATES

    def payload(self) -> dict[str, Any]:
        """Return the request body for this order: the fields that were set, without the server's.

        Example:
            >>> Order(
            ...     area_of_interest_id="a", product_name="LSTfusion", frequency="daily",
            ...     start_date="2026-09-01", end_date="2026-09-30T12:00+02:00",
            ... ).payload()["end_date"]
            '2026-09-30T10:00:00Z'
        """
        sent = self.model_dump(mode="json", exclude_none=True, exclude=set(SERVER_FIELDS))
        sent["tags"] = list(self.tag_names)
        if not sent["tags"]:
            del sent["tags"]
        return sent

    def draft(self, **changes: Any) -> Self:
        """Return a copy of this order that is not placed yet.

        Args:
            changes: Fields to change, such as ``start_date`` and ``end_date``.
        """
        return type(self).model_validate({**self.payload(), **changes})

    @field_serializer("tags")
    def _serialize_tags(self, tags: tuple[Tag, ...]) -> list[Any]:
        fields = [tag.to_dict() for tag in tags]
        return [each["name"] if len(each) == 1 else each for each in fields]


class AreaOfInterest(Record):
    """A named area of an organization: one WGS 84 polygon, longitude first."""

    name: str
    geometry: dict[str, Any]
    """A GeoJSON ``Polygon``."""
    description: str | None = None
    bbox_width: float | None = None
    """Width in metres, as measured by the API."""
    bbox_height: float | None = None
    """Height in metres, as measured by the API."""
    id: str | None = None
    created: UtcTime | None = None

    @model_validator(mode="before")
    @classmethod
    def _normalize_geometry(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        fields = dict(value)
        newer = fields.pop("geojson", None)
        if fields.get("geometry") is None and newer is not None:
            fields["geometry"] = newer
        fields["geometry"] = polygon_of(fields.get("geometry"))
        return fields

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """A GeoJSON Feature, for shapely and geopandas."""
        properties = self.to_dict()
        geometry = properties.pop("geometry")
        return {"type": "Feature", "id": self.id, "properties": properties, "geometry": geometry}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [
            (name, _summary(value) if name == "geometry" else value)
            for name, value in super().__repr_args__()
        ]


class GeometryInfo(Record):
    """The size of an area, as measured by the API."""

    bbox_width: float
    """Width of the bounding box, in metres."""
    bbox_height: float
    """Height of the bounding box, in metres."""
    area: float
    """Area of the polygon, in square metres."""


class Product(Record):
    """A product that the organization may order."""

    name: str


SERVER_FIELDS = ("id", "created", "state", "rejection_reason")
"""Fields that the server sets; they are never sent."""


def _summary(geometry: Mapping[str, Any]) -> str:
    """Return a polygon's type, bounds and size for a repr."""
    try:
        positions = [position for ring in geometry["coordinates"] for position in ring]
        east, north = [p[0] for p in positions], [p[1] for p in positions]
        box = ", ".join(f"{edge:.6g}" for edge in (min(east), min(north), max(east), max(north)))
    except (KeyError, TypeError, IndexError, ValueError):
        return str(geometry.get("type"))
    return f"{geometry.get('type')} in ({box}), {len(positions)} positions"
