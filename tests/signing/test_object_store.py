"""The test S3 accepts valid signatures only."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
import requests
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from object_store import Swift

OWNER = """
import sys, time
from pathlib import Path
from object_store import running_swift
with running_swift(Path(sys.argv[1], "swift")) as swift:
    print(swift.endpoint, flush=True)
    time.sleep(60)
"""

KEY = "LA harbor+port/a=1 ü.tiff"


def presigned(swift: Swift, *, signed_at: datetime, seconds: int = 60) -> str:
    """Presign a GET of ``KEY`` at a given time, with botocore."""
    request = AWSRequest("GET", f"{swift.endpoint}/laws/{quote(KEY)}")
    request.context["timestamp"] = signed_at.strftime("%Y%m%dT%H%M%SZ")
    credentials = Credentials(swift.access_key, swift.secret_key)
    auth = S3SigV4QueryAuth(credentials, "s3", swift.region, expires=seconds)
    auth._modify_request_before_signing(request)
    signature = auth.signature(
        auth.string_to_sign(request, auth.canonical_request(request)), request
    )
    auth._inject_signature_to_request(request, signature)
    return str(request.url)


@pytest.fixture(autouse=True)
def _stored(swift: Swift) -> None:
    swift.put("laws", KEY, b"pixels")


def test_presigned_url_is_served(swift: Swift) -> None:
    """Whole and by range, until it expires."""
    url = presigned(swift, signed_at=datetime.now(UTC))
    assert requests.get(url, timeout=60).content == b"pixels"
    part = requests.get(url, headers={"Range": "bytes=1-2"}, timeout=60)
    assert (part.status_code, part.content) == (206, b"ix")


def test_signed_header_is_served(swift: Swift) -> None:
    """A signature in the Authorization header is accepted."""
    assert swift.client.get_object(Bucket="laws", Key=KEY)["Body"].read() == b"pixels"


def test_expired_url_is_refused(swift: Swift) -> None:
    """An expired signature is refused."""
    url = presigned(swift, signed_at=datetime.now(UTC) - timedelta(seconds=61))
    assert requests.get(url, timeout=60).status_code == 403


@pytest.mark.parametrize(
    ("signed", "tampered"),
    [("a%3D1", "a%3D2"), ("X-Amz-Expires=60", "X-Amz-Expires=61"), ("Signature=", "Signature=0")],
    ids=["key", "expiry", "signature"],
)
def test_tampered_url_is_refused(swift: Swift, signed: str, tampered: str) -> None:
    """A signature is valid for one object, time and key."""
    url = presigned(swift, signed_at=datetime.now(UTC))
    assert signed in url
    assert requests.get(url.replace(signed, tampered), timeout=60).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer token"}])
def test_unsigned_request_is_refused(swift: Swift, headers: dict[str, str]) -> None:
    """Neither anonymous requests nor other services' tokens are accepted."""
    url = f"{swift.endpoint}/laws/{quote(KEY)}"
    assert requests.get(url, headers=headers, timeout=60).status_code == 403


def test_wrong_secret_is_refused(swift: Swift) -> None:
    """A signature with another secret is refused."""
    impostor = type(swift)(swift.endpoint, secret_key="guessed")
    with pytest.raises(impostor.client.exceptions.ClientError) as refused:
        impostor.client.get_object(Bucket="laws", Key=KEY)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_server_stops_with_its_parent(tmp_path: Path) -> None:
    """A killed test run leaves no server running."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    with owner:
        assert owner.stdout is not None
        endpoint = owner.stdout.readline().decode().strip()
        assert requests.get(endpoint, timeout=60).status_code == 403
        owner.kill()
    deadline = time.monotonic() + 60
    while is_listening(endpoint):
        assert time.monotonic() < deadline, "Swift outlived the process that started it"


def is_listening(endpoint: str) -> bool:
    """Return whether ``endpoint`` accepts connections."""
    parts = urlsplit(endpoint)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0
