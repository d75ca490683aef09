"""Areas: accepted forms, refused forms, measured sizes."""

from __future__ import annotations

import math
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely.affinity import rotate
from shapely.geometry import mapping

from constellr_stac.errors import ConstellrError
from constellr_stac.orders import InvalidAreaError, measure, polygon_from, same_area
from constellr_stac.orders.geometry import geojson_of

SQUARE = shapely.box(8.6, 49.8, 8.7, 49.9)
RING = [[8.6, 49.8], [8.7, 49.8], [8.7, 49.9], [8.6, 49.9], [8.6, 49.8]]
GEOJSON = {"type": "Polygon", "coordinates": [RING]}
CONTRACT_EXAMPLE = {
    "type": "Feature",
    "geometry": {
        "type": "Polygon",
        "coordinates": [
            [
                [11.053963, 51.690862],
                [11.976814, 51.690862],
                [11.976814, 51.059955],
                [10.944099, 51.073763],
                [11.053963, 51.690862],
            ]
        ],
    },
}


class Shape:
    """An object with ``__geo_interface__``."""

    __geo_interface__ = GEOJSON


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """Return a rectangle as GeoJSON."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


FORMS: dict[str, Any] = {
    "polygon": GEOJSON,
    "feature": {"type": "Feature", "properties": None, "geometry": GEOJSON},
    "collection": {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {}, "geometry": GEOJSON}],
    },
    "multipolygon": {"type": "MultiPolygon", "coordinates": [[RING]]},
    "geo interface": Shape(),
    "shapely": SQUARE,
    "shapely multipolygon": shapely.MultiPolygon([SQUARE]),
    "with heights": shapely.Polygon([(x, y, 120.0) for x, y in RING]),
    "clockwise": shapely.Polygon(RING[::-1]),
    "an array": {"type": "Polygon", "coordinates": np.array([RING])},
    "geoseries": gpd.GeoSeries([SQUARE], crs="EPSG:4326"),
    "geodataframe": gpd.GeoDataFrame({"name": ["x"]}, geometry=[SQUARE], crs="OGC:CRS84"),
    "geoseries in metres": gpd.GeoSeries([SQUARE], crs="EPSG:4326").to_crs("EPSG:32632"),
    "geodataframe in feet": gpd.GeoDataFrame(geometry=[SQUARE], crs="EPSG:4326").to_crs(
        "EPSG:2263"
    ),
    "crs84 named": GEOJSON
    | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
    "crs named": mapping(
        gpd.GeoSeries([SQUARE], crs="EPSG:4326").to_crs("EPSG:32632").geometry.iloc[0]
    )
    | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_polygon(form: str) -> None:
    """GeoJSON, geo interfaces, shapely and geopandas in any CRS give the same polygon."""
    polygon = polygon_from(FORMS[form])
    assert same_area(polygon, SQUARE)
    assert not polygon.has_z
    assert polygon.exterior.is_ccw


REFUSED: dict[str, tuple[Any, str]] = {
    "not closed": ({"type": "Polygon", "coordinates": [RING[:-1]]}, "not closed"),
    "too short": ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, "3 positions"),
    "swapped": (box(33.7, -118.3, 33.8, -118.2), "look swapped"),
    "metres": (box(500_000, 5_000_000, 501_000, 5_001_000), "reproject"),
    "west of the world": (box(-181, 0, -179, 1), r"outside \[-180, 180\].*antimeridian"),
    "beyond the pole": (box(0, 89, 1, 90.5), r"outside \[-90, 90\]"),
    "antimeridian": (box(-179.5, 0, 179.5, 1), "antimeridian"),
    "bow tie": (
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]},
        r"Self-intersection\[0.5 0.5\]",
    ),
    "hole outside": (
        {"type": "Polygon", "coordinates": [RING, box(0, 0, 1, 1)["coordinates"][0]]},
        "[Hh]ole",
    ),
    "hole open": ({"type": "Polygon", "coordinates": [RING, RING[:-1]]}, "Hole 1 is not closed"),
    "line": ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "not valid"),
    "empty polygon": ({"type": "Polygon", "coordinates": []}, "empty"),
    "empty ring": ({"type": "Polygon", "coordinates": [[]]}, "empty"),
    "empty shapely": (shapely.Polygon(), "empty"),
    "no coordinates": ({"type": "Polygon"}, "empty"),
    "nan": (
        {"type": "Polygon", "coordinates": [[[0, 0], [1, math.nan], [1, 1], [0, 0]]]},
        "finite",
    ),
    "no rings": ({"type": "Polygon", "coordinates": [8.6, 49.8]}, "not a list of rings"),
    "words": ({"type": "Polygon", "coordinates": [["a", "b", "c", "a"]]}, "numbers"),
    "point": (shapely.Point(0, 0), "Point is not an area"),
    "two polygons": (shapely.MultiPolygon([SQUARE, shapely.box(0, 0, 1, 1)]), "2 polygons"),
    "no polygons": (shapely.MultiPolygon([]), "0 polygons"),
    "two features": (gpd.GeoDataFrame(geometry=[SQUARE, SQUARE], crs=4326), "2 rows"),
    "two in geojson": ({"type": "FeatureCollection", "features": [{}, {}]}, "2 features"),
    "no geometry": ({"type": "Feature", "geometry": None}, "no geometry"),
    "missing row": (gpd.GeoSeries([None], crs=4326), "NoneType is not an area"),
    "no crs": (gpd.GeoSeries([SQUARE]), "no CRS"),
    "unknown crs": (GEOJSON | {"crs": {"properties": {"name": "EPSG:1"}}}, "unknown: EPSG:1"),
    "no geojson": ({"coordinates": [RING]}, "not GeoJSON"),
    "a number": (42, "int is not an area"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_area_is_refused_with_a_reason(case: str) -> None:
    """Every invalid geometry is an InvalidAreaError with its reason."""
    area, reason = REFUSED[case]
    with pytest.raises(InvalidAreaError, match=reason) as refused:
        polygon_from(area)
    assert isinstance(refused.value, ConstellrError)
    assert isinstance(refused.value, ValueError)


def test_contract_example_is_reproduced() -> None:
    """The documented 74218.0 m x 72561.2 m and 4728768008.0 m2, to 0.1."""
    size = measure(CONTRACT_EXAMPLE)
    assert size.bbox_width == pytest.approx(74218.0, abs=0.1)
    assert size.bbox_height == pytest.approx(72561.2, abs=0.1)
    assert size.area == pytest.approx(4728768008.0, abs=0.1)


@pytest.mark.parametrize(
    ("longitude", "latitude", "zone"),
    [(8.6, 49.8, 32632), (-118.2, 33.8, 32611), (18.4, -33.9, 32734), (179.99, 1.0, 32660)],
)
def test_area_is_measured_in_its_utm_zone(longitude: float, latitude: float, zone: int) -> None:
    """1 km x 1 km drawn in a UTM zone measures slightly more than 1 km x 1 km."""
    x, y = (
        gpd.GeoSeries([shapely.Point(longitude, latitude)], crs=4326).to_crs(zone).iloc[0].coords[0]
    )
    drawn = gpd.GeoSeries([shapely.box(x - 500, y - 500, x + 500, y + 500)], crs=zone)
    size = measure(drawn)
    assert size.area == pytest.approx(1_000_000, rel=1e-6)
    # The bounding box is in longitude and latitude, slightly rotated against the grid.
    assert 1000 <= size.bbox_width + 1e-3 < 1060
    assert 1000 <= size.bbox_height + 1e-3 < 1060


def test_area_beyond_its_utm_zone_is_infinite() -> None:
    """Where the projection is undefined, an area is too large rather than of unknown size."""
    size = measure(box(-90, 0, 90, 90))
    assert size.bbox_width > 1e6
    assert not math.isnan(size.area)


polygons = st.builds(
    lambda x, y, points, turn: rotate(
        shapely.Polygon(
            [
                (
                    x + r * math.cos(2 * math.pi * n / len(points)),
                    y + r * math.sin(2 * math.pi * n / len(points)),
                )
                for n, r in enumerate(points)
            ]
        ),
        turn,
    ),
    st.floats(-170, 170),
    st.floats(-75, 75),
    st.lists(st.floats(0.001, 0.5), min_size=3, max_size=12),
    st.floats(0, 360),
)


@given(polygon=polygons, start=st.integers(0, 11), backwards=st.booleans())
def test_same_area_ignores_ring_start_and_direction(
    polygon: shapely.Polygon, start: int, *, backwards: bool
) -> None:
    """A ring from another start or in the other direction is the same area."""
    assume(polygon.is_valid and polygon.area > 1e-9)
    ring = list(polygon.exterior.coords)[:-1]
    start %= len(ring)
    turned = ring[start:] + ring[:start]
    turned = turned[::-1] if backwards else turned
    other = {"type": "Polygon", "coordinates": [[*turned, turned[0]]]}
    assert same_area(polygon, other)
    assert same_area(other, geojson_of(polygon_from(polygon)))


@given(polygon=polygons, shift=st.floats(1e-4, 1.0))
def test_same_area_rejects_shifted_polygon(polygon: shapely.Polygon, shift: float) -> None:
    """A polygon some metres away is another area."""
    assume(polygon.is_valid and polygon.area > 1e-6)
    moved = shapely.transform(polygon, lambda xy: xy + np.array([shift, 0.0]))
    assert not same_area(polygon, moved)


def test_same_area_compares_edges() -> None:
    """Equal corners with other edges are another area."""
    corners = [(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)]
    other = [corners[n] for n in (0, 3, 1, 2, 4)]
    one, two = shapely.Polygon(corners), shapely.Polygon(other)
    assert one.is_valid
    assert two.is_valid
    assert not same_area(one, two)
    assert not same_area(one, "nothing")


@given(polygon=polygons)
def test_winding_follows_rfc_7946(polygon: shapely.Polygon) -> None:
    """The outer ring is counter-clockwise, holes are clockwise, rings are closed."""
    assume(polygon.is_valid and polygon.area > 1e-6)
    holed = polygon.difference(polygon.representative_point().buffer(1e-5))
    assume(isinstance(holed, shapely.Polygon) and len(holed.interiors) == 1)
    sent = geojson_of(polygon_from(holed))
    outer, hole = (shapely.LinearRing(ring) for ring in sent["coordinates"])
    assert outer.is_ccw
    assert not hole.is_ccw
    assert all(ring[0] == ring[-1] for ring in sent["coordinates"])
