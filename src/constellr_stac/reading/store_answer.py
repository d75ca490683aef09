"""What an object store says in an error response, and what to do about it."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from constellr_stac._refresh import utc_now
from constellr_stac.auth.body import steady
from constellr_stac.signing.s3_url import signed_region

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from constellr_stac.limits import Limits

__all__ = ["REFUSALS", "StoreAnswer"]

REFUSALS = frozenset({400, 401, 403})
"""The statuses of a refused URL; S3 answers 400 for an expired session token."""

_MOST = 64 << 10
_LONGEST = 300
_SKEWED = "RequestTimeTooSkewed"
_CREDENTIALS = (
    "Check that your credentials for the bucket are correct, have not expired and allow reading it."
)
_HINTS = {
    "InvalidObjectState": "The object is archived; it can be read once the owner restores it.",
    "RequestExpired": "Check this machine's clock, and search again for new URLs.",
    "ExpiredToken": "Renew your temporary AWS credentials.",
    "NoSuchBucket": "Check the bucket's name, and AWS_ENDPOINT_URL_S3.",
}
_KMS = "The object is encrypted; your account needs the permission kms:Decrypt for its key."
_MOVED = "The object may have been moved or deleted; search again."


@dataclass(frozen=True)
class StoreAnswer:
    """An error response; all fields but the status are empty if the store does not state them."""

    status: int
    code: str = ""
    """S3's error code, else the reason of the status."""
    message: str = ""
    """S3's explanation."""
    region: str | None = None
    """The region of the bucket."""
    server_time: datetime | None = None
    """The store's clock, if it refused the request's time or lifetime."""

    @classmethod
    def of(cls, answer: BaseHTTPResponse, limits: Limits) -> Self:
        """Read an error response.

        Raises:
            HTTPError: The connection failed (urllib3).
            TooSlowError: Its body arrives too slowly.
        """
        body = b"".join(steady(answer, limits, most=_MOST)).decode(errors="replace")
        return cls(
            answer.status,
            _element(body, "Code") or answer.reason or "",
            _element(body, "Message").rstrip("."),
            answer.headers.get("x-amz-bucket-region") or _element(body, "Region") or None,
            _time(_element(body, "ServerTime")),
        )

    @property
    def text(self) -> str:
        """Status, code and explanation, for messages."""
        said = f"{self.status} {self.code}".rstrip()
        return f"{said}: {self.message}" if self.message else said

    @property
    def is_refusal(self) -> bool:
        """Whether a new URL may be accepted."""
        return self.status in REFUSALS and self.code != _SKEWED

    @property
    def slow_down(self) -> bool:
        """Whether the store asks for fewer requests."""
        return self.code == "SlowDown"

    def hint(self, url: str) -> str:
        """Return what to do.

        Args:
            url: The requested URL.
        """
        if self.code == _SKEWED and self.server_time is not None:
            ahead = (utc_now() - self.server_time).total_seconds()
            side = "ahead of" if ahead > 0 else "behind"
            return f"This machine's clock is {abs(ahead):.0f} s {side} the store's; set it."
        signed = signed_region(url)
        if self.region is not None and signed is not None and self.region != signed:
            return (
                f"The bucket is in the region {self.region}, but the URL is signed for {signed}; "
                f"set AWS_REGION={self.region}."
            )
        if self.code.startswith("KMS") or "kms:" in self.message.lower():
            return _KMS
        known = _HINTS.get(self.code)
        if known is not None:
            return known
        host = urlsplit(url).hostname
        if 300 <= self.status < 400:  # noqa: PLR2004 - redirects
            return f"{host} does not hold the bucket; check AWS_REGION and AWS_ENDPOINT_URL_S3."
        return _CREDENTIALS if self.status in REFUSALS else _MOVED


def _element(body: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", body)
    text = html.unescape(found[1]) if found else ""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[
        :_LONGEST
    ]


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
