"""Threads that do jobs side by side, and that nobody has to wait for.

A thread that hangs on a silent server must not keep Ctrl-C from ending the program. These are
daemon threads, which begin no further job once they are told to stop; those of an executor would
be waited for when the interpreter exits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Crew"]

T = TypeVar("T")

_LOOK_UP = 0.1  # seconds; on Windows a signal does not end a wait


class Crew(Generic[T]):
    """Does jobs in some threads until there are none left, or one of them raises.

    Args:
        do: Does one job. What it raises ends all.
        jobs: The jobs, done in this order.
        size: How many at once.

    Keyword Args:
        stop: Set when no further job is to be begun; jobs may look at it, too.
    """

    def __init__(
        self,
        do: Callable[[T], None],
        jobs: Iterable[T],
        size: int,
        *,
        stop: threading.Event,
    ) -> None:
        self._do = do
        self._jobs = deque(jobs)
        self._stop = stop
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._working = min(size, len(self._jobs))
        for number in range(self._working):
            name = f"constellr-download-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def wait(self, look: Callable[[], None]) -> None:
        """Wait until there is nothing left to do, and ``look`` now and then.

        Raises:
            BaseException: What a job has raised.
        """
        while self._working and not self._stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: not self._working, _LOOK_UP)
            look()
        if self._failure is not None:
            raise self._failure

    def leave(self, seconds: float) -> None:
        """Wait for the threads still at work, but no longer than so many seconds."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._working and time.monotonic() < deadline:
                self._changed.wait(_LOOK_UP)

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    job = self._jobs.popleft()
                except IndexError:
                    return
                self._do(job)
        except BaseException as error:  # noqa: BLE001 - it is raised where the crew is waited for
            with self._changed:
                self._failure = self._failure or error
            self._stop.set()
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()
