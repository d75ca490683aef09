"""GeoJSON of areas: its form (else 422), and exactly one valid polygon (else 400)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import shapely
from pydantic import BaseModel, ConfigDict, Field
from shapely.geometry import shape
from shapely.validation import explain_validity
from starlette.exceptions import HTTPException

__all__ = ["AnyArea", "Feature", "Polygon", "polygon_of"]

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Position = Annotated[list[_Number], Field(min_length=2, max_length=3)]
_Rings = list[list[_Position]]


class _Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class Polygon(_Loose):
    """A polygon."""

    type: Literal["Polygon"]
    coordinates: _Rings


class MultiPolygon(_Loose):
    """Polygons; exactly one is allowed."""

    type: Literal["MultiPolygon"]
    coordinates: list[_Rings]


class Feature(_Loose):
    """A feature with a polygon."""

    type: Literal["Feature"]
    geometry: Annotated[Polygon | MultiPolygon, Field(discriminator="type")]


class FeatureCollection(_Loose):
    """Features; exactly one is allowed."""

    type: Literal["FeatureCollection"]
    features: list[Feature]


AnyArea = Annotated[
    Polygon | MultiPolygon | Feature | FeatureCollection, Field(discriminator="type")
]
"""Area in the newer API."""


def polygon_of(area: BaseModel) -> shapely.Polygon:
    """Return the polygon, else raise :class:`HTTPException` (400)."""
    geometry: Any = area
    if isinstance(geometry, FeatureCollection):
        _require(len(geometry.features) == 1, "the collection must have exactly one feature")
        geometry = geometry.features[0]
    if isinstance(geometry, Feature):
        geometry = geometry.geometry
    rings = geometry.coordinates
    if isinstance(geometry, MultiPolygon):
        _require(len(rings) == 1, "the multipolygon must have exactly one polygon")
        rings = rings[0]
    _require(bool(rings), "the polygon is empty")
    for ring in rings:
        _require(len(ring) > 3, "a ring must have four or more positions")  # noqa: PLR2004
        _require(ring[0] == ring[-1], "a ring must be closed")
        on_globe = all(abs(p[0]) <= 180 and abs(p[1]) <= 90 for p in ring)  # noqa: PLR2004
        _require(on_globe, "positions must be longitude and latitude in degrees")
    polygon = shape({"type": "Polygon", "coordinates": rings})
    _require(bool(polygon.is_valid), f"invalid polygon: {explain_validity(polygon)}")
    _require(polygon.area > 0, "the polygon has no area")
    return shapely.force_2d(polygon)


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise HTTPException(400, f"Invalid area of interest: {problem}")
