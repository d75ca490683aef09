"""An outage in the middle of any operation is waited for; 5 and 30 s with ``SOAK_SECONDS``."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import xarray as xr

import constellr_stac
from constellr_stac import ConstellrAuth, Password, Signer
from constellr_stac.orders import OrdersClient
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.reading.resolver import AssetResolver
from ordering import FIELD, client_of, new_name, open_sandbox, wish
from weak_network import WeakLine

if TYPE_CHECKING:
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox

LONG = float(os.environ.get("SOAK_SECONDS", "0")) >= 60
OUTAGES = [1, 2, 5, 30] if LONG else [1, 2]


class User:
    """Operations of a user with lines of their own, which can have an outage."""

    def __init__(self, sandbox: Sandbox, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.api = stack.enter_context(WeakLine(sandbox.api_url))
        self.store = stack.enter_context(WeakLine(sandbox.s3_url))
        password = Password(sandbox.username, sandbox.password)
        self.auth = ConstellrAuth(password, base_url=self.api.url)
        self.signer = Signer(credentials=sandbox.aws, endpoint=self.store.url)
        self.client = constellr_stac.open_client(auth=self.auth)
        self.items = self.client.search(collections=["lstprecision"]).item_collection()

    def search(self) -> Any:
        """Return the ids of all scenes, over several pages."""
        found = self.client.search(collections=["lstprecision"], limit=4)
        return [item.id for item in found.items()]

    def odc(self) -> Any:
        """Return a cube's values."""
        return self._load("odc")

    def stackstac(self) -> Any:
        """Return a cube's values."""
        return self._load("stackstac")

    def _load(self, engine: Any) -> Any:
        cube = constellr_stac.load(
            self.items.items[:5], ["lst"], engine=engine, auth=self.auth, signer=self.signer
        )
        return cube.lst.drop_attrs().compute()

    def download(self) -> Any:
        """Return the names and contents of files."""
        folder = self.folder / new_name()
        constellr_stac.download(
            self.items.items[:3], folder, assets=["lst"], auth=self.auth, signer=self.signer
        )
        return sorted((path.name, path.read_bytes()) for path in folder.rglob("*.tiff"))

    def token(self) -> Any:
        """Replace the token."""
        token = self.auth.token()
        assert token is not None
        self.auth.discard(token)
        return self.auth.token() is not None

    def renewal(self) -> Any:
        """Return the address of a signed asset, from its item that is asked for again."""
        resolver = AssetResolver(self.auth, self.signer)
        return resolver.url(asset_ref(self.items[0], "lst")).partition("?")[0]

    def orders(self) -> Any:
        """Return the ids of all orders."""
        with OrdersClient(self.auth) as client:
            return [order.id for order in client.list()]


def run_through_outage(sandbox: Sandbox, folder: Path, name: str, seconds: float) -> None:
    """Run an operation again while its lines break in the middle of an answer."""
    with ExitStack() as stack:
        user = User(sandbox, folder, stack)
        operation = getattr(user, name)
        expected = operation()
        assert not isinstance(expected, xr.DataArray) or expected.notnull().any()
        line = user.store if name in ("odc", "stackstac", "download") else user.api
        begun = line.answers
        # The second answer, if there are several: others are under way.
        line.outages[begun + (1 if name in ("token", "renewal", "orders") else 2)] = seconds
        start = time.monotonic()
        got = operation()
        assert not line.outages
        assert time.monotonic() - start > seconds
        assert got.identical(expected) if isinstance(got, xr.DataArray) else got == expected


@pytest.mark.slow
@pytest.mark.parametrize("seconds", OUTAGES)
def test_outage_in_the_middle_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """All operations, side by side, bring what they bring without it."""
    monkeypatch.setenv("CONSTELLR_RETRY_DEADLINE", "120")  # the default
    names = ["search", "odc", "stackstac", "download", "token", "renewal", "orders"]
    with (
        open_sandbox() as sandbox,
        open_sandbox(presigned=True) as presigned,
        ThreadPoolExecutor(len(names)) as pool,
    ):
        owner = client_of(sandbox)
        area = owner.create_aoi(new_name(), FIELD).id
        owner.create([wish(area)])
        runs = []
        for name in names:
            chosen = presigned if name == "renewal" else sandbox
            runs.append(pool.submit(run_through_outage, chosen, tmp_path, name, seconds))
        for run in runs:
            run.result()
