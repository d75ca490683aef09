"""One value that ends, renewed by one caller for all who want it.

Tokens, object-store credentials and pre-signed items all end and are all renewed the same
way; what a renewal does and when a value ends is the owner's business. Nothing here knows
about the network, and no lock is held while a renewal is under way.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Renewing", "utc_now"]

T = TypeVar("T")

_EARLIEST = timedelta(minutes=5)
_LAST_MOMENT = timedelta(seconds=10)
_FOREVER = datetime.max.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Held(Generic[T]):
    """A value, with the two moments that matter."""

    value: T
    renew_at: datetime
    """From here on somebody renews it, while the others go on with the old one."""
    unusable_at: datetime
    """From here on everybody waits for a new one."""


class Renewing(Generic[T]):
    """A value that ends, renewed before it does and by one caller at a time.

    * However many threads ask, one renewal is under way; the others use the old value while
      it lasts, else they wait for the new one, and get the same failure if it fails.
    * A renewal that fails while the old value is good keeps the old value.
    * Renewal begins at a random point of the last tenth to fifth of a value's life (of a long
      one: of the last five to two and a half minutes), so that many processes do not all renew
      at once.

    Args:
        renew: Gets a new value; may take long and may raise.
        expires_at: Tells when a value ends (aware), or ``None`` if it does not.

    Keyword Args:
        value: One to begin with.
        clock: Tells the time, aware.

    Example:
        >>> numbers = iter(range(3))
        >>> renewing = Renewing(lambda: next(numbers), lambda value: None)
        >>> renewing.get(), renewing.get()
        (0, 0)
        >>> renewing.discard(0)
        >>> renewing.get()
        1
    """

    def __init__(
        self,
        renew: Callable[[], T],
        expires_at: Callable[[T], datetime | None],
        *,
        value: T | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._renew = renew
        self._expires_at = expires_at
        self._clock = clock
        self._lock = threading.Lock()
        self._held = None if value is None else self._schedule(value)
        self._pending: Future[T] | None = None

    def get(self) -> T:
        """Return a value that is good now, renewing it first where that is due.

        Raises:
            Exception: Whatever the renewal raised, if there is no good value left.
        """
        while True:
            now = self._clock()
            with self._lock:
                held = self._held
                if held is not None and now < held.renew_at:
                    return held.value
                good = held if held is not None and now < held.unusable_at else None
                pending, mine = self._pending, False
                if pending is None:
                    pending = self._pending = Future()
                    mine = True
                elif good is not None:
                    return good.value
            if mine:
                self._run(pending, good)
            try:
                return pending.result()
            except CancelledError:
                continue  # the renewing thread was interrupted; somebody else has to do it

    @property
    def held(self) -> T | None:
        """The value held, good or not, without renewing it."""
        held = self._held
        return None if held is None else held.value

    def discard(self, value: T) -> None:
        """Forget ``value``, if it is the one held: it was refused, whatever its end says."""
        with self._lock:
            if self._held is not None and self._held.value == value:
                self._held = None

    def _run(self, pending: Future[T], good: _Held[T] | None) -> None:
        """Renew, and tell everyone who waits on ``pending`` how it went."""
        held: _Held[T] | None = None
        failure: Exception | None = None
        try:
            value = self._renew()
            held = self._schedule(value)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it, or the old value
            failure = error
        finally:
            with self._lock:
                self._pending = None
                if failure is not None and good is not None and self._held is good:
                    held = self._postponed(good)  # unless it was refused in the meantime
                self._held = held
            if held is not None:
                pending.set_result(held.value)
            elif failure is not None:
                pending.set_exception(failure)
            else:
                pending.cancel()

    def _schedule(self, value: T) -> _Held[T]:
        expires_at = self._expires_at(value)
        if expires_at is None:
            return _Held(value, _FOREVER, _FOREVER)
        now = self._clock()
        life = max(expires_at - now, timedelta(0))
        early = min(life / 5, _EARLIEST) * random.uniform(0.5, 1)  # noqa: S311 - spreads load
        return _Held(value, expires_at - early, expires_at - min(life * 0.05, _LAST_MOMENT))

    def _postponed(self, good: _Held[T]) -> _Held[T]:
        """Keep a good value after a failed early renewal, and try again a little later."""
        now = self._clock()
        return _Held(good.value, now + (good.unusable_at - now) / 4, good.unusable_at)
