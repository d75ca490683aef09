"""One value, renewed by one caller for all."""

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
    """Issues leases of a minute on a clock that the test moves."""

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

    def renewing(self) -> Refreshing[Lease]:
        return Refreshing(self.issue, lambda lease: lease.expires_at, clock=self.clock)


def test_a_value_is_kept_while_it_is_good() -> None:
    """Nothing is renewed for most of a value's life."""
    issuer = Issuer()
    renewing = issuer.renewing()
    first = renewing.get()
    issuer.now += timedelta(seconds=45)
    assert renewing.get() == first
    assert issuer.issued == 1


def test_a_value_is_renewed_before_its_end() -> None:
    """In the last tenth of its life at the latest a value is replaced."""
    issuer = Issuer()
    renewing = issuer.renewing()
    renewing.get()
    issuer.now += timedelta(seconds=55)
    assert renewing.get().number == 2


def test_many_processes_do_not_refresh_at_the_same_moment() -> None:
    """Renewals of values that began together are spread, those of day-long values too."""
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


def test_a_failed_early_renewal_keeps_the_old_value_until_its_end() -> None:
    """What still works is not thrown away, and the issuer is not pestered."""
    issuer = Issuer()
    renewing = issuer.renewing()
    first = renewing.get()
    issuer.failure = ConnectionError("down")
    issuer.now += timedelta(seconds=55)
    assert [renewing.get() for _ in range(20)] == [first] * 20
    assert issuer.issued == 2
    issuer.now += timedelta(seconds=10)
    with pytest.raises(ConnectionError):
        renewing.get()


def test_a_discarded_value_is_not_given_again() -> None:
    """A refused value is replaced at once; an older one that is refused late changes nothing."""
    issuer = Issuer()
    renewing = issuer.renewing()
    first = renewing.get()
    renewing.discard(first)
    second = renewing.get()
    renewing.discard(first)
    assert renewing.get() == second == Lease(2, second.expires_at)


def test_a_value_that_is_discarded_while_its_renewal_fails_does_not_come_back() -> None:
    """What was refused is not good any more, whoever is just trying to renew it."""
    issuer = Issuer()

    def issue() -> Lease:
        if issuer.issued:
            renewing.discard(first)  # as another thread would
        return issuer.issue()

    renewing = Refreshing(issue, lambda lease: lease.expires_at, clock=issuer.clock)
    first = renewing.get()
    issuer.now += timedelta(seconds=55)
    issuer.failure = OSError("down")
    with pytest.raises(OSError, match="down"):
        renewing.get()
    assert renewing.held is None


def test_threads_that_wait_share_one_renewal_and_its_failure() -> None:
    """One attempt is made however many ask; all get what came of it."""
    everyone = threading.Barrier(20)
    asked = []

    def renew() -> Lease:
        asked.append(threading.get_ident())
        everyone_waits.wait(5)
        raise PermissionError("no")

    everyone_waits = threading.Event()
    renewing = Refreshing(renew, lambda lease: lease.expires_at)

    def ask() -> str:
        everyone.wait(5)
        try:
            renewing.get()
        except PermissionError as error:
            return str(error)
        return "a value"

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(ask) for _ in range(20)]
        while _waiting_for(renewing) < 19:  # all but the one that renews
            time.sleep(0.001)
        everyone_waits.set()
        assert {answer.result() for answer in answers} == {"no"}
    assert len(asked) == 1


def _waiting_for(renewing: Refreshing[Lease]) -> int:
    pending = renewing._pending
    return 0 if pending is None else len(pending._condition._waiters)  # type: ignore[attr-defined]


def test_an_interrupted_renewal_is_taken_over() -> None:
    """Ctrl-C in the thread that renews does not leave the others waiting for ever."""
    started, release = threading.Event(), threading.Event()
    turns = iter(["interrupted", "renewed"])

    def renew() -> Lease:
        if next(turns) == "interrupted":
            started.set()
            release.wait(5)
            raise KeyboardInterrupt
        return Lease(1, None)

    renewing = Refreshing(renew, lambda lease: lease.expires_at)
    with ThreadPoolExecutor(2) as pool:
        interrupted = pool.submit(renewing.get)
        started.wait(5)
        other = pool.submit(renewing.get)
        release.set()
        assert other.result(5) == Lease(1, None)
        with pytest.raises(KeyboardInterrupt):
            interrupted.result(5)


def test_a_value_to_begin_with_needs_no_renewal() -> None:
    """A value that came with something else is used until it ends."""
    issuer = Issuer()
    given = Lease(0, START + timedelta(minutes=1))
    renewing = Refreshing(
        issuer.issue, lambda lease: lease.expires_at, value=given, clock=issuer.clock
    )
    assert renewing.get() == given
    issuer.now += timedelta(minutes=2)
    assert renewing.get().number == 1
