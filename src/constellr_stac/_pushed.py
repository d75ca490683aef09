"""Values pushed by the dask client, which replaces them before they expire.

:mod:`constellr_stac.cluster` pushes credentials to workers. This module is independent of the
kind of value and of the transport.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PushedValue", "push_hint"]

T = TypeVar("T")

_PATIENCE = 30.0
_ASK_AGAIN = 5.0  # seconds between requests to the client
_NO_HOLDS = 60.0  # seconds; the client may have a new value later


class PushedValue(Generic[T]):
    """A value that the client replaces; thread-safe.

    The client numbers values from 1. Threads whose value was refused wait for the next one; only
    one of them asks the client. After a timeout, threads do not wait again until the client has
    answered.

    Args:
        ask: Sends the client the number of the refused value, 0 if there is none yet. It must not
            block; the answer arrives through :meth:`put`.

    Keyword Args:
        patience: Seconds to wait for an answer.
        no_holds: Seconds for which an answer "no other value" is cached.

    Example:
        >>> pushed = PushedValue(print)
        >>> pushed.put(1, "first")
        >>> pushed.get()
        'first'
        >>> pushed.put(2, "second")
        >>> pushed.other_than("first")
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
        """Store a value from the client.

        Args:
            number: The value's number; values older than the current one are ignored.
            value: The value.

        Keyword Args:
            last: The number of a value that the client cannot replace.
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
        """Return the current value; waits for the first one. ``None`` if the client sent none."""
        with self._news:
            if self._value is None:
                self._wait()
            return self._value

    def other_than(self, refused: T) -> T | None:
        """Return a value other than ``refused``; ``None`` if there is none."""
        with self._news:
            if self._value == refused:
                self._wait()
            return None if self._value == refused else self._value

    @property
    def held(self) -> T | None:
        """The current value, without waiting."""
        return self._value

    def end(self) -> None:
        """Drop the value and release all waiting threads."""
        with self._news:
            self._ended = True
            self._value = None
            self._news.notify_all()

    def _wait(self) -> None:
        """Wait for a newer value, or for the answer "no other value"."""
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


def push_hint() -> str:
    """Return advice for missing credentials on a dask worker; empty without distributed."""
    if "distributed" not in sys.modules:
        return ""
    return " On dask workers, call constellr_stac.share_credentials(client) on the client."
