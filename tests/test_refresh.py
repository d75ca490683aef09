"""A self-refreshing value with an expiry, renewed by one thread at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from constellr_stac._refresh import Refreshing

START = datetime(2026, 6, 1, tzinfo=UTC)


class Lease(NamedTuple):
    number: int
    expires_at: datetime | None


class Issuer:
    """Issues leases of one minute on a clock that the test advances."""

    def __init__(self) -> None:
        self.now = START
        self.issued = 0
        self.failure: Exception | None = None

    def clock(self) -> datetime:
        return self.now

    def issue(self) -> Lease:
        self.issued += 1
        if self.failure is not None:
            raise self.failure
        return Lease(self.issued, self.now + timedelta(minutes=1))

    def refreshing(self) -> Refreshing[Lease]:
        return Refreshing(self.issue, lambda lease: lease.expires_at, clock=self.clock)


def test_fresh_value_is_reused() -> None:
    """For most of its lifetime a value is not renewed."""
    issuer = Issuer()
    refreshing = issuer.refreshing()
    first = refreshing.get()
    issuer.now += timedelta(seconds=45)
    assert refreshing.get() == first
    assert issuer.issued == 1


def test_value_is_renewed_before_expiry() -> None:
    """At the latest in the last tenth of its lifetime."""
    issuer = Issuer()
    refreshing = issuer.refreshing()
    refreshing.get()
    issuer.now += timedelta(seconds=55)
    assert refreshing.get().number == 2


def test_refresh_times_are_spread() -> None:
    """Renewals of values issued together are spread, also for day-long values."""
    for life in (timedelta(minutes=1), timedelta(days=1)):
        ends = START + life
        held = [
            Refreshing(
                lambda: Lease(0, None),
                lambda lease: lease.expires_at,
                value=Lease(0, ends),
                clock=lambda: START,
            )._held
            for _ in range(200)
        ]
        early = [ends - one.refresh_at for one in held if one is not None]
        longest = min(life / 5, timedelta(minutes=5))
        assert longest / 2 <= min(early) < longest * 0.6
        assert longest * 0.9 < max(early) <= longest


def test_failed_early_renewal_keeps_the_value_until_expiry() -> None:
    """The next attempt is not made at once."""
    issuer = Issuer()
    refreshing = issuer.refreshing()
    first = refreshing.get()
    issuer.failure = ConnectionError("down")
    issuer.now += timedelta(seconds=55)
    assert [refreshing.get() for _ in range(20)] == [first] * 20
    assert issuer.issued == 2
    issuer.now += timedelta(seconds=10)
    with pytest.raises(ConnectionError):
        refreshing.get()


def test_discarded_value_is_replaced() -> None:
    """At once; discarding an older value later changes nothing."""
    issuer = Issuer()
    refreshing = issuer.refreshing()
    first = refreshing.get()
    refreshing.discard(first)
    second = refreshing.get()
    refreshing.discard(first)
    assert refreshing.get() == second == Lease(2, second.expires_at)


def test_value_discarded_during_failed_renewal_stays_discarded() -> None:
    """A failed early renewal does not restore a refused value."""
    issuer = Issuer()

    def issue() -> Lease:
        if issuer.issued:
            refreshing.discard(first)  # like another thread
        return issuer.issue()

    refreshing = Refreshing(issue, lambda lease: lease.expires_at, clock=issuer.clock)
    first = refreshing.get()
    issuer.now += timedelta(seconds=55)
    issuer.failure = OSError("down")
    with pytest.raises(OSError, match="down"):
        refreshing.get()
    assert refreshing.held is None


def test_waiting_threads_share_one_renewal_and_its_failure() -> None:
    """One attempt is made; all threads get its result or exception."""
    barrier = threading.Barrier(20)
    asked = []

    def renew() -> Lease:
        asked.append(threading.get_ident())
        all_waiting.wait(60)
        raise PermissionError("no")

    all_waiting = threading.Event()
    refreshing = Refreshing(renew, lambda lease: lease.expires_at)

    def ask() -> str:
        barrier.wait(60)
        try:
            refreshing.get()
        except PermissionError as error:
            return str(error)
        return "a value"

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(ask) for _ in range(20)]
        while _waiter_count(refreshing) < 19:  # all but the renewing thread
            time.sleep(0.001)
        all_waiting.set()
        assert {answer.result() for answer in answers} == {"no"}
    assert len(asked) == 1


def _waiter_count(refreshing: Refreshing[Lease]) -> int:
    pending = refreshing._pending
    return 0 if pending is None else len(pending._condition._waiters)  # type: ignore[attr-defined]


def test_interrupted_renewal_is_taken_over() -> None:
    """After Ctrl-C in the renewing thread, a waiting thread renews."""
    started, release = threading.Event(), threading.Event()
    turns = iter(["interrupted", "renewed"])

    def renew() -> Lease:
        if next(turns) == "interrupted":
            started.set()
            release.wait(60)
            raise KeyboardInterrupt
        return Lease(1, None)

    refreshing = Refreshing(renew, lambda lease: lease.expires_at)
    with ThreadPoolExecutor(2) as pool:
        interrupted = pool.submit(refreshing.get)
        started.wait(60)
        other = pool.submit(refreshing.get)
        release.set()
        assert other.result(60) == Lease(1, None)
        with pytest.raises(KeyboardInterrupt):
            interrupted.result(60)


def test_initial_value_is_used_until_expiry() -> None:
    """An initial value needs no renewal."""
    issuer = Issuer()
    given = Lease(0, START + timedelta(minutes=1))
    refreshing = Refreshing(
        issuer.issue, lambda lease: lease.expires_at, value=given, clock=issuer.clock
    )
    assert refreshing.get() == given
    issuer.now += timedelta(minutes=2)
    assert refreshing.get().number == 1
