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

__all__ = ["SharedCredentials", "share_credentials"]

_CLOSED = ("closing", "closed")
_CONNECT_TIMEOUT, _BROADCAST_TIMEOUT = 3, 15
_ENCRYPTED = {"tls", "wss", "inproc", "gateway"}  # dask-gateway's protocol uses TLS


class SharedCredentials:
    """Credentials shared with a cluster, until :meth:`close` or the end of a ``with`` block."""

    def __init__(
        self,
        client: Client,
        name: str,
        api: str | None,
        lent: tuple[str, ...],
        pusher: CredentialPusher,
    ) -> None:
        self.name = name
        """Name of the worker plugin, for ``client.unregister_worker_plugin``."""
        self.api = api
        """URL of the credential's API, or ``None``."""
        self.lent = lent
        """Descriptions of the shared credentials."""
        self._client: Any = client  # only partly typed
        self._scheduler: str = cast("Any", client).scheduler.address
        self._pusher = pusher
        self._closed = False

    def close(self) -> None:
        """Remove the credentials from workers and scheduler; may be called twice.

        Unreachable workers keep them until they expire. In asynchronous code:
        ``await asyncio.to_thread(shared.close)``.

        Raises:
            TypeError: Called on the client's event loop.
        """
        if self._closed:
            return
        checked_client(self._client, "SharedCredentials.close")
        self._closed = True
        self._pusher.stop()
        if self._client.status not in _CLOSED:
            self._remove_from(self._client)
        elif not self._cluster_closed:
            with contextlib.suppress(OSError, TimeoutError), self._new_client() as client:
                client.set_metadata([self.name], None)
                self._remove_from(client)

    @property
    def _cluster_closed(self) -> bool:
        """Whether the cluster is known to be closed."""
        from distributed import Status

        return getattr(self._client.cluster, "status", None) == Status.closed

    def _remove_from(self, client: Any) -> None:
        try:
            client.unregister_worker_plugin(self.name)
        except (ValueError, KeyError):
            pass  # removed by name before, or a worker never had it
        except (OSError, TimeoutError):
            # One worker is unreachable: notify the others.
            message = {"op": "plugin-remove", "name": self.name}
            client.sync(
                client.scheduler.broadcast,
                asynchronous=False,
                callback_timeout=_BROADCAST_TIMEOUT,
                msg=message,
                on_error="ignore",
            )

    def _new_client(self) -> Any:
        """Return a new client, since this one was closed before :meth:`close`."""
        from distributed import Client

        return Client(
            self._scheduler,
            security=self._client.security,
            timeout=_CONNECT_TIMEOUT,
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
    """Share credentials with all workers of a dask cluster, including those that join later.

    Workers get bearer tokens and temporary AWS session credentials. While this process lives, it
    replaces them before they expire; a password never leaves it. On a worker they take precedence
    over its environment. No secret is in a graph, a task, a log, or the scheduler's pages or dumps.

    Args:
        client: A :class:`distributed.Client`. In asynchronous code:
            ``await asyncio.to_thread(share_credentials, client)``.
        auth: A :class:`ConstellrAuth` or a credential, whose token is shared; by default the
            credential that :func:`default_credential` finds. ``False`` shares none.
        aws: AWS credentials for ``s3://`` hrefs: a :class:`Signer`, or anything that its
            ``credentials=`` takes. Default: those named by ``AWS_ACCESS_KEY_ID`` or
            ``AWS_PROFILE`` in this environment, if temporary; a machine's role is not shared by
            default. ``False`` shares none.

    Keyword Args:
        send_credential: Send the password or API key itself, and long-lived AWS keys. Workers then
            renew their own tokens, also after this process has ended. Anyone with access to the
            scheduler can read them. Required to share an API key.

    Returns:
        An object to close, or to use in a ``with`` block.

    Raises:
        AuthenticationError: The password was refused.
        CredentialsNotFoundError: There is no credential for the API.
        SigningError: The requested AWS credentials are unavailable.
        TypeError: ``client`` is not a synchronous client.
        ValueError: There is nothing to share, or it requires ``send_credential=True``.
        WorkerError: The workers do not accept the credentials.
        MissingExtraError: dask.distributed is not installed.

    Example:
        >>> import constellr_stac
        >>> with constellr_stac.share_credentials(client):  # doctest: +SKIP
        ...     constellr_stac.check_workers(client, items)
        ...     cube.to_zarr("cube.zarr")
    """
    dask_client = checked_client(client, "share_credentials")
    from .pusher import CredentialPusher
    from .worker_plugin import CredentialPlugin

    _warn_if_unencrypted([dask_client.scheduler.address, *dask_client.scheduler_info()["workers"]])
    feeds: dict[str, CredentialFeed] = {}
    names: list[str] = []
    api = None
    if auth is not False:
        own = as_auth(auth or None).own()
        api = own.base_url
        feeds[API] = _api_feed(own, send_credential=send_credential)
        names.append(f"{type(feeds[API].message.value).__name__} for {api}")
    s3 = _s3_feed(aws, send_credential=send_credential)
    variables = {} if api is None else {"CONSTELLR_API_URL": api}
    if s3 is not None:
        feeds[S3] = s3
        names.append("AWS credentials")
        store = aws.settings if isinstance(aws, Signer) else storage_settings()
        variables |= {"AWS_REGION": store.region, "AWS_ENDPOINT_URL_S3": store.endpoint or ""}
    if not feeds:
        raise ValueError("Nothing to share: auth=False, and no AWS credentials.")
    name = f"constellr-credentials-{uuid.uuid4().hex[:8]}"
    pusher = CredentialPusher(client, name, feeds)
    shared = SharedCredentials(client, name, api, tuple(names), pusher)
    try:
        pusher.start()
        dask_client.register_plugin(
            CredentialPlugin(name, api=api, s3=S3 in feeds, variables=variables)
        )
    except BaseException as error:
        shared.close()
        if not isinstance(error, Exception):
            raise
        raise WorkerError(
            f"The cluster does not accept the credentials: {type(error).__name__}: {error}. "
            "constellr_stac.check_workers(client) shows which workers fail, and why."
        ) from error
    return shared


def _warn_if_unencrypted(addresses: Iterable[str]) -> None:
    unencrypted = [address for address in addresses if not _is_private(address)]
    if unencrypted:
        warnings.warn(
            f"The connection to {unencrypted[0]} is not encrypted, so the credentials can be read "
            "on the network. Use TLS (distributed.security.Security) or a private network.",
            UnencryptedClusterWarning,
            stacklevel=3,
        )


def _is_private(address: str) -> bool:
    """Return whether connections to this address are encrypted or local."""
    from distributed.comm.addressing import get_address_host

    protocol = address.partition("://")[0]
    return protocol in _ENCRYPTED or is_loopback(get_address_host(address))


def _api_feed(own: ConstellrAuth, *, send_credential: bool) -> CredentialFeed:
    from .pusher import CredentialFeed

    if send_credential:
        return CredentialFeed(lambda: own.credential)
    if isinstance(own.credential, ApiKey):
        raise ValueError(  # noqa: TRY004 - the type is right, the choice is not
            f"An API key ({own.credential.source}) has no token to share. Pass "
            "send_credential=True to send the key itself, use a user name and password, or pass "
            "auth=False."
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
    source = (aws.credentials if isinstance(aws, Signer) else CredentialSource(aws)).own()

    def fetch() -> StorageCredentials:
        found = source.get()
        if found.token is None and not send_credential:
            raise _LongLivedError(
                f"The AWS credentials ({found.source}) do not expire, so they are not shared. "
                "Pass temporary ones (of a role, or of `aws sts get-session-token`), "
                "send_credential=True, or aws=False if none are needed."
            )
        return found

    try:
        return CredentialFeed(fetch, source.discard)
    except (_LongLivedError, SigningError) as error:
        if aws is not None:
            raise
        warnings.warn(str(error), CredentialsNotSharedWarning, stacklevel=3)
        return None


class _LongLivedError(ValueError):
    """AWS credentials that do not expire."""
