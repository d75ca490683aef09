"""Daemon threads that process jobs side by side.

An executor's threads are joined when the interpreter exits, so one that hangs on a silent server
would keep Ctrl-C from ending the program.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["WorkerThreads"]

T = TypeVar("T")

_POLL = 0.1  # seconds; on Windows a signal does not interrupt a wait


class WorkerThreads(Generic[T]):
    """Processes jobs in threads until none is left or one raises.

    Args:
        run: Processes one job; an exception stops all threads.
        jobs: The jobs, in order.
        count: Number of threads.

    Keyword Args:
        stop: When set, no further job is started; jobs may check it too.
    """

    def __init__(
        self,
        run: Callable[[T], None],
        jobs: Iterable[T],
        count: int,
        *,
        stop: threading.Event,
    ) -> None:
        self._run = run
        self._jobs = deque(jobs)
        self._stop = stop
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._running = min(count, len(self._jobs))
        for number in range(self._running):
            name = f"constellr-download-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def wait(self, on_poll: Callable[[], None]) -> None:
        """Wait until all jobs are done, calling ``on_poll`` regularly.

        Raises:
            BaseException: The first exception of a job.
        """
        while self._running and not self._stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: not self._running, _POLL)
            on_poll()
        if self._failure is not None:
            raise self._failure

    def join(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for running jobs.

        Not with ``Thread.join``: after a Ctrl-C during it, Python 3.11 takes a thread for ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._running, timeout)

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    job = self._jobs.popleft()
                except IndexError:
                    return
                self._run(job)
        except BaseException as error:  # noqa: BLE001 - raised in wait()
            with self._changed:
                self._failure = self._failure or error
            self._stop.set()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
