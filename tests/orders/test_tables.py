"""Orders and areas as GeoDataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import geopandas as gpd
import pandas as pd
import shapely

from constellr_stac.orders import (
    AreaOfInterest,
    Order,
    aois_to_geodataframe,
    orders_to_geodataframe,
    polygon_from,
    same_area,
)
from constellr_stac.orders.geometry import geojson_of

if TYPE_CHECKING:
    from pathlib import Path

FIELD = AreaOfInterest.model_validate(
    {
        "name": "field",
        "geojson": geojson_of(polygon_from(shapely.box(8, 49, 8.1, 49.1))),
        "id": "a",
        "created": "2026-01-01",
        "soil": "loam",
    }
)
ORDER = Order(
    area_of_interest_id="a",
    product_name="LSTfusion",
    frequency="daily",
    start_date="2026-06-01",
    end_date="2026-08-31",
    tags=["x", "y"],
    id="1",
)


def test_aois_to_geodataframe() -> None:
    """One row per area, WGS 84, with unknown fields as columns."""
    table = aois_to_geodataframe([FIELD])
    assert table.crs.to_epsg() == 4326
    assert table.loc[0, ["name", "id", "soil"]].tolist() == ["field", "a", "loam"]
    assert table.created[0] == pd.Timestamp("2026-01-01", tz="UTC")
    assert same_area(table, FIELD.geometry)


def test_orders_to_geodataframe(tmp_path: Path) -> None:
    """One row per order; without its area it has no geometry; the table can be saved."""
    stray = ORDER.model_copy(update={"area_of_interest_id": "b", "id": "2"})
    table = orders_to_geodataframe([ORDER, stray], [FIELD])
    assert table.id.tolist() == ["1", "2"]
    assert table.area_of_interest_name.tolist() == ["field", None]
    assert same_area(table.geometry[0], FIELD.geometry)
    assert table.geometry[1] is None
    assert orders_to_geodataframe([ORDER]).geometry[0] is None
    assert table.tags.tolist() == ["x, y", "x, y"]
    assert table.start_date[0] == pd.Timestamp("2026-06-01", tz="UTC")
    table.to_file(tmp_path / "orders.gpkg")
    assert len(gpd.read_file(tmp_path / "orders.gpkg")) == 2
    wanting = Order(**{**ORDER.payload(), "product_options": {"sharpened_10m": True}})
    orders_to_geodataframe([ORDER, wanting], [FIELD]).to_file(tmp_path / "wishes.gpkg")
    assert "sharpened_10m" in gpd.read_file(tmp_path / "wishes.gpkg").product_options[1]


def test_empty_tables() -> None:
    """Empty tables have columns and a CRS."""
    for table in (aois_to_geodataframe([]), orders_to_geodataframe([], [])):
        assert len(table) == 0
        assert table.crs.to_epsg() == 4326
        assert "id" in table.columns
        assert isinstance(table.created.dtype, pd.DatetimeTZDtype)
