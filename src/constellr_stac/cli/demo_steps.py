"""The steps of ``constellr demo``, from an order to a temperature time series.

The sandbox's tokens and signed URLs live for seconds, so renewal is part of the demo.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import shapely

from constellr_stac._refresh import utc_now
from constellr_stac.accessor import ConstellrAccessor
from constellr_stac.auth.credentials import Password
from constellr_stac.auth.requests_auth import ConstellrAuth
from constellr_stac.cube.load import load
from constellr_stac.delivery import follow
from constellr_stac.orders import Order, OrdersClient
from constellr_stac.plot import demo_figure
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Sandbox
from constellr_stac.signing.s3_url import signature_expiry
from constellr_stac.stac.client import open_client

from .output import replacing, write_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pandas as pd
    import pystac

    Stage = Callable[[str], AbstractContextManager[None]]

__all__ = ["TOLERANCE", "Report", "run_demo"]

TOLERANCE = 0.01
"""Largest accepted difference between a median and its scene's metadata, in kelvin."""

_TOKEN_LIFETIME = timedelta(seconds=3)
_URL_LIFETIME = timedelta(seconds=2)
_DELIVERY = timedelta(seconds=3)
_TODAY = date(2023, 6, 1)  # an order starts at least eight days later
_SUMMER = (datetime(2023, 6, 20, tzinfo=UTC), datetime(2023, 8, 31, tzinfo=UTC))
_PLACE = "Los Angeles harbour"
_AREA = shapely.box(-118.284, 33.746, -118.156, 33.853)
_LONGEST_DOCUMENT = 1 << 20


@dataclass(frozen=True)
class Report:
    """Results of the demo."""

    table: pd.DataFrame
    """:meth:`.ConstellrAccessor.table` plus ``expected``, the median in the metadata, in kelvin."""
    figure: Path
    store: Path
    tokens: int
    """Number of tokens fetched."""
    renewed: int
    """Number of scenes whose URLs were renewed."""

    @property
    def largest_difference(self) -> float:
        """Largest difference between a median and its scene's metadata, in kelvin."""
        return float((self.table["median"] - self.table["expected"]).abs().max())


def run_demo(folder: Path, stage: Stage) -> Report:
    """Order, search, load and draw the scenes of Los Angeles harbour in a sandbox.

    Args:
        folder: Where to write the figure and the cube; existing ones are replaced.
        stage: Shows a stage of this title while it runs.

    Raises:
        MissingExtraError: One of the extras ``sandbox``, ``plot`` and ``files`` is missing.
        OSError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(
        token_lifetime=_TOKEN_LIFETIME,
        url_lifetime=_URL_LIFETIME,
        presigned=True,
        delivery=_DELIVERY,
        today=_TODAY,
    )
    try:
        with stage("Start the sandbox: an API and an object store on this machine"):
            sandbox.start()
        return _run_demo(sandbox, folder, stage)
    finally:
        sandbox.stop()


def _run_demo(sandbox: Sandbox, folder: Path, stage: Stage) -> Report:
    credential = Password(sandbox.username, sandbox.password)
    auth = ConstellrAuth(credential, base_url=sandbox.api_url)
    with stage(f"Log in: the token lives {_TOKEN_LIFETIME.seconds} seconds"):
        auth.token()
    client = open_client(auth=auth)
    with OrdersClient(auth, today=lambda: _TODAY) as orders:
        with stage(f"Register the area of interest: {_PLACE}"):
            area = orders.create_aoi(_PLACE, _AREA)
        with stage("Order LSTprecision for the summer of 2023"):
            [order] = orders.create(
                Order(
                    area_of_interest_id=area,
                    product_name="LSTprecision",
                    frequency="max_frequency",
                    start_date=_SUMMER[0],
                    end_date=_SUMMER[1],
                )
            )
        with stage("Wait for the delivery"):
            delivered = list(follow(order, interval=0.2, client=client, orders=orders))
    with stage(f"Search: {len(delivered)} scenes delivered"):
        search = client.search(
            collections=["lstprecision"], intersects=area.geometry, datetime=list(_SUMMER)
        )
        items = search.item_collection()
    with stage("Build the cube (lazy, no pixels read)"):
        cube = load(items, ["lst", "cloud_mask"], auth=auth)
    with stage(f"Wait until the URLs expire, after {_URL_LIFETIME.seconds} seconds"):
        _wait_for_expiry(items)
    before = len(sandbox.requests)
    with stage("Read the pixels: expired URLs are renewed when a chunk is read"):
        cube = cube.compute()
    asked = [request for request in sandbox.requests[before:] if request.server == "api"]
    renewed = sum(
        any(item.id in request.path or item.id.encode() in request.body for request in asked)
        for item in items
    )
    with stage("Mask clouds and compute medians"):
        accessor = ConstellrAccessor(cube)
        clear, table = accessor.clear(), accessor.table()
        table["expected"] = _expected(items, AssetResolver(auth))
    figure, store = folder / "la-harbor.png", folder / "la-harbor.zarr"
    with stage("Draw the figure"), replacing(figure) as part:
        demo_figure(clear, table).savefig(part, dpi=150)
    with stage("Write the cube as Zarr"), replacing(store) as part:
        write_zarr(cube, part)
    tokens = sum(request.path == "/token" for request in sandbox.requests)
    return Report(table, figure, store, tokens, renewed)


def _wait_for_expiry(items: Iterable[pystac.Item]) -> None:
    """Wait until every signed URL in ``items`` has expired."""
    expiries = [signature_expiry(asset.href) for item in items for asset in item.assets.values()]
    last = max(expiry for expiry in expiries if expiry is not None)
    time.sleep(max(0.0, (last - utc_now()).total_seconds()))


def _expected(items: Iterable[pystac.Item], resolver: AssetResolver) -> list[float]:
    """Return the medians stated in the scenes' metadata, in time order."""
    transfer = Transfer(resolver, 1)
    documents: list[Any] = []
    for item in sorted(items, key=lambda item: str(item.datetime)):
        content, _ = transfer.get(asset_ref(item, "metadata"), 0, _LONGEST_DOCUMENT)
        documents.append(json.loads(content))
    return [float(document["expected"]["median_lst"]) for document in documents]
