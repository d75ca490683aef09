"""Sign ``s3://`` hrefs: replace them with https URLs that can be fetched for a limited time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from constellr_stac._refresh import utc_now
from constellr_stac._secret import SharedOnCopy
from constellr_stac.config import StorageSettings, storage_settings
from constellr_stac.stac.items import materialized

from .aws import CredentialSource
from .local_files import refuse_local_files
from .presign import Presigner
from .s3_url import (
    ObjectAddress,
    SignedObject,
    is_region,
    is_s3,
    own_object,
    signature_expiry,
    signed_region,
)
from .texts import as_text, hrefs_in, split_href, with_hrefs
from .traverse import copied, slots_in, warn_unsigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    import pystac
    from pystac_client import ItemSearch

    from .aws import Explicit

__all__ = ["SignedUrl", "Signer"]

T = TypeVar("T")

_MAX_EXPIRES_IN = timedelta(days=7)  # the limit of Signature Version 4


@dataclass(frozen=True)
class SignedUrl:
    """A URL and its expiry. The repr omits the URL; ``str()`` returns it."""

    url: str = field(repr=False)
    expires_at: datetime | None
    """Expiry (aware); ``None`` for a URL without a signature."""

    def __str__(self) -> str:
        return self.url


class Signer(SharedOnCopy):
    """Pre-signs ``s3://`` hrefs for GET; thread-safe.

    * A URL expires after ``expires_in``, and no later than the session that signed it.
    * URLs are cached for half of their lifetime, so that HTTP caches work and a returned URL has
      at least half of its lifetime left. (The last 50,000 are cached; changed credentials clear
      the cache.)
    * A URL signed with the same access key is returned unchanged while fresh, and signed again
      otherwise. All other URLs and paths are unchanged.

    It pickles without a secret: a callable and a profile's name are pickled, credentials given as
    a value are not. The unpickling process searches for its own.

    Keyword Args:
        expires_in: Lifetime of a URL; one second to seven days.
        credentials: AWS credentials, as a value, as a dict (``access_key_id``,
            ``secret_access_key``, ``token``, ``expires_at``), or as a callable that returns
            either and is called again before they expire. Default: see
            :class:`constellr_stac.signing.aws.CredentialSource`.
        region: The buckets' region; default ``AWS_REGION``, ``AWS_DEFAULT_REGION``, the profile's
            ``region``, else ``eu-central-1``. If a read is answered with a bucket's own region,
            its URLs are signed for that.
        endpoint: An S3 endpoint other than AWS; default ``AWS_ENDPOINT_URL_S3``,
            ``AWS_ENDPOINT_URL``, else the profile's ``endpoint_url``.
        profile: The AWS profile for credentials, region and endpoint (extra ``aws``).
        virtual_hosted: Whether the bucket is part of the host's name; default on AWS only.
        requester_pays: Whether your account pays for the transfer.
        clock: Returns the current time, aware.

    Raises:
        TypeError: ``expires_in`` is not a timedelta.
        ValueError: ``expires_in`` is out of range, or credentials are incomplete.
        InsecureURLError: The endpoint is ``http://`` and its host is not loopback.

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
        virtual_hosted: bool | None = None,
        requester_pays: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        source = CredentialSource(credentials, profile=profile, clock=clock)
        settings = storage_settings(
            region=region,
            endpoint=endpoint,
            profile=profile,
            virtual_hosted=virtual_hosted,
            requester_pays=requester_pays,
        )
        self._set_up(expires_in, settings, source, clock)

    def _set_up(
        self,
        expires_in: timedelta,
        settings: StorageSettings,
        credentials: CredentialSource,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if not isinstance(expires_in, timedelta):
            raise TypeError(f"expires_in= must be a datetime.timedelta, not {expires_in!r}.")
        if not timedelta(seconds=1) <= expires_in <= _MAX_EXPIRES_IN:
            msg = f"expires_in= must be between one second and seven days, not {expires_in}."
            raise ValueError(msg)
        self.expires_in = expires_in
        self.settings = settings
        self.credentials = credentials
        self._presigner = Presigner(settings, credentials, expires_in, clock)

    @overload
    def sign(
        self, obj: ItemSearch, *, copy: bool = True, local_files: bool = False
    ) -> pystac.ItemCollection: ...
    @overload
    def sign(self, obj: T, *, copy: bool = True, local_files: bool = False) -> T: ...
    def sign(self, obj: Any, *, copy: bool = True, local_files: bool = False) -> Any:
        """Sign every href in ``obj`` that can be signed.

        Args:
            obj: An href (``s3://``, ``s3a://``, ``/vsis3/``; str or Path), the text of a VRT,
                :class:`pystac.Asset`, :class:`pystac.Item`, :class:`pystac.ItemCollection`,
                :class:`pystac.Collection`, :class:`pystac_client.ItemSearch`, the dict of one of
                these or of a page of them, a dict of assets, kerchunk references, or a list, tuple
                or iterator of these.

        Keyword Args:
            copy: Whether to sign a copy and leave ``obj`` unchanged.
            local_files: Whether items that came from a server may name files of this machine.

        Returns:
            The signed object, of the type of ``obj``; an ItemCollection for an ItemSearch, a list
            for an iterator.

        Raises:
            SigningError: There are no AWS credentials, they have expired, or an ``s3://`` href
                names no object, or an item that came from a server names a local file. Nothing is
                signed then.
            TypeError: An object of this type has no hrefs.

        Warns:
            UserWarning: ``obj`` holds ``s3://`` hrefs in other places, which are not signed.
        """
        parts = materialized(obj)
        if not local_files:
            refuse_local_files(parts if isinstance(parts, list | tuple) else [parts])
        if isinstance(parts, list) and any(isinstance(each, list) for each in parts):
            signed = [self.sign(each, copy=copy, local_files=local_files) for each in parts]
        elif isinstance(parts, list | tuple):
            signed = self._sign_all(parts, copy=copy)
        else:
            return self._sign_all([parts], copy=copy)[0]
        if type(obj) is list and not copy:
            obj[:] = signed
            return obj
        return tuple(signed) if isinstance(parts, tuple) else signed

    def sign_hrefs(self, hrefs: Sequence[str]) -> list[str]:
        """Sign many hrefs at once, in order; foreign hrefs are unchanged.

        Raises:
            SigningError: As for :meth:`sign`.
        """
        split = [split_href(href) for href in hrefs]
        to_sign = self._to_sign([href for _, href in split])
        signed = list(hrefs)
        urls = self._presigner.urls(to_sign.values()) if to_sign else {}
        for index, address in to_sign.items():
            signed[index] = split[index][0] + urls[address]
        return signed

    def signed_url(self, href: str) -> SignedUrl:
        """Sign one href, and return the URL with its expiry.

        Raises:
            SigningError: As for :meth:`sign`.
        """
        url = self.sign_hrefs([href])[0]
        return SignedUrl(url, signature_expiry(url))

    def refused(self, url: str) -> None:
        """Drop a URL that the object store refused.

        The next URL for the same href is signed again, with new credentials if there are any.
        """
        signed = own_object(url, self.settings, self._presigner.regions)
        if signed is not None:
            self._presigner.forget(signed, url)

    def learn_region(self, url: str, region: str) -> bool:
        """Record the region of a bucket, as the object store states it.

        Args:
            url: The URL that was refused.
            region: The region.

        Returns:
            Whether the next URL is signed for another region than ``url``.
        """
        signed = own_object(url, self.settings, self._presigner.regions)
        if signed is None or signed_region(url) == region or not is_region(region):
            return False
        self._presigner.learn_region(signed, region)
        return True

    def __repr__(self) -> str:
        if "credentials" not in vars(self):
            return "Signer(not initialized)"  # as debuggers show it
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
        """Sign all hrefs in ``parts`` at once."""
        signed = [_prepared(as_text(part), copy=copy) for part in parts]
        slots = [slot for part in signed for slot in slots_in(part)]
        texts = [part for part in signed if isinstance(part, str)]
        hrefs = [slot.href for slot in slots] + [href for text in texts for href in hrefs_in(text)]
        urls = dict(zip(hrefs, self.sign_hrefs(hrefs), strict=True))
        for slot in slots:
            slot.put(urls[slot.href])
        warn_unsigned(signed)
        return [with_hrefs(part, urls) if isinstance(part, str) else part for part in signed]

    def _to_sign(self, hrefs: Sequence[str]) -> dict[int, ObjectAddress]:
        """Return the objects to sign, by the index of their href."""
        to_sign: dict[int, ObjectAddress] = {}
        presigned: dict[int, SignedObject] = {}
        regions = self._presigner.regions
        for index, href in enumerate(hrefs):
            if is_s3(href):
                to_sign[index] = ObjectAddress.of(href)
            elif (signed := own_object(href, self.settings, regions)) is not None:
                presigned[index] = signed
        if presigned:
            for index in self._presigner.to_renew(presigned):
                to_sign[index] = presigned[index].address
        return to_sign


def _prepared(part: Any, *, copy: bool) -> Any:
    return copied(part) if copy and not isinstance(part, str) else part
