"""The API and an object store on this machine, with real scenes, for demos, tests and CI.

Importing it is light: Starlette, uvicorn, ``cql2`` and botocore (the extra ``sandbox``) are
imported when a :class:`Sandbox` is created.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from constellr_stac.errors import MissingExtraError

from .exchange import Exchange
from .faults import Fault
from .objects import StoredObject
from .options import BUCKET, REGION, Options

if TYPE_CHECKING:
    import os
    from datetime import date

    from .accounts import Account

__all__ = ["Exchange", "Fault", "Sandbox"]

_EXTRA_PACKAGES = {"botocore", "cql2", "python_multipart", "starlette", "uvicorn"}


class Sandbox:
    """The documented API and an S3 store that verifies signatures, on free loopback ports.

    Serves 15 real scenes with the documented rules, states, errors and pagination. Use it as a
    context manager, or call :meth:`start` and :meth:`stop`.

    Args:
        scenes: A folder of scene folders, each named like its item and holding its files;
            ``None`` serves the scenes shipped with the package.

    Keyword Args:
        token_lifetime: Lifetime of tokens from ``/token``.
        url_lifetime: Lifetime of pre-signed URLs. S3 counts whole seconds from the whole second of
            signing, so ``timedelta(seconds=2)`` leaves between one and two.
        session_lifetime: Lifetime of the AWS credentials in :attr:`aws`; ``None`` is 12 hours.
        presigned: STAC answers carry pre-signed URLs, new ones each time, instead of ``s3://``.
        api_key_mode: The account is in two workspaces: passwords and tokens are refused, its
            API key is accepted.
        newer: Use the newer API (``geojson``, 25 orders a batch, ``DELETE`` and more).
        latency: Seconds added to each request to either server.
        delivery: ``None``: every scene is in the catalogue, and orders keep their state. Else the
            catalogue starts empty, scenes that match an order arrive one by one within this time,
            and then the order is closed.
        today: The date for the API's order rules; ``None`` is the current date (UTC). The client
            always checks against the current date: place orders with ``check=False``.
        host: The address to listen on.

    Raises:
        MissingExtraError: The extra ``sandbox`` is not installed.
        TypeError: A lifetime is not a timedelta, or ``today`` is not a date.
        ValueError: ``scenes`` holds no scene, or one without a time or place; or ``latency`` is
            not a number of seconds.

    Example:
        >>> import requests
        >>> with Sandbox() as sandbox:
        ...     form = {"username": sandbox.username, "password": sandbox.password}
        ...     answer = requests.post(sandbox.api_url + "/token", data=form, timeout=5)
        >>> answer.status_code, list(answer.json())
        (200, ['access_token'])
    """

    region: str = REGION
    """The region for signatures."""
    bucket: str = BUCKET
    """The bucket of all objects."""

    def __init__(
        self,
        scenes: str | os.PathLike[str] | None = None,
        *,
        token_lifetime: timedelta = timedelta(hours=24),
        url_lifetime: timedelta = timedelta(hours=1),
        session_lifetime: timedelta | None = None,
        presigned: bool = False,
        api_key_mode: bool = False,
        newer: bool = False,
        latency: float = 0.0,
        delivery: timedelta | None = None,
        today: date | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        try:
            from .running import Running
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _EXTRA_PACKAGES:
                raise
            raise MissingExtraError("The sandbox", "sandbox") from error
        options = Options(
            token_lifetime=token_lifetime,
            url_lifetime=url_lifetime,
            session_lifetime=session_lifetime,
            presigned=presigned,
            api_key_mode=api_key_mode,
            newer=newer,
            latency=latency,
            delivery=delivery,
            today=today,
        )
        self._running = Running(None if scenes is None else Path(scenes), options, host)

    def start(self) -> Self:
        """Start both servers; raises :class:`RuntimeError` if they are running."""
        if self._running.api_url:
            raise RuntimeError("This sandbox is already running.")
        self._running.start()
        return self

    def stop(self) -> None:
        """Stop both servers and close all connections; may be called twice."""
        self._running.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        url = self._running.api_url
        return f"<Sandbox api_url={url!r}>" if url else "<Sandbox stopped>"

    @property
    def api_url(self) -> str:
        """The API's base URL; ``/stac`` is below it."""
        return self._url(self._running.api_url)

    @property
    def s3_url(self) -> str:
        """The object store's endpoint, for path-style addressing."""
        return self._url(self._running.s3_url)

    @property
    def accounts(self) -> dict[str, Account]:
        """Accounts by role.

        The credentials below belong to the ``owner``. The ``viewer`` may log in but access
        nothing (403), ``unconfirmed`` and ``reset_required`` may not log in (401), and ``legacy``
        is always in one workspace, also with ``api_key_mode``.
        """
        return dict(self._running.accounts.by_role)

    @property
    def username(self) -> str:
        """The owner's user name."""
        return self.accounts["owner"].username

    @property
    def password(self) -> str:
        """The owner's password, with characters that need encoding."""
        return self.accounts["owner"].password

    @property
    def api_key(self) -> str:
        """The owner's API key."""
        return self.api_key_of("owner")

    @property
    def aws(self) -> dict[str, Any]:
        """Temporary AWS credentials for the store.

        ``access_key_id``, ``secret_access_key``, ``token`` and ``expires_at`` (UTC). They are
        replaced after half of their lifetime, so read this once to get matching parts.
        """
        return asdict(self._running.keyring.current())

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point clients to this sandbox."""
        aws = self.aws
        if self._running.options.api_key_mode:
            credential = {"CONSTELLR_API_KEY": self.api_key}
        else:
            credential = {"CONSTELLR_USERNAME": self.username, "CONSTELLR_PASSWORD": self.password}
        return {
            "CONSTELLR_API_URL": self.api_url,
            **credential,
            "AWS_ACCESS_KEY_ID": aws["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": aws["secret_access_key"],
            "AWS_SESSION_TOKEN": aws["token"],
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.s3_url,
        }

    @property
    def requests(self) -> list[Exchange]:
        """Every request to either server so far, in order of arrival."""
        return list(self._running.request_log)

    def clear_requests(self) -> None:
        """Clear the request log."""
        self._running.request_log.clear()

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order in the API's format, oldest first."""
        return copy.deepcopy(self._running.order_store.list_orders())

    @property
    def areas(self) -> list[dict[str, Any]]:
        """Every area of interest in the API's format, oldest first."""
        return copy.deepcopy(self._running.order_store.list_areas())

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items in the catalogue, with their ``s3://`` hrefs."""
        self._running.order_store.deliver()
        entries = list(self._running.catalogue.items.values())
        return [copy.deepcopy(entry.item) for entry in entries]

    def add_item(self, item: dict[str, Any]) -> None:
        """Add a STAC item, replacing one of the same id and collection.

        Its hrefs are served unchanged; with ``presigned``, those in :attr:`bucket` are signed.

        Raises:
            ValueError: It has no id, no collection or no properties.
        """
        self._running.catalogue.add_item(item)

    def remove_item(self, collection: str, item_id: str) -> None:
        """Remove an item.

        Raises:
            KeyError: There is no such item.
        """
        del self._running.catalogue.items[collection, item_id]

    def put(self, key: str, content: bytes) -> str:
        """Store an object, replacing one of the same key, and return its ``s3://`` href."""
        now = self._running.clock.now()
        self._running.catalogue.objects[key] = StoredObject.from_bytes(key, content, now)
        return f"s3://{BUCKET}/{key}"

    def delete(self, key: str) -> None:
        """Delete an object.

        Raises:
            KeyError: There is no such object.
        """
        del self._running.catalogue.objects[key]

    def fail(self, fault: Fault) -> None:
        """Inject a fault; the oldest matching one applies first."""
        self._running.faults.add(fault)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._running.faults.clear()

    def advance(self, by: timedelta) -> None:
        """Advance the servers' clock, for expiry and deliveries."""
        self._running.clock.advance(by)

    def revoke_tokens(self) -> None:
        """Revoke every token issued so far."""
        self._running.accounts.revoke_tokens()

    def api_key_of(self, role: str) -> str:
        """Return the API key of the account with this role."""
        return self._running.accounts.api_key(role)

    def revoke_api_key(self) -> str:
        """Revoke the owner's API key and return a new one."""
        return self._running.accounts.replace_api_key("owner")

    def rotate_aws(self) -> dict[str, Any]:
        """Expire all temporary credentials and return new ones, as :attr:`aws`."""
        self._running.keyring.rotate()
        return self.aws

    def settle_order(self, order_id: str, state: str, *, reason: str | None = None) -> None:
        """Fix the state of an order, such as ``rejected`` with a reason.

        Raises:
            KeyError: There is no such order.
        """
        self._running.order_store.settle(order_id, state, reason)

    def _url(self, url: str) -> str:
        if not url:
            raise RuntimeError("This sandbox is not running; use it in a with statement.")
        return url
