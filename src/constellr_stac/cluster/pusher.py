"""Client side: a thread that pushes credentials and replaces them before they expire.

The scheduler stores the newest message for the workers; each change is announced to them.
Workers report refused values, and request the URLs of items, which are collected and renewed with
one search for many. Every call here has a time limit.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

from distributed.protocol.serialize import Serialize

from constellr_stac.reading.renewal import Batches

from .messages import encoded, encoded_items

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from distributed import Client

    from constellr_stac.reading.renewal import ItemName, ItemRenewer

    from .feeds import CredentialFeed

__all__ = ["CredentialPusher"]

_log = logging.getLogger(__name__)

_CALL_SECONDS = 15.0
_UNREACHABLE = (OSError, TimeoutError, RuntimeError)  # RuntimeError: the client's loop is closed


class CredentialPusher:
    """Keep the workers' credentials fresh, in a thread, while the client lives.

    ``feeds`` are the credentials by purpose; ``items`` renews the URLs of items, if any.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        feeds: Mapping[str, CredentialFeed],
        items: ItemRenewer | None,
    ) -> None:
        self._client: Any = client  # only partly typed
        self._name = name
        self.feeds = feeds
        self._items = items
        self._wanted: Batches[tuple[str, int, ItemName]] = Batches(self._renew)
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
        report = event[1]
        if "items" not in report:
            self._reports.put(report)
            return
        names = [(collection, item) for collection, item in report["items"]]
        self._wanted.add((report["worker"], report["number"], name) for name in names)

    def _renew(self, wanted: list[tuple[str, int, ItemName]], failure: Exception | None) -> None:
        """Renew the items that workers want, and send each worker its own."""
        if failure is not None or self._items is None or self._client_closed:
            return  # workers do not wait for ever
        urls = self._items.all_of(dict.fromkeys(name for *_, name in wanted))
        requests: dict[tuple[str, int], dict[ItemName, Mapping[str, str]]] = {}
        for worker, number, name in wanted:
            requests.setdefault((worker, number), {})[name] = urls[name]
        with contextlib.suppress(*_UNREACHABLE, ValueError):
            for (worker, number), items in requests.items():
                answer = {"encoded": Serialize(encoded_items(items))}
                self._tell([worker], number=number, answer=answer)

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
            self.feeds[report["purpose"]].replace_refused(report["refused"])
        for purpose in self.feeds.keys() - {report["purpose"] for report in reports}:
            self.feeds[purpose].renewed()
        numbers = self._numbers
        if numbers != self._announced:
            self._store()
            self.announce()
            self._announced = numbers
        elif reports:
            self._store()
            self._tell([report["worker"] for report in reports])

    def _store(self) -> None:
        """Store the credentials at the scheduler as opaque data."""
        content = encoded({purpose: feed.message for purpose, feed in self.feeds.items()})
        # In a dict: the inproc transport does not unpack a bare value.
        metadata = {"encoded": Serialize(content)}
        self._call("set_metadata", keys=[self._name], value=metadata)

    def _remove(self) -> None:
        if self._client_closed:
            return
        with contextlib.suppress(*_UNREACHABLE, ValueError):
            self._client.unsubscribe_topic(self._name)
            self._call("set_metadata", keys=[self._name], value=None)

    def announce(self) -> dict[str, Any]:
        """Notify all workers of new values; return what each of them answers."""
        return self._tell(None)

    def _tell(self, workers: list[str] | None, **message: Any) -> dict[str, Any]:
        answers: dict[str, Any] = self._call(
            "broadcast",
            msg={"op": self._name, **message},
            workers=None if workers is None else list(dict.fromkeys(workers)),
            on_error="ignore",
        )
        return answers

    def _call(self, operation: str, **arguments: Any) -> Any:
        scheduler = self._client.scheduler
        if scheduler is None:
            raise RuntimeError("The dask client is closed.")
        return self._client.sync(
            getattr(scheduler, operation),
            asynchronous=False,
            callback_timeout=_CALL_SECONDS,
            **arguments,
        )
