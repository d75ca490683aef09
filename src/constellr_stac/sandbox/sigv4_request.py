"""The signature of a request, parsed from its query or headers.

Form, scope and time are checked here; :mod:`~constellr_stac.sandbox.signatures` verifies the
signature itself.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from .options import REGION
from .s3_errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TIMESTAMP", "UNSIGNED_PAYLOAD", "Received", "RequestSignature", "read_signature"]

TIMESTAMP = "%Y%m%dT%H%M%SZ"
"""Format of a signature's date."""
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""Replaces the body's hash if the body is not signed."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_MAX_SKEW = timedelta(minutes=15)
_MAX_EXPIRES = 604_800


class Received(NamedTuple):
    """A request as received."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path as S3 decodes it: ``+`` is a space, so keys encode theirs as ``%2B``."""
        return unquote_to_bytes(self.raw_path.replace("+", " ")).decode("utf-8", "replace")

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query, in order."""
        parts = (part.partition("=") for part in self.raw_query.split("&") if part)
        return [(unquote(name), unquote(value)) for name, _, value in parts]


class RequestSignature(NamedTuple):
    """A request's signature and its parameters."""

    access_key_id: str
    signed_headers: frozenset[str]
    signature: str
    timestamp: str
    token: str | None
    presigned: bool


def read_signature(request: Received, now: datetime) -> RequestSignature:
    """Return a well-formed and current signature, else raise :class:`S3Error`."""
    prefix = "X-Amz-"
    parameters = [(n.removeprefix(prefix), v) for n, v in request.query if n.startswith(prefix)]
    found = dict(parameters)
    authorization = request.headers.get("authorization")
    presigned = not found.keys().isdisjoint({"Algorithm", "Signature"})
    if presigned and authorization is not None:
        raise S3Error(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature "
            "query string parameter or the Authorization header should be specified",
            ArgumentName="Authorization",
        )
    if presigned:
        if len(found) < len(parameters):
            raise _malformed_query("Each X-Amz- query parameter must occur once")
        signature = _in_query(found, now)
    elif authorization is not None:
        signature = _in_headers(request, authorization, now)
    else:
        raise S3Error(403, "AccessDenied", "Access Denied")
    required = {n for n in request.headers if n == "host" or n.startswith("x-amz-")}
    if not required <= signature.signed_headers:
        raise S3Error(
            403,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(sorted(required - signature.signed_headers)),
        )
    return signature


def _in_query(found: dict[str, str], now: datetime) -> RequestSignature:
    names = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
    if any(name not in found for name in names):
        raise _malformed_query(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if found["Algorithm"] != _ALGORITHM:
        raise _malformed_query(f'X-Amz-Algorithm only supports "{_ALGORITHM}"')
    when = _timestamp(found["Date"])
    if when is None:
        raise _malformed_query("X-Amz-Date must be in the ISO8601 Long Format")
    problem = _scope_problem(found["Credential"], when)
    if problem:
        raise _malformed_query(f"Error parsing the X-Amz-Credential parameter; {problem}")
    seconds = found["Expires"]
    if not seconds.isdecimal() or not 1 <= int(seconds) <= _MAX_EXPIRES:
        raise _malformed_query(f"X-Amz-Expires must be a number from 1 to {_MAX_EXPIRES}")
    if when - now > _MAX_SKEW:
        raise S3Error(403, "AccessDenied", "Request is not valid yet")
    expires = when + timedelta(seconds=int(seconds))
    if now >= expires:
        times = {"X-Amz-Expires": seconds, "Expires": _iso(expires), "ServerTime": _iso(now)}
        raise S3Error(403, "AccessDenied", "Request has expired", **times)
    return _signature(found, found["Date"], found.get("Security-Token"), presigned=True)


def _in_headers(request: Received, authorization: str, now: datetime) -> RequestSignature:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != _ALGORITHM:
        raise S3Error(
            400, "InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization"
        )
    found = {
        name.strip(): value for name, _, value in (part.partition("=") for part in rest.split(","))
    }
    if not {"Credential", "SignedHeaders", "Signature"} <= found.keys():
        raise _malformed_header(
            "The authorization header requires three components: Credential, SignedHeaders, and "
            "Signature."
        )
    timestamp = request.headers.get("x-amz-date", "")
    when = _timestamp(timestamp)
    if when is None:
        raise S3Error(
            403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        )
    problem = _scope_problem(found["Credential"], when)
    if problem:
        raise _malformed_header(f"The authorization header is malformed; {problem}")
    if abs(when - now) > _MAX_SKEW:
        raise S3Error(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            RequestTime=timestamp,
            ServerTime=_iso(now),
            MaxAllowedSkewMilliseconds=str(_MAX_SKEW // timedelta(milliseconds=1)),
        )
    _check_payload(request)
    token = request.headers.get("x-amz-security-token")
    return _signature(found, timestamp, token, presigned=False)


def _signature(
    found: Mapping[str, str], timestamp: str, token: str | None, *, presigned: bool
) -> RequestSignature:
    return RequestSignature(
        access_key_id=found["Credential"].partition("/")[0],
        signed_headers=frozenset(found["SignedHeaders"].split(";")),
        signature=found["Signature"],
        timestamp=timestamp,
        token=token,
        presigned=presigned,
    )


def _check_payload(request: Received) -> None:
    digest = request.headers.get("x-amz-content-sha256")
    if digest is None:
        raise S3Error(
            400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    if digest not in (UNSIGNED_PAYLOAD, hashlib.sha256(request.body).hexdigest()):
        raise S3Error(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )


def _scope_problem(credential: str, when: datetime) -> str | None:
    """Return the problem with ``<key>/<date>/<region>/s3/aws4_request``, if any."""
    _, *scope = credential.split("/")
    names = ("date", "region", "service", "terminal")
    expected = (f"{when:%Y%m%d}", REGION, "s3", "aws4_request")
    if len(scope) != len(expected):
        return "the Credential is mal-formed; expecting KEY/YYYYMMDD/REGION/SERVICE/aws4_request."
    for name, actual, expected_value in zip(names, scope, expected, strict=True):
        if actual != expected_value:
            return f"the {name} '{actual}' is wrong; expecting '{expected_value}'"
    return None


def _malformed_query(message: str) -> S3Error:
    return S3Error(400, "AuthorizationQueryParametersError", message)


def _malformed_header(message: str) -> S3Error:
    return S3Error(400, "AuthorizationHeaderMalformed", message, Region=REGION)


def _timestamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
