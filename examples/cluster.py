"""A dask cluster whose workers have no credentials of their own.

``constellr sandbox -- python examples/cluster.py`` runs it without an account.
"""

from distributed import Client, LocalCluster

import constellr_stac


def main() -> None:
    """Share credentials with the workers, check that each can read, and compute."""
    search = constellr_stac.open_client().search(collections=["lstprecision"])
    items = search.item_collection()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        constellr_stac.share_credentials(client),
    ):
        print(constellr_stac.check_workers(client, items))
        cube = constellr_stac.load(items, bands=["lst"], chunks={"time": 1})
        hottest = cube.lst.max(["y", "x"]).compute()
        print(f"The hottest pixel of the summer has {float(hottest.max()) - 273.15:.1f} degrees C.")


if __name__ == "__main__":
    main()
