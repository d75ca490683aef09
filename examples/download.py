"""Download scenes, verify every block, and open the folder without a network.

``constellr sandbox -- python examples/download.py`` runs it without an account. A second run
fetches nothing.
"""

import pystac

import constellr_stac


def main() -> None:
    """Download, and compute without a network."""
    client = constellr_stac.open_client()
    search = client.search(collections=["lstprecision"], datetime="2023-07")
    downloaded = constellr_stac.download(
        search, "scenes", assets=["lst", "scl_mask_30m"], verify="structure"
    )
    print(downloaded)

    # No requests from here on: hrefs are relative, and the folder may be moved or zipped.
    catalog = pystac.Catalog.from_file(downloaded.catalog)
    cube = constellr_stac.load(catalog.get_items(recursive=True), ["lst"], mask="clear")
    medians = cube.lst.median(["y", "x"]).to_series().dropna()
    print(medians.to_string(float_format="{:.2f} K".format))


if __name__ == "__main__":
    main()
