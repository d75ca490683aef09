"""Worker side: a plugin that receives credentials for the worker's process.

It holds no secret, so the scheduler may keep it for workers that join later. Credentials come
from the scheduler, at startup and whenever the client announces new ones. A refused one is
reported by an event that holds its number only.
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
    """Holds the pushed values of one worker.

    Args:
        name: Name of the plugin, of the announcement handler, of the event topic, and of the
            entry in the scheduler's metadata.

    Keyword Args:
        api: URL of the credential's API, if any.
        s3: Whether AWS credentials are shared.
        variables: The client's API and store settings, as environment variables.
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
        """Fetch the credentials before the worker's first task."""
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
        worker.handlers[self.name] = self.fetch
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
        held = None if api is None else api.held
        for purpose, value in self._values.items():
            STATE.remove_pushed(purpose, value)
        if self._api is not None and isinstance(held, Password):
            forget_token(self._api, held)
        STATE.clear("fetcher")
        if worker.status in _AT_WORK:  # the plugin was removed; the worker is not closing
            worker.log_event(self.name, {"removed": True})
            with contextlib.suppress(OSError, TimeoutError):
                # The client may be gone, and cannot do it.
                await worker.scheduler.set_metadata(keys=[self.name], value=None)

    async def fetch(self) -> str:
        """Fetch the current values from the scheduler."""
        if self._worker is None:
            return "removed"
        stored: dict[str, Any] | None = await self._worker.scheduler.get_metadata(
            keys=[self.name], default=None
        )
        for purpose, message in (decoded(bytes(stored["encoded"])) if stored else {}).items():
            value = self._values.get(PUSHED if purpose == S3 else self._api_key)
            if value is not None:
                value.put(message.number, message.value, last=message.last)
        return "OK"

    @property
    def _api_key(self) -> Hashable:
        return "api", origin(self._api or "")


class _Report:
    """Reports a refused value to the client by an event; callable from any thread."""

    def __init__(self, worker: Worker, topic: str, purpose: str) -> None:
        self._worker, self._topic, self._purpose = worker, topic, purpose

    def __call__(self, number: int) -> None:
        report = {"worker": self._worker.address, "purpose": self._purpose, "refused": number}
        self._worker.log_event(self._topic, report)
