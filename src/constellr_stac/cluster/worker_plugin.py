"""The worker's side: a plugin that receives credentials for the worker's process.

It holds no secret, so that the scheduler may keep it for workers that join later. The credentials
come from the scheduler, when the worker starts and whenever the client announces new ones. A
refused one is reported by an event that holds its number only.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from distributed import Status, WorkerPlugin

from constellr_stac._process import STATE
from constellr_stac._pushed import PushedValue
from constellr_stac.auth.credentials import Password
from constellr_stac.auth.token import forget_token
from constellr_stac.config import origin
from constellr_stac.signing.aws_credentials import PUSHED

from .messages import API, S3, decoded

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from distributed import Worker

__all__ = ["CredentialPlugin"]

_log = logging.getLogger(__name__)

_AT_WORK = (Status.running, Status.paused)


class CredentialPlugin(WorkerPlugin):
    """Keeps the pushed values of one worker.

    Args:
        name: The plugin's name; also that of the announcement of new values, of the topic of its
            events, and of the entry in the scheduler's metadata.

    Keyword Args:
        api: The API of the credential, if there is one.
        s3: Whether there are AWS credentials.
        variables: Where the client finds the API and the store, as environment variables.
    """

    def __init__(
        self, name: str, *, api: str | None, s3: bool, variables: Mapping[str, str]
    ) -> None:
        self.name = name
        self._api = api
        self._s3 = s3
        self._variables = variables
        self._worker: Worker | None = None
        self._values: dict[Hashable, PushedValue[Any]] = {}

    async def setup(self, worker: Worker) -> None:
        """Receive the credentials before the worker gets its first task."""
        self._worker = worker
        for name, setting in self._variables.items():
            self._values["variable", name] = pushed = PushedValue[str](lambda _number: None)
            pushed.put(1, setting)
        if self._api is not None:
            self._values[self._api_key] = PushedValue(_Report(worker, self.name, API))
        if self._s3:
            self._values[PUSHED] = PushedValue(_Report(worker, self.name, S3))
        for purpose, value in self._values.items():
            STATE.add_pushed(purpose, value)
        worker.handlers[self.name] = self.look
        try:
            await self.look()
        except (OSError, TimeoutError) as error:
            # The first task that needs a credential asks the client.
            _log.warning("The scheduler gave no credentials (%s).", type(error).__name__)

    async def teardown(self, worker: Worker) -> None:
        """Remove the credentials from this process, and what was made with them."""
        worker.handlers.pop(self.name, None)
        self._worker = None
        api = self._values.get(self._api_key)
        held = None if api is None else api.held
        for purpose, value in self._values.items():
            STATE.remove_pushed(purpose, value)
        if self._api is not None and isinstance(held, Password):
            forget_token(self._api, held)
        STATE.clear("fetcher")
        if worker.status in _AT_WORK:  # the plugin is removed, not the worker closed
            worker.log_event(self.name, {"removed": True})
            with contextlib.suppress(OSError, TimeoutError):
                # The client may be gone, which would do this.
                await worker.scheduler.set_metadata(keys=[self.name], value=None)

    async def look(self) -> str:
        """Take the values that the scheduler has for its workers now."""
        if self._worker is None:
            return "gone"
        kept: dict[str, Any] | None = await self._worker.scheduler.get_metadata(
            keys=[self.name], default=None
        )
        for purpose, message in (decoded(bytes(kept["encoded"])) if kept else {}).items():
            value = self._values.get(PUSHED if purpose == S3 else self._api_key)
            if value is not None:
                value.put(message.number, message.value, last=message.last)
        return "OK"

    @property
    def _api_key(self) -> Hashable:
        return "api", origin(self._api or "")


class _Report:
    """Tells the client which value was refused, by an event; callable from any thread."""

    def __init__(self, worker: Worker, topic: str, purpose: str) -> None:
        self._worker, self._topic, self._purpose = worker, topic, purpose

    def __call__(self, number: int) -> None:
        report = {"worker": self._worker.address, "purpose": self._purpose, "refused": number}
        self._worker.log_event(self._topic, report)
