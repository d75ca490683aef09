"""What ``constellr demo`` does: the whole way, from an order to a temperature time series.

Everything that a user does with the real API is done here with the sandbox's, whose tokens and
signed URLs live for seconds. How it looks in a terminal is :mod:`.demo`'s business.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

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
from constellr_stac.signing.signer import signature_expiry
from constellr_stac.stac.client import open_client

from .output import replacing, write_zarr

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pandas as pd
    import pystac

__all__ = ["TOLERANCE", "Report", "Stage", "play"]

TOLERANCE = 0.01
"""Kelvin by which a median may differ from what its scene's metadata say."""

_TOKEN_LIFETIME = timedelta(seconds=3)
_URL_LIFETIME = timedelta(seconds=2)
_DELIVERY = timedelta(seconds=3)
_TODAY = date(2023, 6, 1)  # an order begins eight days later at the earliest
_SUMMER = (datetime(2023, 6, 20, tzinfo=UTC), datetime(2023, 8, 31, tzinfo=UTC))
_PLACE = "Los Angeles harbour"
_POLYGON = {
    "type": "Polygon",
    "coordinates": [
        [
            [-118.284, 33.746],
            [-118.156, 33.746],
            [-118.156, 33.853],
            [-118.284, 33.853],
            [-118.284, 33.746],
        ]
    ],
}
_LONGEST_DOCUMENT = 1 << 20


class Stage(Protocol):
    """Shows that a stage goes on, for as long as the context is open."""

    def __call__(self, title: str, /) -> AbstractContextManager[None]:
        """Open a stage of this title."""


@dataclass(frozen=True)
class Report:
    """What came out."""

    table: pd.DataFrame
    """A row for each scene, as :meth:`.ConstellrAccessor.table` has it, and ``expected``: the
    median that the scene's metadata state, in kelvin."""
    figure: Path
    store: Path
    tokens: int
    """How many tokens were needed."""
    renewed: int
    """How many scenes' URLs had ended when they were read."""

    @property
    def largest_difference(self) -> float:
        """Kelvin between a median and what its scene's metadata state, at most."""
        return float((self.table["median"] - self.table["expected"]).abs().max())


def play(folder: Path, stage: Stage) -> Report:
    """Order, search, load and draw the scenes of Los Angeles harbour, in a sandbox.

    Args:
        folder: Where figure and cube are written, in place of those of an earlier run.
        stage: Shows how far it has come.

    Raises:
        MissingExtraError: One of the extras ``sandbox``, ``plot`` and ``files`` is missing.
        OSError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as decoded:
        with stage("Start the sandbox: an API and an object store on this machine"):
            sandbox = Sandbox(
                token_lifetime=_TOKEN_LIFETIME,
                url_lifetime=_URL_LIFETIME,
                presigned=True,
                delivery=_DELIVERY,
                today=_TODAY,
            )
            decoded.enter_context(sandbox)
        return _played(sandbox, folder, stage)


def _played(sandbox: Sandbox, folder: Path, stage: Stage) -> Report:
    credential = Password(sandbox.username, sandbox.password)
    auth = ConstellrAuth(credential, base_url=sandbox.api_url)
    with stage(f"Log in: a token that lasts {_TOKEN_LIFETIME.seconds} seconds"):
        auth.token()
    client = open_client(auth=auth)
    with OrdersClient(auth, today=lambda: _TODAY) as orders:
        with stage(f"Register the area of interest: {_PLACE}"):
            area = orders.create_aoi(_PLACE, _POLYGON)
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
        with stage("Wait until the order is delivered"):
            delivered = list(follow(order, interval=0.2, client=client, orders=orders))
    with stage(f"Search: {len(delivered)} scenes were delivered"):
        search = client.search(
            collections=["lstprecision"], intersects=area.geometry, datetime=list(_SUMMER)
        )
        items = search.item_collection()
    with stage("Build the cube: lazy, nothing is read yet"):
        cube = load(items, ["lst", "cloud_mask"], auth=auth)
    with stage(f"Let the URLs end: they last {_URL_LIFETIME.seconds} seconds"):
        _outlive(items)
    before = len(sandbox.requests)
    with stage("Read the pixels all the same: URLs are signed when they are needed"):
        cube = cube.compute()
    renewed = sum("/items/" in request.path for request in sandbox.requests[before:])
    with stage("Mask the clouds, and take the medians"):
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


def _outlive(items: Iterable[pystac.Item]) -> None:
    """Wait until every signed URL in ``items`` has ended."""
    ends = [signature_expiry(asset.href) for item in items for asset in item.assets.values()]
    last = max(end for end in ends if end is not None)
    time.sleep(max(0.0, (last - utc_now()).total_seconds()))


def _expected(items: Iterable[pystac.Item], resolver: AssetResolver) -> list[float]:
    """Return the medians that the scenes' metadata state, in the order of time."""
    transfer = Transfer(resolver, 1)
    documents: list[Any] = []
    for item in sorted(items, key=lambda item: str(item.datetime)):
        content, _ = transfer.get(asset_ref(item, "metadata"), 0, _LONGEST_DOCUMENT)
        documents.append(json.loads(content))
    return [float(document["expected"]["median_lst"]) for document in documents]
