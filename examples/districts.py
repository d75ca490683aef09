"""Statistics of areas as a table: mean, 90th percentile and clear share of each area and scene.

``constellr sandbox -- python examples/districts.py`` runs it without an account, with four areas;
``python examples/districts.py areas.gpkg districts.csv --datetime 2026-07`` with a file of yours.
"""

import argparse

import geopandas as gpd
from shapely.geometry import box

import constellr_stac

STATISTICS = ["mean", "p90", "count", "clear_fraction"]


def four_quarters() -> gpd.GeoDataFrame:
    """Return four areas of Los Angeles harbour."""
    corners = [(-118.26, 33.76), (-118.22, 33.76), (-118.26, 33.80), (-118.22, 33.80)]
    names = ["south-west", "south-east", "north-west", "north-east"]
    shapes = [box(x, y, x + 0.04, y + 0.04) for x, y in corners]
    return gpd.GeoDataFrame({"name": names}, geometry=shapes, crs="EPSG:4326")


def main() -> None:
    """Search, load, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="?", help="a vector file; default: four areas")
    parser.add_argument("output", nargs="?", default="districts.csv")
    parser.add_argument("--datetime", default="2023-07")
    given = parser.parse_args()
    areas = gpd.read_file(given.areas) if given.areas else four_quarters()

    search = constellr_stac.open_client().search(
        collections=["lstprecision"],
        bbox=areas.to_crs(4326).total_bounds.tolist(),
        datetime=given.datetime,
    )
    cube = constellr_stac.load(search, bands=["lst"], mask="clear", units="degC")
    statistics = cube.constellr.zonal(areas, statistics=STATISTICS, min_clear=0.5)
    table = statistics.constellr.to_geodataframe().drop(columns="geometry")
    table.dropna().to_csv(given.output, index=False, float_format="%.2f")
    print(f"{len(table)} rows, {table.lst_mean.count()} of them clear: {given.output}")


if __name__ == "__main__":
    main()
