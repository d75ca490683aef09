"""The API and an object store on this machine, with real scenes, for demos, tests and CI.

Only the public face lives here. Loading it is light; Starlette, uvicorn, ``cql2`` and
botocore (the extra ``sandbox``) are loaded when a :class:`Sandbox` is made.
"""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from constellr_stac.errors import MissingExtraError

from .faults import Fault
from .options import BUCKET, REGION, Options
from .request_log import Exchange

if TYPE_CHECKING:
    import os
    from datetime import date

    from .accounts import Account

__all__ = ["Exchange", "Fault", "Sandbox"]

_OF_THE_EXTRA = {"botocore", "cql2", "python_multipart", "starlette", "uvicorn"}


class Sandbox:
    """The documented API and an S3 that really checks signatures, on loopback ports of its own.

    The 15 scenes it serves are real; its rules, states, errors and pagination are those of the
    API's documentation, kept by code of its own. Use it as a context manager, or call
    :meth:`start` and :meth:`stop`.

    Args:
        scenes: A folder of scene folders, each named like its item and holding its files;
            ``None`` serves the scenes that come with the package.

    Keyword Args:
        token_lifetime: How long a token of ``/token`` is good for.
        url_lifetime: How long a pre-signed URL is good for. S3 counts whole seconds, from the
            whole second of signing: of ``timedelta(seconds=2)``, between one and two are left.
        session_lifetime: How long the AWS credentials in :attr:`aws` live; ``None`` is 12 hours.
        presigned: STAC answers carry pre-signed URLs, new ones each time, in place of ``s3://``.
        api_key_mode: The account is in two workspaces: passwords and tokens are refused, its
            API key is accepted.
        newer: Speak the newer form of the API (``geojson``, 25 orders a batch, ``DELETE`` and
            what else came).
        latency: Seconds that every request to either server waits; concurrent ones wait
            together.
        delivery: ``None``: every scene is in the catalogue from the start, and orders stay as
            placed. Else the catalogue starts empty, and the scenes that match an order arrive
            one by one within this time; then it is closed.
        today: The date that the rules for orders take as today; ``None`` is the real one (UTC),
            by which the client checks in any case: place orders with ``check=False``.
        host: The address to listen at.

    Raises:
        MissingExtraError: The extra ``sandbox`` is not installed.
        TypeError: A lifetime is no timedelta, or ``today`` no date.
        ValueError: ``scenes`` holds no scene, or one whose time or place nothing tells; or
            ``latency`` is no number of seconds.

    Example:
        >>> import requests
        >>> with Sandbox() as sandbox:
        ...     form = {"username": sandbox.username, "password": sandbox.password}
        ...     answer = requests.post(sandbox.api_url + "/token", data=form, timeout=5)
        >>> answer.status_code, list(answer.json())
        (200, ['access_token'])
    """

    region: str = REGION
    """The region in which URLs and requests have to be signed."""
    bucket: str = BUCKET
    """The bucket of every object."""

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
            if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
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
        self._started = False

    def start(self) -> Self:
        """Start both servers; they answer when this returns.

        Raises:
            RuntimeError: They run already.
        """
        if self._started:
            raise RuntimeError("This sandbox is running already.")
        self._running.start()
        self._started = True
        return self

    def stop(self) -> None:
        """Stop both servers: no thread, no socket and no connection is left. Twice is fine."""
        self._running.stop()
        self._started = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = f"api_url={self._running.api_url!r}" if self._started else "stopped"
        return f"<Sandbox {where}>"

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

        The credentials below are those of the ``owner``. The ``viewer`` may log in and nothing
        else (403), ``unconfirmed`` and ``reset_required`` may not log in (401), and ``legacy``
        is in one workspace even where ``api_key_mode`` puts the owner into two.
        """
        return dict(self._running.accounts.by_role)

    @property
    def username(self) -> str:
        """The owner's name."""
        return self.accounts["owner"].username

    @property
    def password(self) -> str:
        """The owner's password; it holds characters that encodings get wrong."""
        return self.accounts["owner"].password

    @property
    def api_key(self) -> str:
        """The owner's API key."""
        return self.api_key_of("owner")

    @property
    def aws(self) -> dict[str, Any]:
        """Temporary credentials for the store, as a token service gives them.

        ``access_key_id``, ``secret_access_key``, ``token`` and ``expires_at`` (UTC). New ones
        are given once half their life is over, so read it once where the parts have to fit.
        """
        keys = self._running.keyring.current()
        return {
            "access_key_id": keys.access_key_id,
            "secret_access_key": keys.secret_access_key,
            "token": keys.token,
            "expires_at": keys.expires_at,
        }

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which any client finds this sandbox."""
        aws = self.aws
        if self._running.options.api_key_mode:
            credential = {"CONSTELLR_API_KEY": self.api_key}
        else:
            credential = {
                "CONSTELLR_USERNAME": self.username,
                "CONSTELLR_PASSWORD": self.password,
            }
        return {
            "CONSTELLR_API_URL": self.api_url,
            **credential,
            "AWS_ACCESS_KEY_ID": aws["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": aws["secret_access_key"],
            "AWS_SESSION_TOKEN": aws["token"],
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.s3_url,
        }

    # What went over the wire, and what is held

    @property
    def requests(self) -> list[Exchange]:
        """Every request to either server so far, in order of arrival."""
        return self._running.ledger.exchanges()

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._running.ledger.clear()

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order on the books (the order ledger), as the API tells it, oldest first."""
        return copy.deepcopy(self._running.bookings.told_orders())

    @property
    def areas(self) -> list[dict[str, Any]]:
        """Every area of interest, as the API tells it, oldest first."""
        return copy.deepcopy(self._running.bookings.told_areas())

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items in the catalogue by now, with their ``s3://`` hrefs."""
        self._running.bookings.deliver()
        return [copy.deepcopy(held.item) for held in self._running.catalogue.items()]

    def add_item(self, item: dict[str, Any]) -> None:
        """Serve this STAC item too, in place of one of the same id and collection.

        Its hrefs are served as they are; with ``presigned`` those in :attr:`bucket` are signed.

        Raises:
            ValueError: It has no id, no collection or no properties.
        """
        self._running.catalogue.add_item(item)

    def remove_item(self, collection: str, item_id: str) -> None:
        """Take an item out of the catalogue.

        Raises:
            KeyError: There is none such.
        """
        self._running.catalogue.remove_item(collection, item_id)

    def put(self, key: str, content: bytes) -> str:
        """Store an object and return its ``s3://`` href; an older one of this key is replaced."""
        return self._running.catalogue.put(key, content)

    def delete(self, key: str) -> None:
        """Delete an object.

        Raises:
            KeyError: There is none such.
        """
        self._running.catalogue.delete(key)

    # What goes wrong, and when

    def fail(self, fault: Fault) -> None:
        """Let requests fail as planned; of several faults that fit, the oldest comes first."""
        self._running.faults.add(fault)

    def clear_faults(self) -> None:
        """Let everything pass from now on."""
        self._running.faults.clear()

    def advance(self, by: timedelta) -> None:
        """Put the servers' clock forward, for what expires or is delivered later."""
        self._running.clock.advance(by)

    def revoke_tokens(self) -> None:
        """Make every token issued so far worthless."""
        self._running.accounts.revoke_tokens()

    def api_key_of(self, role: str) -> str:
        """Return the API key of the account with this role."""
        return self._running.accounts.api_key(role)

    def revoke_api_key(self) -> str:
        """Revoke the owner's API key at once and return a new one."""
        return self._running.accounts.replace_api_key("owner")

    def rotate_aws(self) -> dict[str, Any]:
        """End all temporary credentials at once and return new ones, as :attr:`aws` does."""
        self._running.keyring.rotate()
        return self.aws

    def settle_order(self, order_id: str, state: str, *, reason: str | None = None) -> None:
        """Put an order into a state for good, such as ``rejected`` with a reason.

        Raises:
            KeyError: There is no such order.
        """
        self._running.bookings.settle(order_id, state, reason)

    def _url(self, url: str) -> str:
        if not self._started:
            raise RuntimeError("This sandbox is not running: use it in a with statement.")
        return url
