"""Search, load, download and orders side by side on a line that breaks three answers in ten.

``SOAK_SECONDS`` is how long it runs: five minutes in ``tox -e soak``, one in CI beside other tests.
"""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import xarray as xr

import constellr_stac
from constellr_stac import ConstellrAuth, OrderOutcomeUnknown, Password, Signer
from constellr_stac.orders import OrdersClient
from constellr_stac.sandbox import Fault, Sandbox
from ordering import FIELD, TODAY, new_name, open_sandbox, wish
from weak_network import WeakLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = float(os.environ.get("SOAK_SECONDS", "4"))
LONG = 300  # seconds from which usage is level in the second half
PAUSE = 0.0 if SECONDS >= LONG else 1.0  # seconds after an operation, for the tests beside this one
BROKEN, REFUSED = 0.24, 0.06  # together three answers in ten
STATUSES = (500, 502, 503, 429)
LONGEST, SUCCESS, MOST_TRIES = "seconds at most", {"equal", "placed"}, 20
REVOKED_EVERY, ROTATED_EVERY = 50, 200  # answers of the API, of the store


class Account:
    """What a user does on a sandbox, through a line for the API and one for the store."""

    def __init__(self, sandbox: Sandbox, folder: Path, stack: ExitStack) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.api = stack.enter_context(WeakLine(sandbox.api_url))
        self.store = stack.enter_context(WeakLine(sandbox.s3_url))
        self.auth = ConstellrAuth(
            Password(sandbox.username, sandbox.password), base_url=self.api.url
        )
        # A function: the keys rotate. URLs end after two seconds.
        self.signer = Signer(
            credentials=lambda: sandbox.aws,
            endpoint=self.store.url,
            expires_in=timedelta(seconds=2),
        )
        self.client = constellr_stac.open_client(auth=self.auth)
        self.orders = OrdersClient(self.auth, today=lambda: TODAY)
        self.area = str(self.orders.create_aoi(new_name(), FIELD).id)
        self._revoke_at = self._rotate_at = 0

    def search(self) -> Any:
        """Return the ids of all scenes."""
        found = self.client.search(collections=["lstprecision"], limit=4)
        return sorted(item.id for item in found.items())

    def load(self, engine: Any) -> Any:
        """Return the values of a cube."""
        items = self.client.search(collections=["lstprecision"]).item_collection()
        cube = constellr_stac.load(
            items, ["lst"], engine=engine, auth=self.auth, signer=self.signer
        )
        return cube.lst.isel(time=slice(5)).drop_attrs().compute()

    def download(self) -> Any:
        """Return the names and sizes of downloaded files."""
        folder = self.folder / new_name()
        items = self.client.search(collections=["lstprecision"], max_items=2).item_collection()
        constellr_stac.download(
            items, folder, assets=["lst"], auth=self.auth, signer=self.signer, progress=False
        )
        return sorted((path.name, path.stat().st_size) for path in folder.rglob("*.tiff"))

    def disturb(self) -> None:
        """Revoke tokens and rotate keys after so many answers; free what the sandbox has logged."""
        if self.api.answers > self._revoke_at:
            self._revoke_at = self.api.answers + REVOKED_EVERY
            self.sandbox.revoke_tokens()
        if self.store.answers > self._rotate_at:
            self._rotate_at = self.store.answers + ROTATED_EVERY
            self.sandbox.rotate_aws()
            self.sandbox.clear_requests()

    def set_faults(self, *, on: bool) -> None:
        """Break three answers in ten, or none."""
        self.api.share = self.store.share = BROKEN if on else 0.0
        self.sandbox.clear_faults()
        for status in STATUSES if on else ():
            # By rate: faults by number could be planned faster than they are met.
            rate = REFUSED / len(STATUSES)
            path = "tiff|search|items|token|orders$"
            self.sandbox.fail(Fault(path, status=status, times=None, rate=rate, seed=status))


def run(job: Callable[[], str], until: float) -> Counter[str]:
    """Repeat a job until a time, and until it succeeds; return what became of it."""
    counts: Counter[str] = Counter()
    while time.monotonic() < until or not (SUCCESS & counts.keys() or counts.total() > MOST_TRIES):
        start = time.monotonic()
        counts[job()] += 1
        counts[LONGEST] = max(counts[LONGEST], round(time.monotonic() - start))
        time.sleep(PAUSE)
    return counts


def read_and_compare(job: Callable[[], Any], expected: Any) -> str:
    """Return whether a job's value is as expected."""
    try:
        value = job()
    except constellr_stac.ConstellrError as error:
        return f"failed: {error}"
    is_array = isinstance(value, xr.DataArray)
    return (
        "equal" if (value.identical(expected) if is_array else value == expected) else "different"
    )


class Orders:
    """Orders of distinct days, and what became of each."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.outcomes: dict[str, str] = {}

    def place(self) -> str:
        """Place one order."""
        day = TODAY + timedelta(days=31 + len(self.outcomes))  # orders need a notice
        dates = {"start_date": str(day), "end_date": str(day + timedelta(days=29))}
        try:
            self._account.orders.create([wish(self._account.area, **dates)], check=False)
            outcome = "placed"
        except OrderOutcomeUnknown:
            outcome = "unknown"
        except constellr_stac.ConstellrError as error:
            outcome = f"refused: {error}"
        self.outcomes[str(day)] = outcome
        time.sleep(0.3)
        return outcome

    def check(self) -> None:
        """Compare the outcomes with the server's orders."""
        there = Counter(each["start_date"][:10] for each in self._account.sandbox.orders)
        most = {"placed": (1, 1), "unknown": (0, 1)}
        for day, outcome in self.outcomes.items():
            low, high = most.get(outcome, (0, 0))
            assert low <= there[day] <= high, (day, outcome, there[day])


class Usage:
    """Threads, open files and sockets, and MiB of this process over time."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int, float]] = []

    def sample(self) -> tuple[int, int, float]:
        """Measure, record and return."""
        sample = threading.active_count(), 0, 0.0
        if Path("/proc/self/statm").exists():  # on Linux
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            files = len(list(Path("/proc/self/fd").iterdir()))
            sample = sample[0], files, pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        self.samples.append(sample)
        return sample

    def tenth(self, number: int) -> list[float]:
        """Return the medians of a tenth of the time."""
        first, last = (len(self.samples) * each // 10 for each in (number, number + 1))
        part = self.samples[first : max(last, first + 1)]
        return [statistics.median(values) for values in zip(*part, strict=True)]


@contextmanager
def repeated(call: Callable[[], object], every: float) -> Iterator[None]:
    """Call a function every few seconds, in a thread."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(every):
            call()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def report(account: Account, counts: dict[str, Counter[str]], usage: Usage) -> None:
    """Print what became of the jobs, and the usage."""
    lines = (account.api, account.store)
    broken, answers = (sum(getattr(line, name) for line in lines) for name in ("broken", "answers"))
    print(f"\n{SECONDS:.0f} s; {broken} of {answers} answers broken by the lines")  # noqa: T201
    for name, count in counts.items():
        print(f"{name:10}", ", ".join(f"{what}: {n}" for what, n in count.items()))  # noqa: T201
    for number in range(10):
        threads, files, memory = usage.tenth(number)
        print(f"{threads:5.0f} threads {files:5.0f} files {memory:8.1f} MiB")  # noqa: T201


def check_level(usage: Usage) -> None:
    """Compare the usage at the end with that in the middle, when all pools are filled.

    Allowed are a thread pool that is still ending, 24 more pooled connections (each with four ends
    in this process), and what malloc keeps for fifty threads, which takes some hundred jobs to
    fill. What one job in twenty leaves behind shows in five minutes (700 jobs after the middle); in
    a few seconds pools are still filling.
    """
    for now, then, more in zip(usage.tenth(9), usage.tenth(4), (32, 96, 24), strict=True):
        assert now <= then + more


@pytest.mark.slow
def test_a_weak_network_costs_time_not_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every read succeeds and equals that of a good network; no order is placed twice."""
    monkeypatch.setenv("CONSTELLR_RETRY_DEADLINE", "120")  # the default
    caplog.set_level(logging.CRITICAL, "urllib3")  # pytest would keep all records, with frames
    with ExitStack() as stack:
        account = Account(stack.enter_context(open_sandbox()), tmp_path, stack)
        reads: dict[str, Callable[[], Any]] = {
            "search": account.search,
            "odc": lambda: account.load("odc"),
            "stackstac": lambda: account.load("stackstac"),
            "download": account.download,
        }
        with ThreadPoolExecutor(len(reads)) as pool:
            expected = dict(zip(reads, pool.map(lambda name: reads[name](), reads), strict=True))
        orders, usage = Orders(account), Usage()
        jobs: dict[str, Callable[[], str]] = {
            name: lambda name=name: read_and_compare(reads[name], expected[name]) for name in reads
        } | {"order": orders.place}
        account.set_faults(on=True)
        until = time.monotonic() + SECONDS
        with (
            repeated(account.disturb, 0.05),
            repeated(usage.sample, 0.25),
            ThreadPoolExecutor(len(jobs)) as pool,
        ):
            ran = pool.map(lambda job: run(job, until), jobs.values())
            counts = dict(zip(jobs, ran, strict=True))
        account.set_faults(on=False)
        report(account, counts, usage)
        for name in reads:
            assert set(counts[name]) == {"equal", LONGEST}
        orders.check()
        assert counts["order"]["placed"] > 0
        if SECONDS >= LONG:
            check_level(usage)
