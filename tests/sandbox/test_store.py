"""The object store accepts valid signatures and reports errors like AWS."""

from __future__ import annotations

import hashlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import obstore
import pytest
import rasterio
import requests
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from obstore.store import S3Store

from constellr_stac.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "LA harbor+port/a=1 ü.tiff"
ODD_KEYS = [
    KEY,
    "a+b",
    "a b",
    "a=b&c",
    "Ω/日本.tif",
    "it's (1)!*",
    "50%25",
    "a//b",
    "~x_y-z.w",
    "a?b#c",
]
CONTENT = bytes(range(256)) * 8


@pytest.fixture(autouse=True)
def _stored(sandbox: Sandbox) -> None:
    sandbox.put(KEY, CONTENT)


def url_of(sandbox: Sandbox, key: str = KEY, bucket: str | None = None) -> str:
    """Return an object's unsigned URL."""
    return f"{sandbox.s3_url}/{bucket or sandbox.bucket}/{quote(key, safe='/-_.~')}"


def credentials_of(aws: Mapping[str, Any]) -> Credentials:
    """Return botocore credentials."""
    return Credentials(aws["access_key_id"], aws["secret_access_key"], aws["token"])


def stamp(when: datetime) -> str:
    """Format a time as in signatures."""
    return when.strftime("%Y%m%dT%H%M%SZ")


def presigned(
    url: str,
    aws: Mapping[str, Any],
    *,
    at: datetime | None = None,
    seconds: int = 60,
    region: str = "eu-central-1",
) -> str:
    """Sign a GET in the query with botocore, at any time."""
    request = AWSRequest("GET", url)
    request.context["timestamp"] = stamp(at or datetime.now(UTC))
    auth = S3SigV4QueryAuth(credentials_of(aws), "s3", region, expires=seconds)
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return str(request.url)


def signed_headers(
    url: str,
    aws: Mapping[str, Any],
    *,
    method: str = "GET",
    at: datetime | None = None,
    region: str = "eu-central-1",
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Sign a request in its headers with botocore."""
    request = AWSRequest(method, url, headers=headers or {})
    request.context["timestamp"] = stamp(at or datetime.now(UTC))
    auth = S3SigV4Auth(credentials_of(aws), "s3", region)
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return dict(request.headers.items())


def get(url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """GET without session defaults."""
    return requests.get(url, headers=headers, timeout=60)


def refusal(response: requests.Response) -> tuple[int, str]:
    """Return status and code of an error in S3's XML."""
    assert response.headers["Content-Type"] == "application/xml"
    found = re.search(r"<Error><Code>(\w+)</Code><Message>[^<]+</Message>", response.text)
    assert found is not None
    return response.status_code, found[1]


def store_of(sandbox: Sandbox) -> S3Store:
    """Return obstore's store for the bucket."""
    aws = sandbox.aws
    return S3Store(
        sandbox.bucket,
        endpoint=sandbox.s3_url,
        region=sandbox.region,
        access_key_id=aws["access_key_id"],
        secret_access_key=aws["secret_access_key"],
        session_token=aws["token"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
    )


# Accepted


@pytest.mark.parametrize("key", ODD_KEYS)
def test_presigned_url_works_for_any_key(sandbox: Sandbox, key: str) -> None:
    """A signature in the query works for any characters in the key."""
    sandbox.put(key, b"pixels")
    answer = get(presigned(url_of(sandbox, key), sandbox.aws))
    assert (answer.status_code, answer.content) == (200, b"pixels")


@pytest.mark.parametrize("key", ["LA harbor+port/a=1 ü.tiff", "a+b", "it's (1)!*", "Ω/日本.tif"])
def test_obstore_reads(sandbox: Sandbox, key: str) -> None:
    """A client that signs headers reads the object and ranges of it."""
    sandbox.put(key, CONTENT)
    store = store_of(sandbox)
    assert obstore.get(store, key).bytes().to_bytes() == CONTENT
    assert obstore.get_range(store, key, start=10, end=20).to_bytes() == CONTENT[10:20]
    assert obstore.head(store, key)["size"] == len(CONTENT)


def test_obstore_presigned_url_works(sandbox: Sandbox) -> None:
    """URLs signed by obstore are accepted."""
    url = obstore.sign(store_of(sandbox), "GET", KEY, timedelta(seconds=60))
    assert get(url).content == CONTENT


def test_gdal_reads_both_ways(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL reads the same raster by credentials and by a pre-signed URL."""
    href = sandbox.items[0]["assets"]["lst"]["href"]
    key = href.removeprefix(f"s3://{sandbox.bucket}/")
    url = presigned(url_of(sandbox, key), sandbox.aws)
    monkeypatch.setenv("AWS_S3_ENDPOINT", sandbox.s3_url.removeprefix("http://"))
    monkeypatch.setenv("AWS_HTTPS", "NO")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTING", "FALSE")
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "CPL_VSIL_CURL_USE_HEAD": "NO"}
    with rasterio.Env(**options):
        with rasterio.open(href.replace("s3://", "/vsis3/")) as by_credentials:
            first = by_credentials.read(1)
        with rasterio.open(url) as by_url:
            second = by_url.read(1)
    assert first.shape == (400, 400)
    assert (first == second).all()


def test_head_matches_get(sandbox: Sandbox) -> None:
    """A signed HEAD has the headers of the GET and no body."""
    url = url_of(sandbox)
    whole = get(url, signed_headers(url, sandbox.aws))
    head = requests.head(url, headers=signed_headers(url, sandbox.aws, method="HEAD"), timeout=60)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "ETag", "Last-Modified", "Content-Type", "Accept-Ranges"):
        assert head.headers[name] == whole.headers[name]


# Refused


def test_unsigned_request_is_refused(sandbox: Sandbox) -> None:
    """Nothing is public, and a refusal does not reveal which objects exist."""
    assert refusal(get(url_of(sandbox))) == (403, "AccessDenied")
    assert refusal(get(url_of(sandbox, "nothing"))) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"a%3D1", "a%3D2"),
        (r"X-Amz-Signature=.", "X-Amz-Signature=x"),
        (r"X-Amz-Expires=60", "X-Amz-Expires=61"),
        (r"X-Amz-Signature", "versionId=1&X-Amz-Signature"),
        (r"%2B", "+"),
    ],
)
def test_tampered_url_is_refused(sandbox: Sandbox, pattern: str, replacement: str) -> None:
    """A change to a signed URL invalidates the signature."""
    sandbox.put(KEY.replace("a=1", "a=2"), b"other")
    url = presigned(url_of(sandbox), sandbox.aws)
    tampered = re.sub(pattern, replacement, url, count=1)
    assert tampered != url
    assert refusal(get(tampered)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Expires"])
def test_repeated_parameter_is_refused(sandbox: Sandbox, name: str) -> None:
    """A second signature beside a valid one is refused."""
    url = presigned(url_of(sandbox), sandbox.aws)
    for other in (re.sub(rf".*({name}=[^&]*).*", r"&\1", url), f"&{name}=1"):
        assert refusal(get(url + other)) == (400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Range": "bytes=0-1"}, None),
        ({"x-amz-date": "{soon}"}, "SignatureDoesNotMatch"),
        ({"Host": "elsewhere"}, "SignatureDoesNotMatch"),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, "SignatureDoesNotMatch"),
        ({"x-amz-request-payer": "requester"}, "AccessDenied"),
    ],
)
def test_tampered_headers_are_refused(
    sandbox: Sandbox, changed: dict[str, str], code: str | None
) -> None:
    """Signed headers must match, and relevant ones must be signed; ranges may differ."""
    url = url_of(sandbox)
    now = datetime.now(UTC)
    headers = signed_headers(url, sandbox.aws, at=now)
    soon = stamp(now + timedelta(seconds=1))
    for name, value in changed.items():
        for old in [known for known in headers if known.lower() == name.lower()]:
            del headers[old]
        headers[name] = value.format(soon=soon)
    answer = get(url, headers)
    if code is None:
        assert answer.status_code == 206
    else:
        assert refusal(answer) == (403, code)


def test_body_must_match_the_signed_hash(sandbox: Sandbox) -> None:
    """A body with another hash, or a request without one, is refused."""
    url = url_of(sandbox)
    headers = signed_headers(url, sandbox.aws)
    answer = requests.get(url, headers=headers, data=b"surprise", timeout=60)
    assert refusal(answer) == (400, "XAmzContentSHA256Mismatch")
    del headers["X-Amz-Content-SHA256"]
    assert refusal(get(url, headers)) == (400, "InvalidRequest")


def test_request_is_signed_in_one_way(sandbox: Sandbox) -> None:
    """A pre-signed URL with an Authorization header is refused, and so is a bearer token."""
    url = url_of(sandbox)
    bearer = {"Authorization": "Bearer eyJ"}
    assert refusal(get(presigned(url, sandbox.aws), bearer)) == (400, "InvalidArgument")
    both = signed_headers(url, sandbox.aws)
    assert refusal(get(presigned(url, sandbox.aws), both)) == (400, "InvalidArgument")
    assert refusal(get(url, bearer)) == (400, "InvalidArgument")


def test_presigned_get_refuses_other_methods(sandbox: Sandbox) -> None:
    """The method is part of the signature."""
    url = presigned(url_of(sandbox), sandbox.aws)
    assert requests.head(url, timeout=60).status_code == 403
    assert refusal(requests.put(url, data=b"", timeout=60)) == (403, "SignatureDoesNotMatch")
    assert get(url).status_code == 200


def test_presigned_url_expires(sandbox: Sandbox) -> None:
    """A URL is valid exactly until its expiry."""
    url = presigned(url_of(sandbox), sandbox.aws, seconds=60)
    sandbox.advance(timedelta(seconds=58))
    assert get(url).status_code == 200
    sandbox.advance(timedelta(seconds=2))
    answer = get(url)
    assert refusal(answer) == (403, "AccessDenied")
    assert "Request has expired" in answer.text


def test_future_url_is_refused(sandbox: Sandbox) -> None:
    """A URL is not valid before its date, with a small tolerance."""
    for minutes, status in ((10, 200), (20, 403)):
        later = datetime.now(UTC) + timedelta(minutes=minutes)
        answer = get(presigned(url_of(sandbox), sandbox.aws, at=later))
        assert answer.status_code == status
    assert "Request is not valid yet" in answer.text


@pytest.mark.parametrize("minutes", [-20, 20])
def test_skewed_clock_is_refused(sandbox: Sandbox, minutes: int) -> None:
    """Signed headers are valid for 15 minutes around their date."""
    url = url_of(sandbox)
    when = datetime.now(UTC) + timedelta(minutes=minutes)
    answer = get(url, signed_headers(url, sandbox.aws, at=when))
    assert refusal(answer) == (403, "RequestTimeTooSkewed")


def test_wrong_region_is_refused(sandbox: Sandbox) -> None:
    """Only the bucket's region is accepted, and the refusal names it."""
    url = url_of(sandbox)
    by_url = get(presigned(url, sandbox.aws, region="us-east-1"))
    assert refusal(by_url) == (400, "AuthorizationQueryParametersError")
    by_header = get(url, signed_headers(url, sandbox.aws, region="us-east-1"))
    assert refusal(by_header) == (400, "AuthorizationHeaderMalformed")
    assert "<Region>eu-central-1</Region>" in by_header.text


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"X-Amz-Expires=60", "X-Amz-Expires=604801"),
        (r"X-Amz-Expires=60", "X-Amz-Expires=0"),
        (r"X-Amz-Expires=60", "X-Amz-Expires=soon"),
        (r"&X-Amz-Expires=60", ""),
        (r"X-Amz-Date=", "X-Amz-Date=x"),
        (r"AWS4-HMAC-SHA256", "AWS4"),
        (r"%2Fs3%2F", "%2Fsts%2F"),
        (r"%2Fs3%2F", "%2F"),
        (r"X-Amz-Credential=", "X-Amz-Credential=a%2F"),
    ],
)
def test_malformed_query_is_refused(sandbox: Sandbox, pattern: str, replacement: str) -> None:
    """A malformed signature is distinguished from a wrong one."""
    url = presigned(url_of(sandbox), sandbox.aws)
    malformed = re.sub(pattern, replacement, url, count=1)
    assert malformed != url
    assert refusal(get(malformed)) == (400, "AuthorizationQueryParametersError")


def test_malformed_header_is_refused(sandbox: Sandbox) -> None:
    """Likewise for a signature in the headers; one without a date is refused."""
    url = url_of(sandbox)
    headers = signed_headers(url, sandbox.aws)
    cut = {**headers, "Authorization": headers["Authorization"].partition(", Signature")[0]}
    assert refusal(get(url, cut)) == (400, "AuthorizationHeaderMalformed")
    del headers["X-Amz-Date"]
    assert refusal(get(url, headers)) == (403, "AccessDenied")


# Keys and their tokens


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"access_key_id": "ASIAUNKNOWN"}, (403, "InvalidAccessKeyId")),
        ({"secret_access_key": "wrong"}, (403, "SignatureDoesNotMatch")),
        ({"token": None}, (403, "InvalidAccessKeyId")),
        ({"token": "made up"}, (400, "InvalidToken")),
    ],
)
def test_wrong_credentials_are_refused(
    sandbox: Sandbox, changed: dict[str, Any], expected: tuple[int, str]
) -> None:
    """Each part of temporary credentials is verified, in headers and in queries."""
    url, aws = url_of(sandbox), {**sandbox.aws, **changed}
    assert refusal(get(presigned(url, aws))) == expected
    assert refusal(get(url, signed_headers(url, aws))) == expected


def test_session_token_expires() -> None:
    """Expired credentials, and URLs signed with them, are refused."""
    with Sandbox(session_lifetime=timedelta(minutes=10)) as sandbox:
        sandbox.put(KEY, CONTENT)
        aws, url = sandbox.aws, url_of(sandbox)
        signed = presigned(url, aws, seconds=3600)
        left = aws["expires_at"] - datetime.now(UTC)
        assert timedelta(minutes=9, seconds=50) < left <= timedelta(minutes=10)
        sandbox.advance(left - timedelta(seconds=5))
        assert get(signed).status_code == 200
        sandbox.advance(timedelta(seconds=6))
        assert refusal(get(signed)) == (400, "ExpiredToken")
        assert refusal(get(url, signed_headers(url, aws))) == (400, "ExpiredToken")


def test_credentials_renew_at_half_their_lifetime() -> None:
    """In the second half, new keys are returned; the old ones stay valid."""
    with Sandbox(session_lifetime=timedelta(minutes=10)) as sandbox:
        sandbox.put(KEY, CONTENT)
        first = sandbox.aws
        sandbox.advance(timedelta(minutes=4))
        assert sandbox.aws == first
        sandbox.advance(timedelta(minutes=2))
        second = sandbox.aws
        assert second["access_key_id"] != first["access_key_id"]
        assert second["expires_at"] > first["expires_at"]
        for aws in (first, second):
            assert get(presigned(url_of(sandbox), aws, seconds=3600)).status_code == 200


def test_rotated_credentials_expire_immediately(sandbox: Sandbox) -> None:
    """After a rotation only the new keys are accepted."""
    old = sandbox.aws
    new = sandbox.rotate_aws()
    assert new == sandbox.aws
    assert refusal(get(presigned(url_of(sandbox), old))) == (400, "ExpiredToken")
    assert get(presigned(url_of(sandbox), new)).status_code == 200


# Objects


def test_error_codes(sandbox: Sandbox) -> None:
    """No such key, no such bucket, no listing, no writing."""
    aws = sandbox.aws
    answer = get(presigned(url_of(sandbox, "no/such + key"), aws))
    assert refusal(answer) == (404, "NoSuchKey")
    assert "<Key>no/such + key</Key>" in answer.text
    assert refusal(get(presigned(url_of(sandbox, bucket="other"), aws))) == (404, "NoSuchBucket")
    assert refusal(get(presigned(url_of(sandbox, ""), aws))) == (403, "AccessDenied")
    url = url_of(sandbox)
    for method in ("PUT", "DELETE", "POST"):
        headers = signed_headers(url, aws, method=method)
        answer = requests.request(method, url, headers=headers, timeout=60)
        assert refusal(answer) == (405, "MethodNotAllowed")


def test_put_replaces_and_delete_removes(sandbox: Sandbox) -> None:
    """Each object has its own ETag; a deleted one is not found."""
    assert sandbox.put("a b+c", b"one") == f"s3://{sandbox.bucket}/a b+c"
    url = presigned(url_of(sandbox, "a b+c"), sandbox.aws)
    first = get(url)
    sandbox.put("a b+c", b"two")
    second = get(url)
    assert (first.content, second.content) == (b"one", b"two")
    assert first.headers["ETag"] == f'"{hashlib.md5(b"one", usedforsecurity=False).hexdigest()}"'
    assert first.headers["ETag"] != second.headers["ETag"]
    sandbox.delete("a b+c")
    assert get(url).status_code == 404
    with pytest.raises(KeyError):
        sandbox.delete("a b+c")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=2040-", 2040, 2048),
        ("bytes=2040-99999", 2040, 2048),
        ("bytes=-8", 2040, 2048),
        ("bytes=-99999", 0, 2048),
    ],
)
def test_range_is_served(sandbox: Sandbox, asked: str, start: int, stop: int) -> None:
    """A byte range gets 206 with Content-Range."""
    answer = get(presigned(url_of(sandbox), sandbox.aws), {"Range": asked})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/2048"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=9999-10000", "bytes=-0"])
def test_range_beyond_the_end_is_refused(sandbox: Sandbox, asked: str) -> None:
    """An empty range gets 416."""
    answer = get(presigned(url_of(sandbox), sandbox.aws), {"Range": asked})
    assert refusal(answer) == (416, "InvalidRange")


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,4-5", "bytes=5-4", "lines=1-2", "bytes=-", "nonsense"]
)
def test_other_ranges_are_ignored(sandbox: Sandbox, asked: str) -> None:
    """Multiple or invalid ranges return the whole object, as in S3."""
    answer = get(presigned(url_of(sandbox), sandbox.aws), {"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_conditional_requests(sandbox: Sandbox) -> None:
    """If-Match, If-None-Match, their dates and If-Range work as in HTTP."""
    url = presigned(url_of(sandbox), sandbox.aws)
    found = get(url)
    tag, date = found.headers["ETag"], found.headers["Last-Modified"]
    past = "Mon, 01 Jan 2001 00:00:00 GMT"
    expected = [
        ({"If-Match": tag}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": f'"other", {tag}'}, 200),
        ({"If-Unmodified-Since": date}, 200),
        ({"If-Unmodified-Since": past}, 412),
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": past}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"Range": "bytes=0-9", "If-Range": tag}, 206),
        ({"Range": "bytes=0-9", "If-Range": date}, 206),
        ({"Range": "bytes=0-9", "If-Range": '"other"'}, 200),
        ({"Range": "bytes=0-9", "If-Range": past}, 200),
    ]
    for headers, status in expected:
        assert (headers, get(url, headers).status_code) == (headers, status)
    unchanged = get(url, {"If-None-Match": tag})
    assert (unchanged.content, unchanged.headers["ETag"]) == (b"", tag)


# The server's own signatures


def first_href(sandbox: Sandbox) -> str:
    """Fetch an item and return its first asset's href."""
    form = {"username": sandbox.username, "password": sandbox.password}
    token = requests.post(f"{sandbox.api_url}/token", data=form, timeout=60).json()["access_token"]
    item = sandbox.items[0]
    url = f"{sandbox.api_url}/stac/collections/{item['collection']}/items/{item['id']}"
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    return str(answer.json()["assets"]["lst"]["href"])


def test_server_signs_with_its_own_keys() -> None:
    """Pre-signed hrefs are new each time and outlive the client's keys."""
    with Sandbox(presigned=True) as sandbox:
        first = first_href(sandbox)
        assert first.startswith(f"{sandbox.s3_url}/{sandbox.bucket}/LA%20harbor%2Bport/")
        assert sandbox.aws["access_key_id"] not in first
        sandbox.rotate_aws()
        sandbox.advance(timedelta(seconds=1))
        second = first_href(sandbox)
        assert first != second
        assert get(first).content == get(second).content
        assert get(first).content[:4] == b"II*\0"


def test_url_lifetime_is_applied() -> None:
    """A URL expires after ``url_lifetime``; a new one works."""
    with Sandbox(presigned=True, url_lifetime=timedelta(minutes=2)) as sandbox:
        url = first_href(sandbox)
        assert get(url).status_code == 200
        sandbox.advance(timedelta(seconds=121))
        assert refusal(get(url)) == (403, "AccessDenied")
        assert get(first_href(sandbox)).status_code == 200


# Latency, log and faults


def test_latency_is_concurrent() -> None:
    """Concurrent requests wait in parallel."""
    latency = 2.0
    with Sandbox(latency=latency) as sandbox, ThreadPoolExecutor(20) as pool:
        sandbox.put(KEY, CONTENT)
        url = presigned(url_of(sandbox), sandbox.aws)

        def timed(_: int) -> float:
            start = time.perf_counter()
            assert get(url).status_code == 200
            return time.perf_counter() - start

        start = time.perf_counter()
        each = list(pool.map(timed, range(20)))
        assert min(each) >= latency
        assert time.perf_counter() - start < 20 * latency / 2


def test_no_added_latency(sandbox: Sandbox) -> None:
    """A kept connection does not wait for delayed acknowledgements (40 ms)."""
    url = presigned(url_of(sandbox), sandbox.aws)
    seconds = []
    with requests.Session() as session:
        for _ in range(40):
            start = time.perf_counter()
            assert session.get(url, timeout=60).content == CONTENT
            seconds.append(time.perf_counter() - start)
    assert sorted(seconds)[4] < 0.035  # a busy machine delays most requests, but not all


def test_requests_are_logged(sandbox: Sandbox) -> None:
    """Each server's requests are logged completely, with their status."""
    sandbox.clear_requests()
    get(presigned(url_of(sandbox), sandbox.aws), {"Range": "bytes=0-1"})
    get(url_of(sandbox))
    first, second = sandbox.requests
    assert (first.server, first.method, first.status) == ("store", "GET", 206)
    assert first.path == f"/{sandbox.bucket}/{KEY}"
    assert first.headers["range"] == "bytes=0-1"
    assert "X-Amz-Signature=" in first.query
    assert "Signature" not in repr(first)
    assert (second.status, second.query) == (403, "")
    assert first.when <= second.when


def test_store_faults(sandbox: Sandbox) -> None:
    """A fault applies to matching requests, as often as specified."""
    url = presigned(url_of(sandbox), sandbox.aws)
    sandbox.fail(Fault(r"ü\.tiff$", server="store", status=503, times=2, skip=1, body=b"slow"))
    assert [get(url).status_code for _ in range(4)] == [200, 503, 503, 200]
    sandbox.fail(Fault("tiff", server="api", status=503))
    sandbox.fail(Fault("tiff", method="HEAD", status=503))
    assert get(url).status_code == 200
