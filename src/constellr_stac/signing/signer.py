"""Sign ``s3://`` hrefs: replace them with https URLs that can be fetched for a limited time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from constellr_stac._process import STATE
from constellr_stac._refresh import utc_now
from constellr_stac.config import StorageSettings, storage_settings
from constellr_stac.stac.items import materialized

from .aws import CredentialSource
from .presign import Presigner
from .s3_url import ObjectAddress, SignedObject, is_s3, own_object, signature_expiry
from .traverse import assets_in, copied, get_href, put_href

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    import pystac
    from pystac_client import ItemSearch

    from .aws import Explicit

__all__ = ["SignedUrl", "Signer", "sign", "sign_inplace", "signature_expiry"]

T = TypeVar("T")

_LONGEST = timedelta(days=7)  # what Signature Version 4 allows


@dataclass(frozen=True)
class SignedUrl:
    """A URL and when it ends. Its repr leaves the signature out; ``str()`` gives it whole."""

    url: str = field(repr=False)
    expires_at: datetime | None
    """When it ends (aware), or ``None`` for a URL without a signature."""

    def __str__(self) -> str:
        return self.url


class Signer:
    """Signs ``s3://`` hrefs, for a GET and a limited time; safe to share between threads.

    * A URL lives as long as asked, and no longer than the session that signed it.
    * The same href gives the same URL until half of that life is over, so that HTTP caches keep
      working and a URL always has half of its life left when it is given out. (The last 50,000
      are remembered, and none when the credentials change.)
    * A URL that was signed here or with the same access key is left as it is while it is fresh,
      and signed again when it is not. All other URLs and paths are left alone.

    It pickles without a secret: a callable and a profile's name travel, credentials given as a
    value stay behind, and others are looked for where it is unpickled.

    Keyword Args:
        expires_in: How long a URL is to live; one second to seven days.
        credentials: AWS credentials, as a value, as a dict (``access_key_id``,
            ``secret_access_key``, ``token``, ``expires_at``), or as a callable that returns
            either and is asked again before they end. Default: see
            :class:`constellr_stac.signing.aws.CredentialSource`.
        region: The buckets' region; default ``AWS_REGION``, else ``eu-central-1``.
        endpoint: An S3 endpoint other than AWS's; default ``AWS_ENDPOINT_URL_S3``.
        profile: The AWS profile to take credentials from (extra ``aws``).
        clock: Tells the time, aware.

    Raises:
        TypeError: ``expires_in`` is no timedelta.
        ValueError: ``expires_in`` is out of range, or credentials are incomplete.
        InsecureURLError: The endpoint is plain http and not on this machine.

    Example:
        >>> signer = Signer(credentials={"access_key_id": "AKIA", "secret_access_key": "secret"})
        >>> url = signer.sign("s3://scenes/LA harbor+port/lst.tiff")
        >>> url.partition("?")[0]
        'https://scenes.s3.eu-central-1.amazonaws.com/LA%20harbor%2Bport/lst.tiff'
        >>> signer.sign(url) == url
        True
    """

    def __init__(
        self,
        *,
        expires_in: timedelta = timedelta(hours=1),
        credentials: Explicit | None = None,
        region: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        source = CredentialSource(credentials, profile=profile, clock=clock)
        settings = storage_settings(region=region, endpoint=endpoint)
        self._set_up(expires_in, settings, source, clock)

    def _set_up(
        self,
        expires_in: timedelta,
        settings: StorageSettings,
        credentials: CredentialSource,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if not isinstance(expires_in, timedelta):
            raise TypeError(f"expires_in= is a datetime.timedelta, not {expires_in!r}.")
        if not timedelta(seconds=1) <= expires_in <= _LONGEST:
            msg = f"A signed URL can live from one second to seven days, not {expires_in}."
            raise ValueError(msg)
        self.expires_in = expires_in
        self.settings = settings
        self.credentials = credentials
        self._presigner = Presigner(settings, credentials, expires_in, clock)

    @overload
    def sign(self, obj: ItemSearch, *, copy: bool = True) -> pystac.ItemCollection: ...
    @overload
    def sign(self, obj: T, *, copy: bool = True) -> T: ...
    def sign(self, obj: Any, *, copy: bool = True) -> Any:
        """Sign every href in ``obj`` that can be signed.

        Args:
            obj: An href, :class:`pystac.Asset`, :class:`pystac.Item`,
                :class:`pystac.ItemCollection`, :class:`pystac.Collection`,
                :class:`pystac_client.ItemSearch`, the dict of an item or collection or of a page
                of them, or a list, tuple or iterator of these.

        Keyword Args:
            copy: Whether to sign a copy, and leave ``obj`` as it is.

        Returns:
            The signed object, of the type of ``obj``; an ItemCollection for an ItemSearch, a list
            for an iterator.

        Raises:
            SigningError: There are no AWS credentials, or they have ended, or an ``s3://`` href
                names no object. Nothing has been signed then.
            TypeError: There are no hrefs to be found in such an object.
        """
        if isinstance(obj, str):
            return self.sign_hrefs([obj])[0]
        obj = materialized(obj)
        if isinstance(obj, list) and any(isinstance(each, list) for each in obj):
            return [self.sign(each, copy=copy) for each in obj]
        if not isinstance(obj, list | tuple):
            return self._sign_all([obj], copy=copy)[0]
        signed = self._sign_all(obj, copy=copy)
        if isinstance(obj, list) and not copy:
            obj[:] = signed
            return obj
        return signed if isinstance(obj, list) else tuple(signed)

    def sign_hrefs(self, hrefs: Sequence[str]) -> list[str]:
        """Sign many hrefs at once, in their order; those that are not ours stay as they are.

        Raises:
            SigningError: As for :meth:`sign`.
        """
        wanted = self._wanted(hrefs)
        if not wanted:
            return list(hrefs)
        urls = self._presigner.urls(wanted.values())
        return [
            urls[wanted[index]] if index in wanted else href for index, href in enumerate(hrefs)
        ]

    def signed_url(self, href: str) -> SignedUrl:
        """Sign one href, and say when the URL ends.

        Raises:
            SigningError: As for :meth:`sign`.
        """
        url = self.sign_hrefs([href])[0]
        return SignedUrl(url, signature_expiry(url))

    def refused(self, url: str) -> None:
        """Forget a URL that the object store refused.

        The next one for the same href is signed afresh, with credentials that are looked up again
        where they can be.
        """
        signed = own_object(url, self.settings)
        if signed is not None:
            self._presigner.forget(signed, url)

    def __repr__(self) -> str:
        return (
            f"Signer(expires_in={self.expires_in!r}, region={self.settings.region!r}, "
            f"endpoint={self.settings.endpoint!r}, credentials={self.credentials!r})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signer):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {
            "expires_in": self.expires_in,
            "settings": self.settings,
            "credentials": self.credentials,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._set_up(**state)

    def _identity(self) -> tuple[timedelta, StorageSettings, CredentialSource]:
        return self.expires_in, self.settings, self.credentials

    def _sign_all(self, parts: Iterable[Any], *, copy: bool) -> list[Any]:
        """Sign what is in ``parts``, all hrefs in one go."""
        signed = [_prepared(part, copy=copy) for part in parts]
        assets = [asset for part in signed for asset in assets_in(part)]
        texts = [index for index, part in enumerate(signed) if isinstance(part, str)]
        hrefs = [get_href(asset) for asset in assets] + [signed[index] for index in texts]
        urls = iter(self.sign_hrefs(hrefs))
        for asset, url in zip(assets, urls, strict=False):
            put_href(asset, url)
        for index, url in zip(texts, urls, strict=True):
            signed[index] = url
        return signed

    def _wanted(self, hrefs: Sequence[str]) -> dict[int, ObjectAddress]:
        """Say which of ``hrefs`` are to be signed, and the objects they name."""
        wanted: dict[int, ObjectAddress] = {}
        presigned: dict[int, SignedObject] = {}
        for index, href in enumerate(hrefs):
            if is_s3(href):
                wanted[index] = ObjectAddress.of(href)
            elif (signed := own_object(href, self.settings)) is not None:
                presigned[index] = signed
        if presigned:
            for index in self._presigner.to_renew(presigned):
                wanted[index] = presigned[index].address
        return wanted


@overload
def sign(obj: ItemSearch, *, copy: bool = True) -> pystac.ItemCollection: ...
@overload
def sign(obj: T, *, copy: bool = True) -> T: ...
def sign(obj: Any, *, copy: bool = True) -> Any:
    """Sign every ``s3://`` href in ``obj``, for an hour, with the AWS credentials there are.

    Args:
        obj: An href, Asset, Item, ItemCollection, Collection, ItemSearch, STAC dict, or a list or
            tuple of these; see :meth:`Signer.sign`.

    Keyword Args:
        copy: Whether to sign a copy, and leave ``obj`` as it is.

    Returns:
        The signed object, of the type that ``obj`` has; an ItemCollection for an ItemSearch.

    Raises:
        SigningError: There are no AWS credentials (the message lists where they were looked
            for), or an ``s3://`` href names no object. Nothing has been signed then.
        TypeError: There are no hrefs to be found in such an object.

    Example:
        >>> sign("https://example.com/thumbnail.png")
        'https://example.com/thumbnail.png'
    """
    settings = storage_settings()  # a changed AWS_PROFILE makes other settings
    signer = STATE.shared(
        "signer", settings, lambda: Signer(region=settings.region, endpoint=settings.endpoint)
    )
    return signer.sign(obj, copy=copy)


def sign_inplace(obj: Any) -> Any:  # what modifier= is declared to take returns nothing
    """Sign every ``s3://`` href in ``obj`` itself: pystac-client's ``modifier=``.

    Args:
        obj: As for :func:`sign`. A string cannot be changed in place: for an href use what is
            returned.

    Returns:
        ``obj`` itself; for an href the signed URL.

    Raises:
        SigningError: As for :func:`sign`.
        TypeError: As for :func:`sign`.
    """
    return sign(obj, copy=False)


def _prepared(part: Any, *, copy: bool) -> Any:
    return copied(part) if copy and not isinstance(part, str) else part
