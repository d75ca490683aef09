"""A time series of surface temperatures: search, load, mask clouds, print one row per scene.

``constellr sandbox -- python examples/time_series.py`` runs it without an account.
"""

import constellr_stac


def main() -> None:
    """Search, load, mask and print."""
    client = constellr_stac.open_client()
    items = client.search(
        collections=["lstprecision"],
        bbox=[-118.29, 33.74, -118.15, 33.86],
        datetime="2023-06/2023-08",
    ).item_collection()

    cube = constellr_stac.load(items, bands=["lst", "cloud_mask"])
    print(constellr_stac.explain(cube))
    print()

    table = cube.constellr.table()
    table["clear_celsius"] = table.clear_median - 273.15
    columns = ["solar_hour", "daytime", "median", "clear_celsius", "cloud_share"]
    print(table[columns].to_string(float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
