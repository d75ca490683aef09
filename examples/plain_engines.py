"""Call odc-stac and stackstac directly, with OdcDriver and StackstacReader: equal pixels.

``constellr sandbox -- python examples/plain_engines.py`` runs it without an account.
"""

import numpy as np
import odc.stac
import stackstac

import constellr_stac


def main() -> None:
    """Load with both engines, and print both medians."""
    client = constellr_stac.open_client()
    items = client.search(collections=["lstprecision"], datetime="2023-07").item_collection()

    harbour = (-118.26, 33.76, -118.18, 33.84)
    cube = odc.stac.load(
        items,
        ["lst"],
        crs="EPSG:32611",
        resolution=30,
        bbox=harbour,
        chunks={},
        driver="constellr_stac.OdcDriver",
    )
    stack = stackstac.stack(
        items,
        ["lst"],
        epsg=32611,
        resolution=30,
        bounds_latlon=harbour,
        reader=constellr_stac.StackstacReader,
    )

    odc_medians = cube.lst.compute().median(["y", "x"])
    stackstac_medians = stack.sel(band="lst").compute().median(["y", "x"])
    for step in range(cube.sizes["time"]):
        time = np.datetime_as_string(cube.time[step].values, unit="m")
        print(f"{time} UTC  {odc_medians[step]:.2f} K  {stackstac_medians[step]:.2f} K")


if __name__ == "__main__":
    main()
