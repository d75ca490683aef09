"""Worker side: a plugin that receives credentials for the worker's process.

It holds no secret, so the scheduler may keep it for workers that join later. Credentials come
from the scheduler, at startup and whenever the client announces new ones. A refused one is
reported by an event that holds its number only.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from distributed import Status, WorkerPlugin

from constellr_stac._process import STATE
from constellr_stac._pushed import Owner, Pushed, PushedItems, PushedValue
from constellr_stac.auth.credentials import Password
from constellr_stac.auth.token import forget_token
from constellr_stac.config import origin
from constellr_stac.signing.aws_credentials import PUSHED

from .messages import API, S3, decoded, decoded_items

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from distributed import Worker

__all__ = ["CredentialPlugin", "optional"]

_log = logging.getLogger(__name__)

_AT_WORK = (Status.running, Status.paused)


@dataclass(eq=False, repr=False)
class CredentialPlugin(WorkerPlugin):
    """Holds the pushed values of one worker."""

    name: str
    """Name of the plugin, of the handler of messages, of the event topic, and of the entry in the
    scheduler's metadata."""
    _: KW_ONLY
    api: str | None
    """URL of the credential's API, if any."""
    s3: bool
    """Whether AWS credentials are shared."""
    variables: Mapping[str, str]
    """The client's API and store settings, as environment variables."""
    owner: Owner
    """Whose credentials they are."""
    renews: bool
    """Whether the client renews the URLs of items."""
    _worker: Worker | None = field(default=None, init=False)
    _items: PushedItems | None = field(default=None, init=False)
    _values: dict[Hashable, Pushed] = field(default_factory=dict, init=False)

    async def setup(self, worker: Worker) -> None:
        """Fetch the credentials before the worker's first task."""
        self._worker = worker
        for name, setting in self.variables.items():
            self._values["variable", name] = pushed = PushedValue[str](lambda _number: None)
            pushed.put(1, setting)
        if self.api is not None:
            self._values[self._api_key] = self._value(API)
        if self.s3:
            self._values[PUSHED] = self._value(S3)
        if self.renews:
            self._items = PushedItems(
                lambda number, names: self._report(number=number, items=names), owner=self.owner
            )
            self._values["items", self.api] = self._items
        for purpose, value in self._values.items():
            STATE.add_pushed(purpose, value)
        worker.handlers[self.name] = self.receive
        try:
            await self.fetch()
        except (OSError, TimeoutError) as error:
            # The first task that needs a credential requests it.
            _log.warning(
                "Fetching credentials from the scheduler failed (%s).", type(error).__name__
            )

    async def teardown(self, worker: Worker) -> None:
        """Remove the credentials from this process, with their tokens and connections."""
        worker.handlers.pop(self.name, None)
        self._worker = None
        api = self._values.get(self._api_key)
        held = api.held if isinstance(api, PushedValue) else None
        for purpose, value in self._values.items():
            STATE.remove_pushed(purpose, value)
        if self.api is not None and isinstance(held, Password):
            forget_token(self.api, held)
        STATE.clear("fetcher")
        if worker.status in _AT_WORK:  # the plugin was removed; the worker is not closing
            worker.log_event(self.name, {"removed": True})
            with contextlib.suppress(OSError, TimeoutError):
                # The client may be gone, and cannot do it.
                await worker.scheduler.set_metadata(keys=[self.name], value=None)

    async def receive(self, number: int = 0, answer: dict[str, Any] | None = None) -> str:
        """Take the URLs of items, or fetch the values that were announced."""
        if answer is None:
            return await self.fetch()
        if self._items is not None:
            self._items.put(number, decoded_items(bytes(answer["encoded"])))
        return "OK"

    async def fetch(self) -> str:
        """Fetch the current values from the scheduler."""
        if self._worker is None:
            return "removed"
        stored: dict[str, Any] | None = await self._worker.scheduler.get_metadata(
            keys=[self.name], default=None
        )
        for purpose, message in (decoded(bytes(stored["encoded"])) if stored else {}).items():
            value = self._values.get(PUSHED if purpose == S3 else self._api_key)
            if isinstance(value, PushedValue):
                value.put(message.number, message.value, last=message.last)
        if self._items is not None:
            self._items.put(0, {})  # the client is awake
        return "OK"

    @property
    def _api_key(self) -> Hashable:
        return "api", origin(self.api or "")

    def _value(self, purpose: str) -> PushedValue[Any]:
        return PushedValue(
            lambda number: self._report(purpose=purpose, refused=number), owner=self.owner
        )

    def _report(self, **what: Any) -> None:
        """Send the client a request or a refusal as an event; callable from any thread."""
        if self._worker is not None:
            self._worker.log_event(self.name, {"worker": self._worker.address, **what})


def optional(plugin: CredentialPlugin) -> Any:
    """Return a plugin that does nothing on a worker where ``plugin`` cannot be unpickled.

    Its class is local, so it is pickled by value: a worker without this package could otherwise not
    start, and not be registered with the others.
    """
    name, content = plugin.name, pickle.dumps(plugin)

    class CredentialPluginLoader(WorkerPlugin):  # type: ignore[misc, unused-ignore]
        async def setup(self, worker: Any) -> None:
            import pickle

            try:
                self.loaded: Any = pickle.loads(content)  # noqa: S301 - ours
            except Exception as error:  # noqa: BLE001 - reported to the client
                problem = f"{type(error).__name__}: {error}"

                async def refuse(**_: Any) -> str:
                    return problem

                self.loaded = None
                worker.handlers[name] = refuse
            else:
                await self.loaded.setup(worker)

        async def teardown(self, worker: Any) -> None:
            if self.loaded is None:
                worker.handlers.pop(name, None)
            else:
                await self.loaded.teardown(worker)

    return CredentialPluginLoader()
