"""Client side: a thread that pushes credentials and replaces them before they expire.

The scheduler stores the newest message for the workers; each change is announced to them.
Workers report refused values. Every call here has a time limit.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed.protocol.serialize import Serialize

from constellr_stac._refresh import utc_now
from constellr_stac.errors import APIConnectionError, ConstellrError, RateLimitError, ServerError

from .messages import PushMessage, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from distributed import Client

    from .messages import Pushable

__all__ = ["CredentialFeed", "CredentialPusher"]

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_CALL_SECONDS = 15.0
_NONE_HOLDS = 30.0  # half of what workers cache it for
_TRANSIENT = (APIConnectionError, RateLimitError, ServerError)
_UNREACHABLE = (OSError, TimeoutError, RuntimeError)  # RuntimeError: the client's loop is closed


class CredentialFeed:
    """One credential of this process, as pushed to the workers.

    Args:
        look: Returns the current credential, renewed if due.
        discard: Drops a refused one, if there may be another.

    Keyword Args:
        none_holds: Seconds without another attempt after a failed renewal, since all workers
            report the same refusal.

    Raises:
        ConstellrError: There is no credential.
    """

    def __init__(
        self,
        look: Callable[[], Pushable],
        discard: Callable[[Any], object] | None = None,
        *,
        none_holds: float = _NONE_HOLDS,
    ) -> None:
        self._look = look
        self._discard = discard
        self._none_holds = none_holds
        self.message = PushMessage(look(), 1)
        self.failures = 0
        self._transient = False
        self._none_until = 0.0

    def renewed(self) -> bool:
        """Fetch the credential again; return whether it changed."""
        try:
            value = self._look()
        except (ConstellrError, ValueError) as error:
            self.failures += 1
            self._transient = isinstance(error, _TRANSIENT)
            trouble = str(error).partition("\n")[0]
            self.message = replace(self.message, trouble=trouble)
            return False
        self.failures, self._transient = 0, False
        if value == self.message.value:
            self.message = replace(self.message, trouble="")
            return False
        self.message = PushMessage(value, self.message.number + 1)
        self._none_until = 0.0  # applied to the previous value
        return True

    def refused(self, number: int) -> None:
        """Replace the value if the refused one is current; record if there is no other.

        Nothing is recorded while the API is unreachable: workers wait, and the client retries.
        """
        if number == self.message.number and time.monotonic() >= self._none_until:
            if self._discard is not None:
                self._discard(self.message.value)
            if not self.renewed() and not self._transient:
                self.message = replace(self.message, last=number)
                self._none_until = time.monotonic() + self._none_holds

    @property
    def pause(self) -> float:
        """Seconds until the next renewal check: a twentieth of the remaining lifetime."""
        expires_at = getattr(self.message.value, "expires_at", None)
        left: float = (
            _LONGEST_PAUSE if expires_at is None else (expires_at - utc_now()).total_seconds() / 20
        )
        backoff = (1 << min(self.failures, 5)) - 1
        return min(max(left, _SHORTEST_PAUSE, backoff), _LONGEST_PAUSE)


class CredentialPusher:
    """Keep the workers' credentials fresh, in a thread, while the client lives.

    Args:
        client: The dask client.
        name: Name of the worker plugin.
        feeds: Credentials by purpose.
    """

    def __init__(self, client: Client, name: str, feeds: Mapping[str, CredentialFeed]) -> None:
        self._client: Any = client  # only partly typed
        self._name = name
        self.feeds = feeds
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._announced: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Store the credentials at the scheduler and start the thread."""
        self._store()
        self._announced = self._numbers
        self._client.subscribe_topic(self._name, self._reported)
        self._thread.start()

    def stop(self) -> None:
        """Remove the credentials from the scheduler; may be called twice."""
        self._reports.put(None)
        if self._thread.is_alive():
            self._thread.join(_CALL_SECONDS)
        else:
            self._remove()  # the thread never started

    def _reported(self, event: tuple[float, dict[str, Any]]) -> None:
        """Queue a worker's report; runs on the client's event loop."""
        self._reports.put(event[1])

    def _run(self) -> None:
        while True:
            reports = self._next_reports()
            if self._client_closed:
                return
            if any(report is None or "removed" in report for report in reports):
                self._remove()
                return
            try:
                self._handle([report for report in reports if report is not None])
            except Exception as error:  # noqa: BLE001 - retried
                if self._client_closed:
                    return
                _log.warning("Pushing credentials failed (%s); retrying.", type(error).__name__)

    @property
    def _client_closed(self) -> bool:
        return self._client.status in ("closing", "closed")

    @property
    def _numbers(self) -> dict[str, int]:
        return {purpose: feed.message.number for purpose, feed in self.feeds.items()}

    def _next_reports(self) -> list[dict[str, Any] | None]:
        """Wait for reports until the next renewal check is due."""
        reports = []
        with contextlib.suppress(queue.Empty):
            pause = min(feed.pause for feed in self.feeds.values())
            reports.append(self._reports.get(timeout=pause))
            while True:
                reports.append(self._reports.get_nowait())
        return reports

    def _handle(self, reports: Collection[dict[str, Any]]) -> None:
        for report in reports:
            self.feeds[report["purpose"]].refused(report["refused"])
        for purpose in self.feeds.keys() - {report["purpose"] for report in reports}:
            self.feeds[purpose].renewed()
        numbers = self._numbers
        if numbers != self._announced:
            self._store()
            self._announce(None)
            self._announced = numbers
        elif reports:
            self._store()
            self._announce([report["worker"] for report in reports])

    def _store(self) -> None:
        """Store the credentials at the scheduler as opaque data."""
        content = encoded({purpose: feed.message for purpose, feed in self.feeds.items()})
        # In a dict: the inproc transport does not unpack a bare value.
        self._set_metadata({"encoded": Serialize(content)})

    def _remove(self) -> None:
        if self._client_closed:
            return
        with contextlib.suppress(*_UNREACHABLE, ValueError):
            self._client.unsubscribe_topic(self._name)
            self._set_metadata(None)

    def _set_metadata(self, value: dict[str, Any] | None) -> None:
        self._call(self._client.scheduler.set_metadata, keys=[self._name], value=value)

    def _announce(self, workers: list[str] | None) -> None:
        """Notify workers, by default all, of new values."""
        self._call(
            self._client.scheduler.broadcast,
            msg={"op": self._name},
            workers=None if workers is None else list(dict.fromkeys(workers)),
            on_error="ignore",
        )

    def _call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        return self._client.sync(
            function, asynchronous=False, callback_timeout=_CALL_SECONDS, **arguments
        )
