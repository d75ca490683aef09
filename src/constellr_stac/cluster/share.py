"""``share_credentials``: push credentials to the workers of a dask cluster."""

from __future__ import annotations

import contextlib
import os
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from constellr_stac.auth.credentials import ApiKey
from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.config import is_loopback, storage_settings
from constellr_stac.errors import (
    CredentialsNotSharedWarning,
    SigningError,
    UnencryptedClusterWarning,
    WorkerError,
)
from constellr_stac.signing.aws import CredentialSource
from constellr_stac.signing.signer import Signer

from .arguments import checked_client
from .messages import API, S3

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from distributed import Client

    from constellr_stac.auth.credentials import Credential, Token
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.aws import Explicit
    from constellr_stac.signing.aws_credentials import StorageCredentials

    from .pusher import CredentialFeed, CredentialPusher

__all__ = [
    "SharedCredentials",
    "share_credentials",
]

_GONE = ("closing", "closed")
_SECONDS_TO_REACH, _SECONDS_TO_TELL = 3, 15
_ENCRYPTED = {"tls", "wss", "inproc", "gateway"}  # dask-gateway's own protocol is TLS inside


class SharedCredentials:
    """Credentials shared with a cluster, until :meth:`close` or the end of a ``with``."""

    def __init__(
        self,
        client: Client,
        name: str,
        api: str | None,
        lent: tuple[str, ...],
        pusher: CredentialPusher,
    ) -> None:
        self.name = name
        """The name of the workers' plugin, for ``client.unregister_worker_plugin``."""
        self.api = api
        """The API of the credential, or ``None``."""
        self.lent = lent
        """What the workers have, as text."""
        self._client: Any = client  # whose types are known in part
        self._scheduler: str = cast("Any", client).scheduler.address
        self._pusher = pusher
        self._closed = False

    def close(self) -> None:
        """Remove the credentials from workers and scheduler; may be called twice.

        Workers that cannot be reached keep what they have until it expires. In asynchronous code:
        ``await asyncio.to_thread(shared.close)``.

        Raises:
            TypeError: This is the client's event loop, which cannot wait for itself.
        """
        if self._closed:
            return
        checked_client(self._client, "SharedCredentials.close")
        self._closed = True
        self._pusher.stop()
        if self._client.status not in _GONE:
            self._remove_from(self._client)
        elif not self._cluster_ended:
            with contextlib.suppress(OSError, TimeoutError), self._another_client() as client:
                client.set_metadata([self.name], None)
                self._remove_from(client)

    @property
    def _cluster_ended(self) -> bool:
        """Whether the cluster is known to be closed."""
        from distributed import Status

        return getattr(self._client.cluster, "status", None) == Status.closed

    def _remove_from(self, client: Any) -> None:
        try:
            client.unregister_worker_plugin(self.name)
        except (ValueError, KeyError):
            pass  # it was removed by its name before, or a worker never had it
        except (OSError, TimeoutError):
            # One worker cannot be reached: reach the others.
            message = {"op": "plugin-remove", "name": self.name}
            client.sync(
                client.scheduler.broadcast,
                asynchronous=False,
                callback_timeout=_SECONDS_TO_TELL,
                msg=message,
                on_error="ignore",
            )

    def _another_client(self) -> Any:
        """Return another client, since this one was closed before :meth:`close`."""
        from distributed import Client

        return Client(
            self._scheduler,
            security=self._client.security,
            timeout=_SECONDS_TO_REACH,
            set_as_default=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else ", ".join(self.lent)
        return f"<SharedCredentials {self.name}: {state}>"


def share_credentials(
    client: Client,
    auth: ConstellrAuth | Credential | Literal[False] | None = None,
    aws: Signer | Explicit | Literal[False] | None = None,
    *,
    send_credential: bool = False,
) -> SharedCredentials:
    """Share credentials with all workers of a dask cluster, also with those that join later.

    Workers get bearer tokens and temporary AWS session credentials, which this process replaces
    before they expire, as long as it lives; a password never leaves it. On a worker they take
    precedence over its own environment. No secret is in a graph, in a task, in a log, or in what
    the scheduler shows or dumps.

    Args:
        client: A :class:`distributed.Client`. In asynchronous code:
            ``await asyncio.to_thread(share_credentials, client)``.
        auth: Whose token it is: a :class:`ConstellrAuth`, or a credential; by default the
            credential that :func:`default_credential` finds here. ``False`` shares none.
        aws: AWS credentials for ``s3://`` hrefs: a :class:`Signer` that has them, or what its
            ``credentials=`` takes. By default what ``AWS_ACCESS_KEY_ID`` or ``AWS_PROFILE``
            name in this environment, if they are set and the credentials are temporary; a
            machine's own role is not shared unasked. ``False`` shares none.

    Keyword Args:
        send_credential: Send the password or API key itself, and AWS keys that do not expire. The
            workers then renew their tokens themselves, also when this process has ended. Whoever
            may use the scheduler can read them. An API key cannot be shared otherwise.

    Returns:
        An object to close, or to use in a ``with``, when the workers no longer need them.

    Raises:
        AuthenticationError: The password was refused.
        CredentialsNotFoundError: There is no credential for the API.
        SigningError: The AWS credentials asked for cannot be had.
        TypeError: ``client`` is not a client that can wait.
        ValueError: There is nothing to share, or only what needs ``send_credential=True``.
        WorkerError: The workers do not accept them.
        MissingExtraError: dask.distributed is not installed.

    Example:
        >>> import constellr_stac
        >>> with constellr_stac.share_credentials(client):  # doctest: +SKIP
        ...     constellr_stac.check_workers(client, items)
        ...     cube.to_zarr("cube.zarr")
    """
    waiting = checked_client(client, "share_credentials")
    from .pusher import CredentialPusher
    from .worker_plugin import CredentialPlugin

    _warn_if_unencrypted([waiting.scheduler.address, *waiting.scheduler_info()["workers"]])
    feeds: dict[str, CredentialFeed] = {}
    shared_names: list[str] = []
    api = None
    if auth is not False:
        own = as_auth(auth or None).own()
        api = own.base_url
        feeds[API] = _api_feed(own, send_credential=send_credential)
        shared_names.append(f"{type(feeds[API].message.value).__name__} for {api}")
    s3 = _s3_feed(aws, send_credential=send_credential)
    variables = {} if api is None else {"CONSTELLR_API_URL": api}
    if s3 is not None:
        feeds[S3] = s3
        shared_names.append("AWS credentials")
        store = aws.settings if isinstance(aws, Signer) else storage_settings()
        variables |= {"AWS_REGION": store.region, "AWS_ENDPOINT_URL_S3": store.endpoint or ""}
    if not feeds:
        raise ValueError("There is nothing to share: auth=False, and no AWS credentials.")
    name = f"constellr-credentials-{uuid.uuid4().hex[:8]}"
    pusher = CredentialPusher(client, name, feeds)
    shared = SharedCredentials(client, name, api, tuple(shared_names), pusher)
    try:
        pusher.start()
        waiting.register_plugin(
            CredentialPlugin(name, api=api, s3=S3 in feeds, variables=variables)
        )
    except BaseException as error:
        shared.close()
        if not isinstance(error, Exception):
            raise
        raise WorkerError(
            f"The cluster does not accept the credentials: {type(error).__name__}: {error}. "
            "constellr_stac.check_workers(client) says which workers lack what."
        ) from error
    return shared


def _warn_if_unencrypted(addresses: Iterable[str]) -> None:
    bare = [address for address in addresses if not _is_private(address)]
    if bare:
        warnings.warn(
            f"The connection to {bare[0]} is not encrypted: whoever can listen to it can "
            "read the credentials. Give the cluster TLS "
            "(distributed.security.Security), or keep it in a private network.",
            UnencryptedClusterWarning,
            stacklevel=3,
        )


def _is_private(address: str) -> bool:
    """Whether a connection to this address is encrypted or stays on this machine."""
    from distributed.comm.addressing import get_address_host

    protocol = address.partition("://")[0]
    return protocol in _ENCRYPTED or is_loopback(get_address_host(address))


def _api_feed(own: ConstellrAuth, *, send_credential: bool) -> CredentialFeed:
    from .pusher import CredentialFeed

    if send_credential:
        return CredentialFeed(lambda: own.credential)
    if isinstance(own.credential, ApiKey):
        raise ValueError(  # noqa: TRY004 - the type is right, the choice is not
            f"An API key ({own.credential.source}) is the credential itself: there is no "
            "token for it. share_credentials(client, send_credential=True) sends the key to the "
            "workers; a user name and password stay here; auth=False shares neither."
        )

    def token() -> Token:
        return cast("Token", own.token())  # only an API key has none

    return CredentialFeed(token, own.discard)


def _s3_feed(
    aws: Signer | Explicit | Literal[False] | None, *, send_credential: bool
) -> CredentialFeed | None:
    from .pusher import CredentialFeed

    if aws is False:
        return None
    named = bool(os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE"))
    if aws is None and not named:
        return None
    source = _source(aws)

    def look() -> StorageCredentials:
        found = source.get()
        if found.token is None and not send_credential:
            raise _LongLivedError(
                f"The AWS credentials ({found.source}) do not expire and stay on this "
                "machine. Give temporary ones (of a role, or of `aws sts get-session-token`), or "
                "choose send_credential=True; aws=False says that none are needed."
            )
        return found

    try:
        return CredentialFeed(look, source.discard)
    except (_LongLivedError, SigningError) as error:
        if aws is not None:
            raise
        warnings.warn(str(error), CredentialsNotSharedWarning, stacklevel=3)
        return None


class _LongLivedError(ValueError):
    """AWS credentials that do not expire."""


def _source(aws: Signer | Explicit | None) -> CredentialSource:
    source = aws.credentials if isinstance(aws, Signer) else CredentialSource(aws)
    return source.own()
