"""One GET of an asset, repeated until it succeeds or a deadline passes without progress.

A refusal renews the URL, once; a bucket in another region is signed for there; a 404 is final.
Errors name item, asset and cause, without signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from requests import RequestException
from urllib3.exceptions import HTTPError

from constellr_stac._refresh import utc_now
from constellr_stac.auth.body import LimitError, TooSlowError
from constellr_stac.auth.failures import Failure, failure_of
from constellr_stac.auth.hosts import host_of
from constellr_stac.auth.retry import LONGEST_ASKED, TRANSIENT, Attempts, retry_after
from constellr_stac.errors import AssetReadError, ConstellrError
from constellr_stac.signing.s3_url import is_s3, signature_expiry

from .connections import Connections
from .store_answer import StoreAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

    from constellr_stac.limits import Limits

    from .asset_ref import AssetRef
    from .resolver import AssetResolver

__all__ = ["BEYOND_END", "PART", "WHOLE", "AssetGetter"]

T = TypeVar("T")

WHOLE, PART, BEYOND_END = _USABLE = 200, 206, 416
_RAISE_LIMIT = "Pass limits= with a higher bound if the file is right."
_SLOWER = 1.0  # seconds for which a host that answers SlowDown gets no request


class AssetGetter:
    """Sends GETs of assets; thread-safe.

    Args:
        resolver: Resolves references to URLs and renews them.
        connections: The maximum number of pooled connections per host.
    """

    def __init__(self, resolver: AssetResolver, connections: int) -> None:
        self._resolver = resolver
        self._connections = Connections(connections, resolver.limits)

    def get(
        self,
        reference: AssetRef,
        headers: Callable[[], Mapping[str, str]],
        use: Callable[[BaseHTTPResponse], T | None],
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """GET an asset until ``use`` returns something other than ``None``.

        Args:
            reference: The asset.
            headers: Returns the headers of the next request.
            use: Gets the response with status 200, 206 or 416, and an unread body.
            progress: Returns the number of bytes held; the deadline restarts when it grows.

        Raises:
            AssetReadError: The asset cannot be read.
        """
        attempts, reached = Attempts(self._resolver.limits), progress()
        replaced: set[str] = set()
        while True:
            attempts.url = url = _url(self._resolver, reference)
            used, outcome = self._send(reference, url, headers(), use)
            if used is not None:
                return used
            if progress() > reached:
                reached = progress()
                if not outcome.stuck:
                    attempts.progressed()
                    replaced.clear()
            if not outcome.ended and self._replace(reference, url, outcome.said, replaced):
                continue
            if not attempts.begin_next(outcome.failure, asked=outcome.asked):
                attempts.url = url = ""  # errors keep their frames, and it is signed
                later = f"{attempts.summary()}; try again later."
                raise AssetReadError(
                    f"{reference.label} cannot be read: {outcome.failure.text}. "
                    f"{outcome.failure.hint or later}",
                    status_code=outcome.status,
                    request_url=reference.href,
                )
            replaced.discard("url")  # keys may have been replaced again during the pause

    def _send(
        self,
        reference: AssetRef,
        url: str,
        headers: Mapping[str, str],
        use: Callable[[BaseHTTPResponse], T | None],
    ) -> tuple[T | None, _Outcome]:
        try:
            with self._connections.get(url, headers) as answer:
                if answer.status not in _USABLE:
                    renewed = reference.renewable or is_s3(reference.href)
                    return None, _refusal(answer, url, self._resolver.limits, renewed=renewed)
                self._resolver.accepted(reference)
                return use(answer), _Outcome(_WRONG_BYTES, answer.status)
        except LimitError as error:
            return None, _Outcome(Failure("final", str(error), _RAISE_LIMIT))
        except (RequestException, HTTPError) as error:
            failure = failure_of(error, url)
            return None, _Outcome(failure, stuck=isinstance(error, TooSlowError))

    def _replace(
        self, reference: AssetRef, url: str, said: StoreAnswer | None, replaced: set[str]
    ) -> bool:
        """Return whether there is another URL after an error response: each kind once."""
        if said is None:
            return False
        region, signer = said.region, self._resolver.signer
        if region is not None and "region" not in replaced and signer.learn_region(url, region):
            replaced.add("region")
            return True
        if said.is_refusal and "url" not in replaced and self._resolver.discard(reference, url):
            replaced.add("url")
            return True
        return False


@dataclass(frozen=True)
class _Outcome:
    """What became of a request that brought nothing usable."""

    failure: Failure
    status: int | None = None
    said: StoreAnswer | None = None
    asked: float | None = None
    """Seconds to wait, as the server asks."""
    ended: bool = False
    """Whether the URL ended before the store looked at it, which is no refusal of the keys."""
    stuck: bool = False
    """Whether the body came too slowly to count as progress."""


_WRONG_BYTES = Failure("transient", "the server sent bytes other than those requested")


def _refusal(answer: BaseHTTPResponse, url: str, limits: Limits, *, renewed: bool) -> _Outcome:
    said, asked = StoreAnswer.of(answer, limits), retry_after(answer.headers)
    if said.slow_down:
        host_of(url).slow_down(min(asked or _SLOWER, LONGEST_ASKED))
    ends = signature_expiry(url)
    # On its way, or while it waited for the host's turn.
    ended = said.is_refusal and renewed and ends is not None and ends <= utc_now()
    if said.status in TRANSIENT or ended:
        return _Outcome(Failure("transient", said.text), said.status, said, asked, ended)
    return _Outcome(Failure("final", said.text, said.hint(url)), said.status, said)


def _url(resolver: AssetResolver, reference: AssetRef) -> str:
    try:
        return resolver.url(reference)
    except ConstellrError as error:
        raise AssetReadError(
            f"{reference.label} cannot be read: no URL was obtained. {error}",
            status_code=error.status_code,
            request_url=error.request_url,
        ) from error
