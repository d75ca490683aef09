"""Median maps of clear days, one for each month, as cloud-optimized GeoTIFFs.

``constellr sandbox -- python examples/composite.py`` runs it without an account.
"""

import argparse

import constellr_stac


def main() -> None:
    """Search, load, compose and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bbox", default="-118.29,33.74,-118.15,33.86")
    parser.add_argument("--datetime", default="2023-06/2023-08")
    parser.add_argument("--folder", default="composites")
    given = parser.parse_args()

    search = constellr_stac.open_client().search(
        collections=["lstprecision"],
        bbox=[float(edge) for edge in given.bbox.split(",")],
        datetime=given.datetime,
    )
    cube = constellr_stac.load(search, bands=["lst"], mask="clear")
    monthly = cube.constellr.composite("month", daytime=True, min_clear=0.3)
    for path in monthly.constellr.to_geotiff(given.folder, scale=0.01):
        print(path)


if __name__ == "__main__":
    main()
