"""One source of AWS credentials that renews, and object stores that read with it.

obstore reads AWS variables of its own accord, some of them GDAL's; what would change where a
request goes or who signs it is pinned here. Nothing here knows what an item is.
"""

from __future__ import annotations

import functools
import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import urlsplit

from obstore.store import S3Store

from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac.config import StorageSettings, is_loopback
from constellr_stac.errors import SigningError

from .aws_credentials import PURPOSE, PUSHED, StorageCredentials, from_botocore, from_environment
from .s3_url import base_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import ClientConfig, RetryConfig, S3Credential, S3CredentialProvider

    from constellr_stac._pushed import PushedValue

    Provider: TypeAlias = Callable[[], StorageCredentials | Mapping[str, Any]]
    Explicit: TypeAlias = StorageCredentials | Mapping[str, Any] | Provider

__all__ = ["CredentialSource", "bucket_store"]

_LOOK_AGAIN = timedelta(minutes=15)  # at what has no end of its own, in a file that may change
_OBSTORE_ASKS_AGAIN = timedelta(minutes=1)
_DISCARD_EVERY = timedelta(minutes=1)

_ON_THE_WAY = timedelta(seconds=4)
_TOO_SHORT = timedelta(seconds=3)  # to sign a URL that somebody can still use

_PATIENCE: ClientConfig = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "10min"}
_RETRIES: RetryConfig = {"max_retries": 5}


class CredentialSource:
    """Finds AWS credentials, and again whenever they end; safe to share between threads.

    Looked at, in this order, as botocore does: what was given in code; a profile named in code;
    the environment (read again each time, so that a rotated one is noticed); then, with the
    extra ``aws``, the rest of botocore's chain: ``AWS_PROFILE`` and the profiles in
    ``~/.aws``, SSO, web identity, container and instance roles.

    On a dask worker, what :func:`constellr_stac.share_credentials` lends it comes before all
    these but what was given in code there and a callable that came along.

    It is also what obstore calls a credential provider. It pickles without a secret: a callable
    and the profile's name travel, credentials given as a value stay behind.

    Args:
        explicit: Credentials, a dict of them as obstore uses it, or a callable that returns
            either; the callable is asked again before ``expires_at``.

    Keyword Args:
        profile: The name of an AWS profile.
        borrows: Whether to use what was lent to this process; by default, where no profile is
            named.
        clock: Tells the time, aware.

    Raises:
        ValueError: Both are given, or the credentials are incomplete.
    """

    def __init__(
        self,
        explicit: Explicit | None = None,
        *,
        profile: str | None = None,
        borrows: bool | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if explicit is not None and profile is not None:
            msg = "Give credentials or a profile, not both."
            raise ValueError(msg)
        self._ask: Provider | None = None
        self._value: StorageCredentials | None = None
        if callable(explicit):
            self._ask = explicit
        elif explicit is not None:
            self._value = StorageCredentials.of(explicit)
        self._profile = profile
        self._borrows = profile is None if borrows is None else borrows
        self._left_behind = False
        self._clock = clock
        self._discarded_at: datetime | None = None
        self._renewed = Refreshing(self._renew, self._ends, clock=clock)

    def get(self) -> StorageCredentials:
        """Return credentials that are good now.

        Raises:
            SigningError: There are none, and the message lists the places looked at; or those
                there are have ended, or cannot be renewed.
        """
        found = self._value or self._lent()
        if found is None and self._ask is None and self._profile is None:
            found = from_environment()
        if found is None:
            found = self._renewed.get()
        if found.expires_at is not None and found.expires_at <= self._clock():
            raise SigningError(
                f"The AWS credentials ({found.source}) ended at "
                f"{found.expires_at:%Y-%m-%d %H:%M:%S %Z}. Put fresh ones in their place."
            )
        return found

    def discard(self, refused: StorageCredentials) -> None:
        """Look again next time: ``refused`` were not accepted, whatever their end says.

        That is heeded once a minute: a refusal can have other causes, and looking can be slow.
        Those that were lent are replaced by their lender, which may take a moment.
        """
        loan = self._loan()
        if loan is not None:
            loan.other_than(refused)
            return
        now = self._clock()
        if self._discarded_at is None or now - self._discarded_at >= _DISCARD_EVERY:
            self._discarded_at = now
            self._renewed.discard(refused)

    def __call__(self) -> S3Credential:
        """Give obstore credentials, and let it ask again soon.

        Within the last five minutes of ``expires_at`` obstore asks for each request, yet at most
        ten times a second, and otherwise never. So it is told a minute: who knows whether they
        are still the right ones is this object.
        """
        return self.get().for_obstore(ask_again=self._clock() + _OBSTORE_ASKS_AGAIN)

    def own(self) -> Self:
        """Return the same, but for what was lent to this process: to lend it on.

        Its clock is a few seconds ahead, so that what it gives is still good on arrival.
        """
        given = self._ask or self._value
        clock = functools.partial(_ahead, self._clock)
        return type(self)(given, profile=self._profile, borrows=False, clock=clock)

    def __repr__(self) -> str:
        if self._value is not None:
            return f"CredentialSource({self._value!r})"
        if self._ask is not None:
            return f"CredentialSource({self._ask!r})"
        return f"CredentialSource(profile={self._profile!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CredentialSource):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        left_behind = self._left_behind or self._value is not None
        return {"ask": self._ask, "profile": self._profile, "left_behind": left_behind}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # What is lent comes before a profile's name: profiles stay on their machine.
        self.__init__(state["ask"], profile=state["profile"], borrows=True)  # type: ignore[misc]
        self._left_behind = state["left_behind"]

    def _identity(self) -> tuple[Any, ...]:
        return self._value, self._ask, self._profile, self._left_behind

    def _loan(self) -> PushedValue[StorageCredentials] | None:
        given = self._value is not None or self._ask is not None
        return PUSHED.of(PURPOSE) if self._borrows and not given else None

    def _lent(self) -> StorageCredentials | None:
        """Return what was lent to this process; new ones, if those are about to end."""
        loan = self._loan()
        lent = None if loan is None else loan.get()
        if loan is None or lent is None or lent.expires_at is None:
            return lent
        if self._clock() + _TOO_SHORT < lent.expires_at:
            return lent
        return loan.other_than(lent) or lent

    def _renew(self) -> StorageCredentials:
        if self._ask is not None:
            return _from_callable(self._ask)
        return from_botocore(self._profile, left_behind=self._left_behind)

    def _ends(self, found: StorageCredentials) -> datetime | None:
        if found.expires_at is None and self._ask is None:
            return self._clock() + _LOOK_AGAIN
        return found.expires_at


def bucket_store(bucket: str, settings: StorageSettings, provider: S3CredentialProvider) -> S3Store:
    """Open a bucket where ``settings`` say it is, whatever obstore finds in the environment.

    Args:
        bucket: Its name.
        settings: Region and endpoint; plain http is possible on this machine only.
        provider: Gives obstore its credentials.
    """
    url = base_url(bucket, settings)
    in_path = url.endswith(f"/{bucket}")
    endpoint = url.removesuffix(f"/{bucket}") if in_path else url
    parts = urlsplit(endpoint)
    return S3Store(
        bucket,
        region=settings.region,
        endpoint=endpoint,
        aws_endpoint_url_s3=endpoint,
        virtual_hosted_style_request=not in_path,
        skip_signature=False,
        request_payer=False,  # nobody pays for a read because GDAL was told to elsewhere
        s3_express=False,
        client_options={
            **_PATIENCE,
            "allow_http": parts.scheme == "http" and is_loopback(parts.hostname or ""),
        },
        retry_config=_RETRIES,
        credential_provider=provider,
    )


def _ahead(clock: Callable[[], datetime]) -> datetime:
    return clock() + _ON_THE_WAY


def _from_callable(ask: Provider) -> StorageCredentials:
    try:
        answer = ask()
        if inspect.iscoroutine(answer):
            answer.close()
            msg = "it is asynchronous; give a plain function"
            raise TypeError(msg)  # noqa: TRY301 - one place says what went wrong
        return StorageCredentials.of(answer)
    except Exception as error:
        # A ValueError and a TypeError are ours or about form; others might quote a secret.
        why = f": {error}" if isinstance(error, ValueError | TypeError) else ""
        raise SigningError(
            f"The callable that gives AWS credentials failed with {type(error).__name__}{why}."
        ) from error
