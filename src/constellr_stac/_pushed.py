"""What another process lends to this one, and replaces before it ends.

A dask worker is lent credentials by the client (:mod:`constellr_stac.cluster`). What is lent
here is not known here, nor how the lender is reached.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["PushedValue", "PushedValues", "push_hint"]

T = TypeVar("T")

_PATIENCE = 30.0
_ASK_AGAIN = 5.0  # seconds after which a question counts as lost
_NO_HOLDS = 60.0  # seconds; the lender may have another later


class PushedValue(Generic[T]):
    """A value that its lender replaces; safe to share between threads.

    Values are numbered from 1 by the lender. Whoever finds a value refused waits for the next
    one, and the lender is asked for it once, not by every thread. A lender that did not answer
    in time is not waited for again until it does.

    Args:
        ask: Tells the lender the number of the value that was refused, 0 if there is none yet.
            It must not block, and its answer comes through :meth:`put`.

    Keyword Args:
        patience: How many seconds to wait for an answer.
        no_holds: How many seconds to take the lender's word that it has no other.

    Example:
        >>> loan = PushedValue(print)
        >>> loan.put(1, "first")
        >>> loan.get()
        'first'
        >>> loan.put(2, "second")
        >>> loan.other_than("first")
        'second'
    """

    def __init__(
        self,
        ask: Callable[[int], None],
        *,
        patience: float = _PATIENCE,
        no_holds: float = _NO_HOLDS,
    ) -> None:
        self._ask = ask
        self._patience = patience
        self._no_holds = no_holds
        self._news = threading.Condition()
        self._value: T | None = None
        self._number = 0
        self._last = 0
        self._last_until = 0.0
        self._asked_at: float | None = None
        self._silent = False
        self._ended = False

    def put(self, number: int, value: T, *, last: int = 0) -> None:
        """Take what the lender sends.

        Args:
            number: The value's number; one that was overtaken by a later one is dropped.
            value: The value.

        Keyword Args:
            last: The number of a value of which the lender says that it has no other.
        """
        with self._news:
            if self._ended or number < self._number:
                return
            asked = self._asked_at is not None
            if number > self._number or last >= number:
                self._asked_at = None
            if last > self._last or (asked and last >= number):
                self._last, self._last_until = last, time.monotonic() + self._no_holds
            self._number, self._value = number, value
            self._silent = False
            self._news.notify_all()

    def get(self) -> T | None:
        """Return the value of now; ``None`` if the lender never sent one."""
        with self._news:
            if self._value is None:
                self._wait()
            return self._value

    def other_than(self, refused: T) -> T | None:
        """Return a value that takes the place of ``refused``; ``None`` if there is none."""
        with self._news:
            if self._value == refused:
                self._wait()
            return None if self._value == refused else self._value

    @property
    def held(self) -> T | None:
        """The value of now, without waiting for the first."""
        return self._value

    def end(self) -> None:
        """Let nobody wait any more, and keep no value."""
        with self._news:
            self._ended = True
            self._value = None
            self._news.notify_all()

    def _wait(self) -> None:
        """Wait for a value after this one, or for word that there is none."""
        refused, deadline = self._number, time.monotonic() + self._patience
        while self._number == refused and not self._ended:
            now = time.monotonic()
            if refused and self._last >= refused and now < self._last_until:
                return
            if self._asked_at is None or now >= self._asked_at + _ASK_AGAIN:
                self._asked_at = now
                self._ask(refused)
            if self._silent:
                return
            if now >= deadline:
                self._silent = True
                return
            self._news.wait(min(deadline - now, _ASK_AGAIN))


class PushedValues(Generic[T]):
    """The loans of this process by what they are good for; of several the newest counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loans: dict[Hashable, tuple[PushedValue[T], ...]] = {}

    def add(self, purpose: Hashable, loan: PushedValue[T]) -> None:
        """Use this loan from now on."""
        with self._lock:
            self._loans[purpose] = (*self._loans.get(purpose, ()), loan)

    def remove(self, purpose: Hashable, loan: PushedValue[T]) -> None:
        """End a loan; the one before it counts again."""
        with self._lock:
            left = tuple(other for other in self._loans.get(purpose, ()) if other is not loan)
            self._loans[purpose] = left
        loan.end()

    def of(self, purpose: Hashable) -> PushedValue[T] | None:
        """Return the loan that counts, if there is one."""
        loans = self._loans.get(purpose, ())
        return loans[-1] if loans else None


def push_hint() -> str:
    """Return what to do where credentials are missing on a worker; nothing without a cluster."""
    if "distributed" not in sys.modules:
        return ""
    return " Dask workers are lent yours by constellr_stac.share_credentials(client)."
