"""Presigned URLs equal botocore's, and S3 accepts them."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import requests
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from constellr_stac.config import StorageSettings
from constellr_stac.signing.aws_credentials import StorageCredentials
from constellr_stac.signing.presign import presigned
from constellr_stac.signing.s3_url import ObjectAddress, base_url

if TYPE_CHECKING:
    from object_store import Swift

REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-4", "us-gov-west-1")
ENDPOINTS = (None, "http://127.0.0.1:9000", "https://s3.example.com")
BUCKETS = ("scenes", "scenes.v2", "Old_Bucket")
CHARACTERS = string.ascii_letters + string.digits + "-._~ +&=?#%:;,@!$'()*[]|<>\"\\äß日🌡"


def random_text(draw: random.Random, longest: int) -> str:
    """Return text of random length."""
    return "".join(draw.choice(CHARACTERS) for _ in range(draw.randint(1, longest)))


@pytest.mark.parametrize("seed", range(8))
def test_signatures_equal_botocores(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For random keys, regions, endpoints, session tokens, times and lifetimes."""
    draw = random.Random(seed)  # noqa: S311 - test cases, not secrets
    for _ in range(500):
        settings = StorageSettings(draw.choice(REGIONS), draw.choice(ENDPOINTS))
        address = ObjectAddress(
            draw.choice(BUCKETS), "/".join(random_text(draw, 12) for _ in range(draw.randint(1, 4)))
        )
        token = random_text(draw, 60) if draw.random() < 0.5 else None
        secret, access_key = random_text(draw, 40), f"AKIA{draw.randint(0, 10**12)}"
        now = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.randint(0, 10**9))
        life = draw.randint(1, 604_800)
        ours = presigned(
            address, settings, StorageCredentials(access_key, secret, token), now, life
        )
        request = AWSRequest(
            "GET", f"{base_url(address.bucket, settings)}/{quote(address.key, safe='/-._~')}"
        )
        with monkeypatch.context() as patch:
            patch.setattr("botocore.auth.get_current_datetime", lambda now=now: now)
            S3SigV4QueryAuth(
                Credentials(access_key, secret, token), "s3", settings.region, expires=life
            ).add_auth(request)
        url, _, query = ours.partition("?")
        theirs, _, their_query = request.url.partition("?")
        assert url == theirs
        assert sorted(query.split("&")) == sorted(their_query.split("&"))


@pytest.mark.parametrize("key", ["lst.tiff", "LA harbor+port/ü=1 & [x].tiff", "a%20b/~c"])
def test_s3_accepts_presigned_urls(swift: Swift, key: str) -> None:
    """S3 serves the object, and refuses the URL with another signature."""
    swift.put("presign", key, b"pixels")
    settings = StorageSettings(swift.region, swift.endpoint)
    credentials = StorageCredentials(swift.access_key, swift.secret_key)
    url = presigned(ObjectAddress("presign", key), settings, credentials, datetime.now(UTC), 60)
    assert requests.get(url, timeout=60).content == b"pixels"
    wrong = StorageCredentials(swift.access_key, "wrong")
    url = presigned(ObjectAddress("presign", key), settings, wrong, datetime.now(UTC), 60)
    assert requests.get(url, timeout=60).status_code == 403
