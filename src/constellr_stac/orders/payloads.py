"""Orders, areas of interest and products as immutable values.

Fields are named as in the API. Unknown fields are kept. Times are aware and in UTC. Both
spellings of ``single_image`` and both forms of an area (``geometry``, ``geojson``) are parsed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    field_serializer,
    model_validator,
)

__all__ = [
    "FINAL_STATES",
    "AreaOfInterest",
    "GeometryInfo",
    "Order",
    "Product",
    "Record",
    "Tag",
    "parse_time",
    "polygon_of",
]

FINAL_STATES = frozenset({"closed", "rejected"})
"""States that an order does not leave."""

_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?\s*")


def _reject_numbers(value: Any) -> Any:
    """Reject numbers such as ``start_date=2026``: pydantic reads them as seconds since 1970."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        msg = "expected a date or time such as 2026-09-27 or 2026-09-27T10:30:00Z"
        raise ValueError(msg)
    return value


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        msg = "the time in UTC is outside the years 1 to 9999"
        raise ValueError(msg) from error


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


UtcTime = Annotated[datetime, BeforeValidator(_reject_numbers), AfterValidator(_to_utc)]
Frequency = Annotated[
    str, BeforeValidator(lambda value: "single_image" if value == "single-image" else value)
]
AreaId = Annotated[str, BeforeValidator(_id_of)]

_UTC_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)


def parse_time(value: datetime | date | str) -> datetime:
    """Return a time as an order holds it: aware, in UTC.

    Raises:
        ValueError: It is not a time.

    Example:
        >>> parse_time("2026-09-01").isoformat()
        '2026-09-01T00:00:00+00:00'
    """
    return _UTC_TIME.validate_python(value)


class Record(BaseModel):
    """Base of the API's values: immutable, with unknown fields kept and a short repr."""

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="constants")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that were set as JSON-serializable values, including unknown fields.

        ``type(record).model_validate(record.to_dict())`` is an equal value.
        """
        return self.model_dump(mode="json", exclude_unset=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        given = {**self.__dict__, **(self.model_extra or {})}
        return [(name, _display(value)) for name, value in given.items() if not _is_empty(value)]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(str(name))}</th>"
            f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
            for name, value in self.__repr_args__()
        )
        return f"<table><caption>{html.escape(type(self).__name__)}</caption>{rows}</table>"


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
        return [tag.name if tag.id is None else tag.to_dict() for tag in tags]


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


def polygon_of(geojson: Any) -> Any:
    """Return the polygon of a Feature, a FeatureCollection of one, or a MultiPolygon of one.

    Anything else is returned unchanged.
    """
    if not isinstance(geojson, Mapping):
        return geojson
    match geojson:
        case {"type": "FeatureCollection", "features": [feature]}:
            return polygon_of(feature)
        case {"type": "Feature", "geometry": geometry}:
            return polygon_of(geometry)
        case {"type": "MultiPolygon", "coordinates": [rings]}:
            return {"type": "Polygon", "coordinates": rings}
        case _:
            return geojson


def _is_empty(value: Any) -> bool:
    return value is None or value in ((), [], {})


def _display(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [value.name if isinstance(value, Tag) else _display(value) for value in value]
    return value


def _summary(geometry: Mapping[str, Any]) -> str:
    """Return a polygon's type, bounds and size for a repr."""
    try:
        positions = [position for ring in geometry["coordinates"] for position in ring]
        east, north = [p[0] for p in positions], [p[1] for p in positions]
        box = ", ".join(f"{edge:.6g}" for edge in (min(east), min(north), max(east), max(north)))
    except (KeyError, TypeError, IndexError, ValueError):
        return str(geometry.get("type"))
    return f"{geometry.get('type')} in ({box}), {len(positions)} positions"
