"""The client's side: what is lent, and a thread that replaces it before it ends.

The scheduler keeps the newest parcel, unopened, for the workers; each change is announced to
them. Workers report what was refused. Everything that is waited for here has a time limit.
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
_NONE_HOLDS = 30.0  # half of what workers take a no for
_PASSING = (APIConnectionError, RateLimitError, ServerError)
_UNREACHABLE = (OSError, TimeoutError, RuntimeError)  # the last: the client's loop has ended


class CredentialFeed:
    """One credential of this process, as it is lent.

    Args:
        look: Returns the credential of now, renewed where that is due.
        discard: Drops one that was refused, where there may be another.

    Keyword Args:
        none_holds: Seconds in which it does not look again after it found no other: all workers
            report the same refusal.

    Raises:
        ConstellrError: There is none.
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
        self.parcel = PushMessage(look(), 1)
        self.failures = 0
        self._passing = False
        self._none_until = 0.0

    def renewed(self) -> bool:
        """Look again, and say whether there is another credential than before."""
        try:
            value = self._look()
        except (ConstellrError, ValueError) as error:
            self.failures += 1
            self._passing = isinstance(error, _PASSING)
            trouble = str(error).partition("\n")[0]
            self.parcel = replace(self.parcel, trouble=trouble)
            return False
        self.failures, self._passing = 0, False
        if value == self.parcel.value:
            self.parcel = replace(self.parcel, trouble="")
            return False
        self.parcel = PushMessage(value, self.parcel.number + 1)
        self._none_until = 0.0  # that was said of another one
        return True

    def refused(self, number: int) -> None:
        """Get another credential, if the refused one is that of now; or say there is none.

        While the API is out of reach nothing is said: the borrowers wait, and this side tries on.
        """
        if number == self.parcel.number and time.monotonic() >= self._none_until:
            if self._discard is not None:
                self._discard(self.parcel.value)
            if not self.renewed() and not self._passing:
                self.parcel = replace(self.parcel, last=number)
                self._none_until = time.monotonic() + self._none_holds

    @property
    def pause(self) -> float:
        """Seconds until it is worth looking again: a twentieth of what is left."""
        ends = getattr(self.parcel.value, "expires_at", None)
        left: float = _LONGEST_PAUSE if ends is None else (ends - utc_now()).total_seconds() / 20
        patience = (1 << min(self.failures, 5)) - 1
        return min(max(left, _SHORTEST_PAUSE, patience), _LONGEST_PAUSE)


class CredentialPusher:
    """Keeps the workers' credentials fresh, in a thread, while the client lives.

    Args:
        client: The cluster's.
        name: The name of the workers' plugin.
        offers: What is lent, by what it is for.
    """

    def __init__(self, client: Client, name: str, offers: Mapping[str, CredentialFeed]) -> None:
        self._client: Any = client  # whose types are known in part
        self._name = name
        self.offers = offers
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._told: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Leave the credentials with the scheduler, and keep them fresh from now on."""
        self._leave()
        self._told = self._numbers
        self._client.subscribe_topic(self._name, self._reported)
        self._thread.start()

    def stop(self) -> None:
        """Take the credentials back from the scheduler; harmless when done twice."""
        self._reports.put(None)
        if self._thread.is_alive():
            self._thread.join(_CALL_SECONDS)
        else:
            self._take_back()  # the thread never began

    def _reported(self, event: tuple[float, dict[str, Any]]) -> None:
        """Hand a worker's report on; this runs on the client's event loop."""
        self._reports.put(event[1])

    def _run(self) -> None:
        while True:
            reports = self._next_reports()
            if self._ended:
                return
            if any(report is None or "removed" in report for report in reports):
                self._take_back()
                return
            try:
                self._deal_with([report for report in reports if report is not None])
            except Exception as error:  # noqa: BLE001 - what fails now may work in a minute
                if self._ended:
                    return
                _log.warning("The workers were not reached (%s).", type(error).__name__)

    @property
    def _ended(self) -> bool:
        return self._client.status in ("closing", "closed")

    @property
    def _numbers(self) -> dict[str, int]:
        return {purpose: offer.parcel.number for purpose, offer in self.offers.items()}

    def _next_reports(self) -> list[dict[str, Any] | None]:
        """Wait for reports, until it is time to look after the credentials again."""
        reports = []
        with contextlib.suppress(queue.Empty):
            reports.append(self._reports.get(timeout=self._pause()))
            while True:
                reports.append(self._reports.get_nowait())
        return reports

    def _pause(self) -> float:
        return min(offer.pause for offer in self.offers.values())

    def _deal_with(self, reports: Collection[dict[str, Any]]) -> None:
        for report in reports:
            self.offers[report["purpose"]].refused(report["refused"])
        for purpose in self.offers.keys() - {report["purpose"] for report in reports}:
            self.offers[purpose].renewed()
        numbers = self._numbers
        if numbers != self._told:
            self._leave()
            self._announce(None)
            self._told = numbers
        elif reports:
            self._leave()
            self._announce([report["worker"] for report in reports])

    def _leave(self) -> None:
        """Leave the credentials with the scheduler, as data that it does not open."""
        content = encoded({purpose: offer.parcel for purpose, offer in self.offers.items()})
        # In a dict, since a value by itself is not unpacked on the inproc transport.
        self._keep({"encoded": Serialize(content)})

    def _take_back(self) -> None:
        if self._ended:
            return
        with contextlib.suppress(*_UNREACHABLE, ValueError):
            self._client.unsubscribe_topic(self._name)
            self._keep(None)

    def _keep(self, value: dict[str, Any] | None) -> None:
        self._call(self._client.scheduler.set_metadata, keys=[self._name], value=value)

    def _announce(self, workers: list[str] | None) -> None:
        """Tell workers, by default all, that there is something new for them."""
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
