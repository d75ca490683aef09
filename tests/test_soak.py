"""Search, load, download and orders side by side on a line that breaks three answers in ten.

``SOAK_SECONDS`` is how long it runs: five minutes in ``tox -e soak``, one in CI.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import xarray as xr

import constellr_stac
from constellr_stac import ConstellrAuth, Limits, OrderOutcomeUnknown, Password, Signer
from constellr_stac.orders import OrdersClient
from constellr_stac.sandbox import Fault, Sandbox
from ordering import FIELD, TODAY, new_name, open_sandbox, wish
from weak_network import WeakLine

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))
SHARE = 0.3
LIMITS = Limits(retry_deadline=60)


class Account:
    """What a user does on a sandbox, through a line for the API and one for the store."""

    def __init__(self, sandbox: Sandbox, api: WeakLine, store: WeakLine, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.auth = ConstellrAuth(Password(sandbox.username, sandbox.password), base_url=api.url)
        # A function: the keys rotate. URLs end after two seconds.
        self.signer = Signer(
            credentials=lambda: sandbox.aws, endpoint=store.url, expires_in=timedelta(seconds=2)
        )
        self.client = constellr_stac.open_client(auth=self.auth, limits=LIMITS)
        self.orders = OrdersClient(self.auth, limits=LIMITS, today=lambda: TODAY)
        self.area = ""

    def search(self) -> Any:
        """Return the ids of all scenes."""
        found = self.client.search(collections=["lstprecision"], limit=4)
        return sorted(item.id for item in found.items())

    def load(self, engine: Any) -> Any:
        """Return the values of a cube."""
        items = self.client.search(collections=["lstprecision"]).item_collection()
        cube = constellr_stac.load(
            items, ["lst"], engine=engine, auth=self.auth, signer=self.signer, limits=LIMITS
        )
        return cube.lst.isel(time=slice(5)).drop_attrs().compute()

    def download(self) -> Any:
        """Return the names and sizes of downloaded files."""
        folder = self.folder / new_name()
        items = self.client.search(collections=["lstprecision"], max_items=2).item_collection()
        constellr_stac.download(
            items, folder, assets=["lst"], auth=self.auth, signer=self.signer, limits=LIMITS
        )
        return sorted((path.name, path.stat().st_size) for path in folder.rglob("*.tiff"))


def outcomes(account: Account, until: float, expected: dict[str, Any]) -> Counter[str]:
    """Run all jobs side by side until a time; return what became of them."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()
    jobs: dict[str, Callable[[], Any]] = {
        "search": account.search,
        "odc": lambda: account.load("odc"),
        "stackstac": lambda: account.load("stackstac"),
        "download": account.download,
    }

    def repeat(name: str) -> None:
        while time.monotonic() < until:
            try:
                value = jobs[name]()
            except constellr_stac.ConstellrError as error:
                result = f"{name} failed: {error}"
            else:
                same = (
                    value.identical(expected[name])
                    if isinstance(value, xr.DataArray)
                    else value == expected[name]
                )
                result = f"{name} {'equal' if same else 'different'}"
            with lock:
                counts[result] += 1

    def order() -> None:
        day = TODAY + timedelta(days=30)  # orders need a notice
        while time.monotonic() < until:
            day += timedelta(days=1)
            dates = {"start_date": str(day), "end_date": str(day + timedelta(days=29))}
            try:
                account.orders.create([wish(account.area, **dates)], check=False)
                result = "order placed"
            except OrderOutcomeUnknown:
                result = "order unknown"
            except constellr_stac.ConstellrError as error:
                result = f"order refused: {type(error).__name__}"
            with lock:
                counts[result] += 1
            time.sleep(0.5)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(repeat, name) for name in jobs] + [pool.submit(order)]:
            done.result()
    return counts


def resources() -> tuple[int, int]:
    """Return the number of threads and of open files and sockets."""
    gc.collect()
    descriptors = Path("/proc/self/fd")
    return threading.active_count(), len(list(descriptors.iterdir())) if descriptors.exists() else 0


@pytest.mark.slow
def test_a_weak_network_costs_time_not_results(tmp_path: Path) -> None:
    """Every read succeeds and equals that of a good network; no order is placed twice."""
    with (
        open_sandbox() as sandbox,
        WeakLine(sandbox.api_url) as api,
        WeakLine(sandbox.s3_url) as store,
    ):
        account = Account(sandbox, api, store, tmp_path)
        account.area = str(account.orders.create_aoi(new_name(), FIELD).id)
        expected = {
            "search": account.search(),
            "odc": account.load("odc"),
            "stackstac": account.load("stackstac"),
            "download": account.download(),
        }
        api.share = store.share = SHARE
        until, stop = time.monotonic() + SECONDS, threading.Event()

        def disturb() -> None:
            while not stop.wait(3.0):
                sandbox.rotate_aws()
                sandbox.revoke_tokens()
                for status in (500, 502, 503, 429):
                    sandbox.fail(Fault("tiff|search|items", status=status))

        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        threads, descriptors = resources()
        counts = outcomes(account, until, expected)
        stop.set()
        disturbing.join()
        print(f"{SECONDS:.0f} s, {api.broken + store.broken} broken answers:")  # noqa: T201
        for name, count in sorted(counts.items()):
            print(f"  {count:5}  {name}")  # noqa: T201
        failed = [name for name in counts if "failed" in name or "different" in name]
        assert not failed
        assert all(counts[f"{name} equal"] for name in expected)
        placed = Counter(each["start_date"] for each in sandbox.orders)
        assert max(placed.values(), default=1) == 1
        least = counts["order placed"]
        assert least > 0
        assert least <= len(placed) <= least + counts["order unknown"]
        api.share = store.share = 0
        account.search()
        now = resources()
        assert now[0] <= threads + 80  # the pools of fetchers and downloads
        assert now[1] <= descriptors + 150  # pooled connections
