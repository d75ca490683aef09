"""Pick the clear daytime scenes of an area, list them, and save the hottest one as a GeoTIFF.

``constellr sandbox -- python examples/pick_scenes.py`` runs it without an account.
"""

import argparse

import constellr_stac

HARBOUR = "POLYGON ((-118.26 33.74, -118.18 33.74, -118.18 33.80, -118.26 33.80, -118.26 33.74))"


def main() -> None:
    """Search, pick by the cloud masks over the area, load, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--area", default=HARBOUR, help="WKT or a vector file; default: a harbour")
    parser.add_argument("--datetime", default="2023-06/2023-08")
    parser.add_argument("--min-clear", type=float, default=0.9, help="a share of the area")
    parser.add_argument("--output", default="hottest.tif")
    given = parser.parse_args()

    search = constellr_stac.open_client().search(
        collections=["lstprecision"], intersects=given.area, datetime=given.datetime
    )
    table = constellr_stac.scenes(search, area=given.area)
    picked = table[table.daytime & (table.clear_share >= given.min_clear)]
    print(picked[["time", "solar_hour", "clear_share"]].round(2).to_string(index=False))
    if picked.empty:
        return

    cube = constellr_stac.load(
        picked, bands=["lst"], mask="clear", units="degC", geopolygon=given.area
    )
    medians = cube.constellr.table()["median"]
    hottest = cube.sel(time=[medians.idxmax()])
    [path, *_] = hottest[["lst"]].constellr.to_geotiff(given.output, scale=0.01)
    print(f"{len(picked)} of {len(table)} scenes; {medians.max():.1f} degrees C: {path}")


if __name__ == "__main__":
    main()
