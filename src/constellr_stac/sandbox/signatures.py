"""AWS Signature Version 4, as the store checks it and as the API signs URLs.

What should have been signed is computed anew, with botocore, from the request as it was
received.
"""

from __future__ import annotations

import hmac
import math
from http.client import HTTPMessage
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .options import REGION
from .s3_errors import S3Error
from .sigv4_request import TIMESTAMP, Received, read_claim

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from .access_keys import AccessKeys, Keyring
    from .sigv4_request import Claim

__all__ = ["check_signature", "presign"]

_SAFE = "-_.~"


def check_signature(request: Received, keyring: Keyring, now: datetime) -> AccessKeys:
    """Return the keys that signed the request.

    Raises:
        S3Error: Nobody did, or the signature does not hold (any more).
    """
    claim = read_claim(request, now)
    keys = _keys(claim, keyring, now)
    if not hmac.compare_digest(_signature(request, claim, keys), claim.signature):
        raise S3Error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            AWSAccessKeyId=claim.access_key_id,
        )
    return keys


def presign(url: str, keys: AccessKeys, lifetime: timedelta, now: datetime) -> str:
    """Return ``url``, percent-encoded already, signed for a GET within ``lifetime``.

    S3 counts whole seconds, from the whole second in which the signature was made.
    """
    expires = max(1, math.ceil(lifetime.total_seconds()))
    return _Presigner(_credentials(keys), "s3", REGION, expires).signed(url, now)


def _keys(claim: Claim, keyring: Keyring, now: datetime) -> AccessKeys:
    keys = keyring.find(claim.access_key_id)
    if keys is None or claim.token is None:  # temporary keys are nothing without their token
        raise S3Error(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            AWSAccessKeyId=claim.access_key_id,
        )
    if not hmac.compare_digest(claim.token.encode(), keys.token.encode()):
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    if keys.expires_at is not None and keys.expires_at <= now:
        raise S3Error(400, "ExpiredToken", "The provided token has expired.")
    return keys


def _signature(request: Received, claim: Claim, keys: AccessKeys) -> str:
    query = sorted(
        (quote(name, _SAFE), quote(value, _SAFE))
        for name, value in request.query
        if not (claim.presigned and name == "X-Amz-Signature")
    )
    path = quote(request.path, "/" + _SAFE)
    again = AWSRequest(
        request.method,
        f"http://store{path}?" + "&".join(f"{name}={value}" for name, value in query),
        {name: request.headers.get(name, "") for name in claim.signed_headers},
    )
    again.context["timestamp"] = claim.timestamp
    kind = _QueryCheck if claim.presigned else _HeaderCheck
    auth = kind(_credentials(keys), "s3", REGION)
    signature: str = auth.signature(
        auth.string_to_sign(again, auth.canonical_request(again)), again
    )
    return signature


def _credentials(keys: AccessKeys) -> Credentials:
    return Credentials(keys.access_key_id, keys.secret_access_key, keys.token)


class _HeaderCheck(S3SigV4Auth):  # type: ignore[misc]  # botocore has no type information
    """Counts those headers that the client says it signed, which are all the request has."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        return _all_headers(request)


class _QueryCheck(S3SigV4QueryAuth):  # type: ignore[misc]  # the same
    """The same for a signature in the query."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        return _all_headers(request)


def _all_headers(request: AWSRequest) -> HTTPMessage:
    headers = HTTPMessage()
    for name, value in request.headers.items():
        headers[name.lower()] = value
    return headers


class _Presigner(S3SigV4QueryAuth):  # type: ignore[misc]  # the same
    """Signs at a given time, where botocore asks its own clock."""

    def signed(self, url: str, now: datetime) -> str:
        request = AWSRequest("GET", url)
        request.context["timestamp"] = now.strftime(TIMESTAMP)
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        signed: str = request.url
        return signed
