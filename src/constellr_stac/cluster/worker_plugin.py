"""The worker's side: a plugin that borrows credentials for the worker's process.

It holds no secret, so that the scheduler may keep it for workers that come later. The
credentials come from the scheduler when the worker starts and whenever the client says that
there are new ones. One that is refused is reported as an event: its number, and nothing else.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from distributed import Status, WorkerPlugin

from constellr_stac import config as settings
from constellr_stac._pushed import PushedValue
from constellr_stac.auth.credentials import PUSHED as PUSHED_API
from constellr_stac.auth.credentials import Credential, Password
from constellr_stac.auth.token import forget_token
from constellr_stac.reading.prefetch import forget_fetchers
from constellr_stac.signing.aws_credentials import PURPOSE, StorageCredentials
from constellr_stac.signing.aws_credentials import PUSHED as PUSHED_S3

from .messages import API, S3, decoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Worker

__all__ = ["CredentialPlugin"]

_log = logging.getLogger(__name__)

_AT_WORK = (Status.running, Status.paused)


class CredentialPlugin(WorkerPlugin):
    """Keeps the loans of one worker.

    Args:
        name: The plugin's name; also that of the message that says there are new values, of
            the topic of its events, and of what the scheduler keeps.

    Keyword Args:
        api: The API that there is a credential for, if there is one.
        s3: Whether there are AWS credentials.
        where: Where the client finds the API and the store, as variables.
    """

    def __init__(self, name: str, *, api: str | None, s3: bool, where: Mapping[str, str]) -> None:
        self.name = name
        self._api = api
        self._s3 = s3
        self._where = where
        self._where_loans: dict[str, PushedValue[str]] = {}
        self._worker: Worker | None = None
        self._api_loan: PushedValue[Credential] | None = None
        self._s3_loan: PushedValue[StorageCredentials] | None = None

    async def setup(self, worker: Worker) -> None:
        """Borrow, before the worker gets its first task."""
        self._worker = worker
        for name, value in self._where.items():
            loan = self._where_loans[name] = PushedValue[str](lambda _number: None)
            loan.put(1, value)
            settings.PUSHED.add(name, loan)
        if self._api is not None:
            self._api_loan = PushedValue(_Report(worker, self.name, API))
            PUSHED_API.add(settings.origin(self._api), self._api_loan)
        if self._s3:
            self._s3_loan = PushedValue(_Report(worker, self.name, S3))
            PUSHED_S3.add(PURPOSE, self._s3_loan)
        worker.handlers[self.name] = self.look
        try:
            await self.look()
        except (OSError, TimeoutError) as error:
            # The first task that needs a credential asks the client.
            _log.warning("The scheduler gave no credentials (%s).", type(error).__name__)

    async def teardown(self, worker: Worker) -> None:
        """Take the credentials off this process, and what was made with them."""
        worker.handlers.pop(self.name, None)
        self._worker = None
        for name, loan in self._where_loans.items():
            settings.PUSHED.remove(name, loan)
        if self._api is not None and self._api_loan is not None:
            held = self._api_loan.held
            PUSHED_API.remove(settings.origin(self._api), self._api_loan)
            if isinstance(held, Password):
                forget_token(self._api, held)
        if self._s3_loan is not None:
            PUSHED_S3.remove(PURPOSE, self._s3_loan)
        forget_fetchers()
        if worker.status in _AT_WORK:  # so it is the plugin that goes, not the worker
            worker.log_event(self.name, {"removed": True})
            with contextlib.suppress(OSError, TimeoutError):
                # The client may be gone, and with it the one who would do this.
                await worker.scheduler.set_metadata(keys=[self.name], value=None)

    async def look(self) -> str:
        """Take what the scheduler keeps for its workers now."""
        if self._worker is None:
            return "gone"
        kept: dict[str, Any] | None = await self._worker.scheduler.get_metadata(
            keys=[self.name], default=None
        )
        parcels = decoded(bytes(kept["encoded"])) if kept else {}
        for parcel in parcels.values():
            if isinstance(parcel.value, StorageCredentials):
                loan: Any = self._s3_loan
            else:
                loan = self._api_loan
            if loan is not None:
                loan.put(parcel.number, parcel.value, last=parcel.last)
        return "OK"


class _Report:
    """Tells the client which value was refused: an event, from any thread."""

    def __init__(self, worker: Worker, topic: str, purpose: str) -> None:
        self._worker, self._topic, self._purpose = worker, topic, purpose

    def __call__(self, number: int) -> None:
        report = {"worker": self._worker.address, "purpose": self._purpose, "refused": number}
        self._worker.log_event(self._topic, report)
