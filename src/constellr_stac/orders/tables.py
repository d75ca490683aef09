"""Orders and areas of interest as GeoDataFrames (extra ``geo``)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from constellr_stac._text import shown
from constellr_stac.errors import MissingExtraError, SkippedContentWarning

from .payloads import AreaOfInterest, Order

if TYPE_CHECKING:
    from collections.abc import Iterable

    import geopandas as gpd

__all__ = ["aois_to_geodataframe", "orders_to_geodataframe"]


def aois_to_geodataframe(areas: Iterable[AreaOfInterest]) -> gpd.GeoDataFrame:
    """Return areas of interest as a GeoDataFrame in EPSG:4326, one row per area.

    Args:
        areas: For example ``client.list_aois()``.

    Raises:
        MissingExtraError: The extra ``geo`` is not installed.
    """
    areas = list(areas)
    columns = [name for name in AreaOfInterest.model_fields if name != "geometry"]
    rows = [_row(area, columns) for area in areas]
    return _frame("aois_to_geodataframe", rows, [area.geometry for area in areas], columns)


def orders_to_geodataframe(
    orders: Iterable[Order], areas: Iterable[AreaOfInterest] = ()
) -> gpd.GeoDataFrame:
    """Return orders as a GeoDataFrame in EPSG:4326, one row per order, with its area's geometry.

    Tags are one column, separated by commas.

    Args:
        orders: For example ``client.list()``.
        areas: For example ``client.list_aois()``; an order without its area has no geometry.

    Raises:
        MissingExtraError: The extra ``geo`` is not installed.
    """
    orders = list(orders)
    known = {area.id: area for area in areas}
    columns = [*Order.model_fields, "area_of_interest_name"]
    rows, geometries = [], []
    for order in orders:
        area = known.get(order.area_of_interest_id)
        row = _row(order, columns)
        row["tags"] = ", ".join(order.tag_names)
        row["area_of_interest_name"] = None if area is None else area.name
        rows.append(row)
        geometries.append(None if area is None else area.geometry)
    return _frame("orders_to_geodataframe", rows, geometries, columns)


def _row(record: AreaOfInterest | Order, columns: list[str]) -> dict[str, Any]:
    return {name: getattr(record, name, None) for name in columns} | (record.model_extra or {})


def _frame(what: str, rows: list[dict[str, Any]], geometries: list[Any], columns: list[str]) -> Any:
    try:
        import geopandas as gpd
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError(what, "geo") from error
    import shapely.geometry

    def shape_of(geometry: Any) -> Any:
        try:
            return None if geometry is None else shapely.geometry.shape(geometry)
        except Exception as error:  # noqa: BLE001 - whatever shapely trips over
            warnings.warn(
                f"An area's geometry is left out, since it is not GeoJSON: {shown(str(error))}",
                SkippedContentWarning,
                stacklevel=4,
            )
            return None

    shapes = [shape_of(each) for each in geometries]
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    table = pd.DataFrame(rows, columns=names)
    for name in ("start_date", "end_date", "created"):
        if name in table:
            table[name] = pd.to_datetime(table[name], utc=True)
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(shapes, crs="EPSG:4326"))
