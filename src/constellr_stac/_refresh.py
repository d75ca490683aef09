"""A thread-safe value with an expiry, refreshed once for all who ask.

Tokens, object-store credentials and signed items expire and are refreshed the same way. Nothing
here knows about the network, and no lock is held during a refresh.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Refreshing", "utc_now"]

T = TypeVar("T")

_ADVISORY = timedelta(minutes=5)
_MANDATORY = timedelta(seconds=10)
_FOREVER = datetime.max.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """Return the current time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Held(Generic[T]):
    """A value and its two deadlines, as in botocore."""

    value: T
    refresh_at: datetime
    """From here on one caller refreshes, while the others use the old value."""
    unusable_at: datetime
    """From here on all callers wait for a new value."""


class Refreshing(Generic[T]):
    """A value that is refreshed before it expires, by one caller at a time.

    * One refresh is under way, however many threads ask. The others use the old value while it is
      good, else they wait for the new one, and get the same error if the refresh fails.
    * If a refresh fails while the old value is good, the old value is kept.
    * A refresh begins at a random point in the last tenth to fifth of a value's life (for a long
      life: five to two and a half minutes before the end), so that many processes spread out.

    Args:
        refresh: Returns a new value; may be slow and may raise. Gets the arguments of
            :meth:`get` of the caller that refreshes.
        expires_at: Returns when a value expires (aware), or ``None`` for never.

    Keyword Args:
        value: An initial value.
        clock: Returns the current time, aware.

    Example:
        >>> numbers = iter(range(3))
        >>> refreshing = Refreshing(lambda: next(numbers), lambda value: None)
        >>> refreshing.get(), refreshing.get()
        (0, 0)
        >>> refreshing.discard(0)
        >>> refreshing.get()
        1
    """

    def __init__(
        self,
        refresh: Callable[..., T],
        expires_at: Callable[[T], datetime | None],
        *,
        value: T | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._refresh = refresh
        self._expires_at = expires_at
        self._clock = clock
        self._lock = threading.Lock()
        self._held = None if value is None else self._schedule(value)
        self._pending: Future[T] | None = None

    def get(self, *given: Any) -> T:
        """Return a value that is good now, refreshed first if that is due.

        Raises:
            Exception: What the refresh raised, if there is no good value.
        """
        while True:
            now = self._clock()
            with self._lock:
                held = self._held
                if held is not None and now < held.refresh_at:
                    return held.value
                good = held if held is not None and now < held.unusable_at else None
                pending, mine = self._pending, False
                if pending is None:
                    pending = self._pending = Future()
                    mine = True
                elif good is not None:
                    return good.value
            if mine:
                self._run(pending, good, given)
            try:
                return pending.result()
            except CancelledError:
                continue  # the refreshing thread was interrupted: another one takes over

    @property
    def held(self) -> T | None:
        """The current value, good or not, without a refresh."""
        held = self._held
        return None if held is None else held.value

    def discard(self, value: T) -> None:
        """Drop ``value`` if it is the current one: it was refused before its expiry."""
        with self._lock:
            if self._held is not None and self._held.value == value:
                self._held = None

    def _run(self, pending: Future[T], good: _Held[T] | None, given: tuple[Any, ...]) -> None:
        """Refresh, and give the result to all who wait for ``pending``."""
        held: _Held[T] | None = None
        failure: Exception | None = None
        try:
            held = self._schedule(self._refresh(*given))
        except Exception as error:  # noqa: BLE001 - those who wait get it, or the old value
            failure = error
        finally:
            with self._lock:
                self._pending = None
                if failure is not None and good is not None and self._held is good:
                    held = self._postponed(good)  # unless it was discarded in the meantime
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
        life = max(expires_at - self._clock(), timedelta(0))
        early = min(life / 5, _ADVISORY) * random.uniform(0.5, 1)  # noqa: S311 - spreads load
        return _Held(value, expires_at - early, expires_at - min(life * 0.05, _MANDATORY))

    def _postponed(self, good: _Held[T]) -> _Held[T]:
        """Keep a good value after a failed early refresh, and try again later."""
        now = self._clock()
        return _Held(good.value, now + (good.unusable_at - now) / 4, good.unusable_at)
