"""AWS Signature Version 4: verification in the store, and pre-signing in the API.

The expected signature is recomputed with botocore from the request as received.
"""

from __future__ import annotations

import hmac
import math
from http.client import HTTPMessage
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .options import REGION
from .s3_errors import S3Error
from .sigv4_request import TIMESTAMP, Received, read_signature

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from .access_keys import AccessKeys, Keyring
    from .sigv4_request import RequestSignature

__all__ = ["check_signature", "presign"]

_SAFE = "-_.~"


def check_signature(request: Received, keyring: Keyring, now: datetime) -> None:
    """Raise :class:`S3Error` unless the request is signed with valid keys."""
    signed = read_signature(request, now)
    keys = _keys(signed, keyring, now)
    if not hmac.compare_digest(_signature(request, signed, keys), signed.signature):
        raise S3Error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            AWSAccessKeyId=signed.access_key_id,
        )


def presign(url: str, keys: AccessKeys, lifetime: timedelta, now: datetime) -> str:
    """Return a percent-encoded ``url``, signed for a GET within ``lifetime``.

    S3 counts whole seconds, from the whole second of signing.
    """
    expires = max(1, math.ceil(lifetime.total_seconds()))
    return _Presigner(_credentials(keys), "s3", REGION, expires).signed(url, now)


def _keys(signed: RequestSignature, keyring: Keyring, now: datetime) -> AccessKeys:
    keys = keyring.find(signed.access_key_id)
    if keys is None or signed.token is None:  # temporary keys require their token
        raise S3Error(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            AWSAccessKeyId=signed.access_key_id,
        )
    if not hmac.compare_digest(signed.token.encode(), keys.token.encode()):
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    if keys.expires_at is not None and keys.expires_at <= now:
        raise S3Error(400, "ExpiredToken", "The provided token has expired.")
    return keys


def _signature(request: Received, signed: RequestSignature, keys: AccessKeys) -> str:
    query = sorted(
        (quote(name, _SAFE), quote(value, _SAFE))
        for name, value in request.query
        if not (signed.presigned and name == "X-Amz-Signature")
    )
    path = quote(request.path, "/" + _SAFE)
    repeated = AWSRequest(
        request.method,
        f"http://store{path}?" + "&".join(f"{name}={value}" for name, value in query),
        {name: request.headers.get(name, "") for name in signed.signed_headers},
    )
    repeated.context["timestamp"] = signed.timestamp
    auth = _Check(_credentials(keys), "s3", REGION)
    signature: str = auth.signature(
        auth.string_to_sign(repeated, auth.canonical_request(repeated)), repeated
    )
    return signature


def _credentials(keys: AccessKeys) -> Credentials:
    return Credentials(keys.access_key_id, keys.secret_access_key, keys.token)


class _Check(S3SigV4QueryAuth):  # type: ignore[misc]  # botocore has no type information
    """Signs the headers listed as signed; the request has no others.

    Also for signatures in headers: their payload's hash is one of the signed headers.
    """

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        headers = HTTPMessage()
        for name, value in request.headers.items():
            headers[name.lower()] = value
        return headers


class _Presigner(S3SigV4QueryAuth):  # type: ignore[misc]  # likewise
    """Signs at a given time instead of botocore's clock."""

    def signed(self, url: str, now: datetime) -> str:
        request = AWSRequest("GET", url)
        request.context["timestamp"] = now.strftime(TIMESTAMP)
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        signed: str = request.url
        return signed
