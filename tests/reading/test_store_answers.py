"""What S3 says in an error is followed, or quoted with what to do."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from constellr_stac import AssetReadError, Limits, Signer
from constellr_stac.auth.hosts import host_of
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.resolver import AssetResolver
from weak_network import AnswerServer

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from weak_network import Answer

HOME = "eu-central-1"
KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "secret"}


def error(code: str, message: str = "", more: str = "") -> bytes:
    """Return S3's XML of an error."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return f'<?xml version="1.0"?>{text}'.encode()


def read(server: AnswerServer, signer: Signer | None = None, key: str = "lst.tiff") -> bytes:
    """Read an object through a server."""
    signer = signer or signer_of(server)
    resolver = AssetResolver(signer=signer, limits=Limits(retry_deadline=2))
    return Transfer(resolver, 1).get(AssetRef(f"s3://scenes/{key}"), 0, 100)[0]


def signer_of(server: AnswerServer, region: str = "us-west-2") -> Signer:
    """Return a signer for a server."""
    return Signer(credentials=KEYS, endpoint=server.url, region=region)


@pytest.mark.parametrize("where", ["header", "body"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "PermanentRedirect"),
        (400, "AuthorizationHeaderMalformed"),
        (400, "AuthorizationQueryParametersError"),
        (403, "SignatureDoesNotMatch"),
    ],
)
def test_region_of_a_bucket_is_learnt(status: int, code: str, where: str) -> None:
    """The first answer names the region; all later URLs of the bucket are signed for it."""

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        if f"%2F{HOME}%2Fs3" in request.path:
            return 200, {}, b"pixels"
        if where == "header":
            return status, {"x-amz-bucket-region": HOME, "Location": "/elsewhere"}, error(code)
        return status, {}, error(code, more=f"<Region>{HOME}</Region>")

    with AnswerServer(answer) as server:
        signer = signer_of(server)
        assert read(server, signer) == read(server, signer, "mask.tiff") == b"pixels"
        assert len(server.paths) == 3
        url = signer.sign("s3://scenes/lst.tiff")
        assert signer.sign(url) == url
        assert f"%2F{HOME}%2Fs3" in signer_of(server).sign("s3://scenes/other.tiff")
        assert "%2Fus-west-2%2Fs3" in signer.sign("s3://other/lst.tiff")


@pytest.mark.parametrize("region", ["eu-central-1.example.com/", "us west", "", "x" * 99])
def test_region_is_a_region(region: str) -> None:
    """What a server names is not put into a host's name unless it has a region's form."""
    with AnswerServer(lambda _: (301, {"x-amz-bucket-region": region}, error("Moved"))) as server:
        with pytest.raises(AssetReadError, match="301 Moved"):
            read(server)
        assert len(server.paths) == 1


def test_region_that_does_not_help_is_named() -> None:
    """A store that names a region and refuses it is asked twice, and the message has both."""
    with AnswerServer(
        lambda _: (301, {"x-amz-bucket-region": HOME}, error("PermanentRedirect"))
    ) as server:
        with pytest.raises(AssetReadError, match="AWS_REGION"):
            read(server)
        assert len(server.paths) == 2


def test_clock_skew_is_measured() -> None:
    """RequestTimeTooSkewed says how far the clock is off, and is not asked twice."""
    theirs = datetime.now(UTC) + timedelta(seconds=1200)
    more = f"<ServerTime>{theirs:%Y-%m-%dT%H:%M:%SZ}</ServerTime>"
    body = error("RequestTimeTooSkewed", "The difference is too large.", more)
    with AnswerServer(lambda _: (403, {}, body)) as server:
        with pytest.raises(AssetReadError, match=r"clock is (1199|1200) s behind") as caught:
            read(server)
        assert "The difference is too large" in str(caught.value)
        assert len(server.paths) == 1


@pytest.mark.parametrize(
    ("status", "code", "message", "advice"),
    [
        (403, "InvalidObjectState", "The operation is not valid.", "archived"),
        (400, "KMS.DisabledException", "arn is disabled.", "kms:Decrypt"),
        (403, "AccessDenied", "not authorized to perform: kms:Decrypt", "kms:Decrypt"),
        (400, "RequestExpired", "Request has expired.", "clock"),
        (404, "NoSuchKey", "It does &lt;not&gt; exist.\x1b[2J", "search again"),
    ],
)
def test_message_is_quoted_with_advice(status: int, code: str, message: str, advice: str) -> None:
    """S3's code and message are in the error, without control characters, and what to do."""
    body = error(code, message)
    with (
        AnswerServer(lambda _: (status, {}, body)) as server,
        pytest.raises(AssetReadError, match=advice) as caught,
    ):
        read(server)
    assert host_of(server.url)._next == 0.0  # only SlowDown holds other requests
    said = str(caught.value)
    assert f"{status} {code}: " in said
    assert "\x1b" not in said
    assert "<not>" in said or "&lt;" not in message


def test_slow_down_holds_all_requests_to_the_store() -> None:
    """After SlowDown another read of the same store waits as well."""
    answers = [(503, {"Retry-After": "1"}, error("SlowDown")), (200, {}, b"x"), (200, {}, b"y")]
    with AnswerServer(lambda _: answers.pop(0)) as server:
        start = time.monotonic()
        assert read(server) == b"x"
        assert time.monotonic() - start > 0.9


def test_a_store_cannot_hold_requests_for_longer_than_a_minute() -> None:
    """However long Retry-After is after SlowDown, the host's next turn is within 60 s."""
    answer = (503, {"Retry-After": "86400"}, error("SlowDown"))
    limits = Limits(retry_deadline=0.1)
    with AnswerServer(lambda _: answer) as server:
        resolver = AssetResolver(signer=signer_of(server), limits=limits)
        with pytest.raises(AssetReadError, match="SlowDown"):
            Transfer(resolver, 1).get(AssetRef("s3://scenes/lst.tiff"), 0, 100)
        wait = host_of(server.url)._next - time.monotonic()
        assert 50 < wait <= 60
