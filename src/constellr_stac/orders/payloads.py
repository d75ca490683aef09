"""What goes to the API and comes back: orders, areas of interest, products, as values.

The fields bear the API's own names. A field that the API adds tomorrow is kept; times are aware
and in UTC; both spellings of ``single_image`` and both forms of an area (``geometry`` and
``geojson``) parse to the same value. Nothing here talks to the API or judges an order: the rules
are in :mod:`.rules`, the geometry's checks in :mod:`.geometry`.
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
    "polygon_of",
    "utc_of",
]

FINAL_STATES = frozenset({"closed", "rejected"})
"""The states that an order does not leave."""

_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?\s*")


def _dated(value: Any) -> Any:
    """Refuse what pydantic would take for seconds since 1970: ``start_date=2026``, say."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        msg = "a date or a time is needed, such as 2026-09-27 or 2026-09-27T10:30:00Z"
        raise ValueError(msg)
    return value


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        msg = "the time in UTC is outside the years 1 to 9999"
        raise ValueError(msg) from error


def _spelled(value: Any) -> Any:
    return "single_image" if value == "single-image" else value


def _id_of(value: Any) -> Any:
    """Take an area for its id."""
    if isinstance(value, AreaOfInterest):
        return value.id
    return str(value) if isinstance(value, UUID) else value


def _as_tags(value: Any) -> Any:
    if isinstance(value, str):
        msg = "a list of tags is needed, not one string"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueErrors
    return () if value is None else value


UtcTime = Annotated[datetime, BeforeValidator(_dated), AfterValidator(_in_utc)]
Frequency = Annotated[str, BeforeValidator(_spelled)]
AreaId = Annotated[str, BeforeValidator(_id_of)]

_UTC_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)


def utc_of(value: datetime | date | str) -> datetime:
    """Return a time as an order would hold it: aware, in UTC.

    Raises:
        ValueError: It is none.

    Example:
        >>> utc_of("2026-09-01").isoformat()
        '2026-09-01T00:00:00+00:00'
    """
    return _UTC_TIME.validate_python(value)


class Record(BaseModel):
    """What all values of the API have in common: immutable, unknown fields kept, readable."""

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="constants")

    def to_dict(self) -> dict[str, Any]:
        """Return what was given or received as JSON-able values, unknown fields included.

        ``type(record).model_validate(record.to_dict())`` gives an equal value.
        """
        return self.model_dump(mode="json", exclude_unset=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        given = {**self.__dict__, **(self.model_extra or {})}
        return [(name, _shown(value)) for name, value in given.items() if not _is_empty(value)]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(str(name))}</th>"
            f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
            for name, value in self.__repr_args__()
        )
        return f"<table><caption>{html.escape(type(self).__name__)}</caption>{rows}</table>"


class Tag(Record):
    """A label of an order. A plain string will do where one is asked for."""

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
    """An order: what is asked for and, once it is placed, what became of it.

    Times without a zone are UTC; a plain date is its first moment in UTC.

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
    """The id of the area; an :class:`AreaOfInterest` will do."""
    start_date: UtcTime
    """The first moment of interest, UTC."""
    end_date: UtcTime
    """The last moment of interest, UTC."""
    frequency: Frequency
    """How often: ``single_image``, ``max_frequency``, ``once_every_two_weeks``, ``monthly``,
    ``daily``, or what else the product offers."""
    product_name: str
    """The product, as :meth:`OrdersClient.products` names it."""
    comment: str | None = None
    tags: Annotated[tuple[Tag, ...], BeforeValidator(_as_tags)] = ()
    illumination_constraint: str | None = None
    """``day``, ``night``, or ``None`` for either."""
    maximum_number_of_images: int | None = Field(default=None, strict=True)
    product_options: dict[str, Any] | None = None
    """Such as ``{"sharpened_10m": True}``."""

    id: str | None = None
    """Given by the server; ``None`` as long as the order is not placed."""
    created: UtcTime | None = None
    """When it was placed, UTC, by the server's clock."""
    state: str | None = None
    """``pending_validation``, ``in_progress``, ``closing``, ``closed`` or ``rejected``."""
    rejection_reason: str | None = None

    if TYPE_CHECKING:
        # What may be given is wider than what is held.
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
        """The tags as plain strings."""
        return tuple(tag.name for tag in self.tags)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it: it is closed or rejected."""
        return self.state in FINAL_STATES

    def payload(self) -> dict[str, Any]:
        """Return what is sent to place this order: the given fields, without the server's.

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
        """Return this order as one that is not placed yet, to place the like of it again.

        Args:
            changes: Fields that are to differ, such as ``start_date`` and ``end_date``.
        """
        return type(self).model_validate({**self.payload(), **changes})

    @field_serializer("tags")
    def _tags_out(self, tags: tuple[Tag, ...]) -> list[Any]:
        return [tag.name if tag.id is None else tag.to_dict() for tag in tags]


class AreaOfInterest(Record):
    """A named area of an organization: one polygon, WGS 84, longitude first."""

    name: str
    geometry: dict[str, Any]
    """A GeoJSON ``Polygon``."""
    description: str | None = None
    bbox_width: float | None = None
    """Metres from west to east, as the API measures it."""
    bbox_height: float | None = None
    """Metres from south to north, as the API measures it."""
    id: str | None = None
    created: UtcTime | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, value: Any) -> Any:
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
        """A GeoJSON Feature, for shapely, geopandas and everything else that maps."""
        properties = self.to_dict()
        geometry = properties.pop("geometry")
        return {"type": "Feature", "id": self.id, "properties": properties, "geometry": geometry}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [
            (name, _outline(value) if name == "geometry" else value)
            for name, value in super().__repr_args__()
        ]


class GeometryInfo(Record):
    """The size of an area, as the API measures it."""

    bbox_width: float
    """Metres from west to east of the bounding box."""
    bbox_height: float
    """Metres from south to north of the bounding box."""
    area: float
    """Square metres of the polygon."""


class Product(Record):
    """A product that the organization may order."""

    name: str


SERVER_FIELDS = ("id", "created", "state", "rejection_reason")
"""The fields of an order that the server gives, and nobody sends."""


def polygon_of(geojson: Any) -> Any:
    """Return the polygon of a Feature, a FeatureCollection of one, or a MultiPolygon of one.

    Anything else is returned as it is.
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


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [value.name if isinstance(value, Tag) else _shown(value) for value in value]
    return value


def _outline(geometry: Mapping[str, Any]) -> str:
    """Say what a polygon is in a few words: a repr with a thousand positions helps nobody."""
    try:
        positions = [position for ring in geometry["coordinates"] for position in ring]
        east, north = [p[0] for p in positions], [p[1] for p in positions]
        box = ", ".join(f"{edge:.6g}" for edge in (min(east), min(north), max(east), max(north)))
    except (KeyError, TypeError, IndexError, ValueError):
        return str(geometry.get("type"))
    return f"{geometry.get('type')} in ({box}), {len(positions)} positions"
