"""``share_credentials``: push credentials to the workers of a dask cluster."""

from __future__ import annotations

import contextlib
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from constellr_stac.auth.find_credential import owner_of
from constellr_stac.auth.requests_auth import as_auth
from constellr_stac.config import api_url, is_loopback, storage_settings
from constellr_stac.errors import (
    CredentialsNotSharedWarning,
    UnencryptedClusterWarning,
    WorkerError,
)
from constellr_stac.limits import Limits
from constellr_stac.reading.renewal import ItemRenewer
from constellr_stac.signing.signer import Signer

from .arguments import checked_client
from .feeds import api_feed, s3_feed
from .messages import API, S3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.aws import Explicit

    from .feeds import CredentialFeed
    from .pusher import CredentialPusher

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

    def __exit__(self, *exc_info: object) -> None:
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
    It also renews the URLs of pre-signed items for all workers, many with one search; workers need
    no route to the API then. Of several clients on one scheduler, each one's graphs use its own.

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
        WorkerError: No worker accepts the credentials.
        MissingExtraError: dask.distributed is not installed.

    Warns:
        CredentialsNotSharedWarning: Some workers cannot use them, such as those without this
            package; or the AWS keys that were found do not expire.
        UnencryptedClusterWarning: They can be read on the network.

    Example:
        >>> import constellr_stac
        >>> with constellr_stac.share_credentials(client):  # doctest: +SKIP
        ...     constellr_stac.check_workers(client, items)
        ...     cube.to_zarr("cube.zarr")
    """
    dask_client = checked_client(client, "share_credentials")
    from .pusher import CredentialPusher
    from .worker_plugin import CredentialPlugin, optional

    _warn_if_unencrypted([dask_client.scheduler.address, *dask_client.nthreads()])
    feeds: dict[str, CredentialFeed] = {}
    names: list[str] = []
    api = items = None
    if auth is False:
        owner = owner_of(None, api_url(), explicit=False)
    else:
        own = as_auth(auth or None).own()
        api, owner = own.base_url, owner_of(own.credential, own.base_url, explicit=False)
        items = None if send_credential else ItemRenewer(own, Limits())
        feeds[API] = api_feed(own, send_credential=send_credential)
        names.append(f"{type(feeds[API].message.value).__name__} for {api}")
    s3 = s3_feed(aws, send_credential=send_credential)
    variables = {} if api is None else {"CONSTELLR_API_URL": api}
    if s3 is not None:
        feeds[S3] = s3
        names.append("AWS credentials")
        store = aws.settings if isinstance(aws, Signer) else storage_settings()
        variables |= {"AWS_REGION": store.region, "AWS_ENDPOINT_URL_S3": store.endpoint or ""}
    if not feeds:
        raise ValueError("Nothing to share: auth=False, and no AWS credentials.")
    name = f"constellr-credentials-{uuid.uuid4().hex[:8]}"
    pusher = CredentialPusher(client, name, feeds, items)
    shared = SharedCredentials(client, name, api, tuple(names), pusher)
    try:
        pusher.start()
        plugin = CredentialPlugin(
            name,
            api=api,
            s3=S3 in feeds,
            variables=variables,
            owner=owner,
            renews=items is not None,
        )
        dask_client.register_plugin(optional(plugin), name=name)
        answers = pusher.announce()
        refused = {worker: answer for worker, answer in answers.items() if answer != "OK"}
        if refused and len(refused) == len(answers):
            raise RuntimeError(next(iter(refused.values())))  # noqa: TRY301 - as another failure
    except BaseException as error:
        shared.close()
        if not isinstance(error, Exception):
            raise
        raise WorkerError(
            f"The cluster does not accept the credentials: {type(error).__name__}: {error}. "
            "constellr_stac.check_workers(client) shows which workers fail, and why."
        ) from error
    if refused:
        warnings.warn(
            f"{len(refused)} of {len(answers)} workers cannot use the credentials, so tasks fail "
            f"there: {', '.join(refused)} ({next(iter(refused.values()))}). Install the client's "
            "version of constellr-stac on them.",
            CredentialsNotSharedWarning,
            stacklevel=2,
        )
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
