"""Signed URLs: validity, lifetime, renewal, and what is left unsigned."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pystac
import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

import constellr_stac
from constellr_stac.errors import InsecureURLError, SigningError
from constellr_stac.signing import presign
from constellr_stac.signing.default import sign, sign_inplace
from constellr_stac.signing.s3_url import signature_expiry
from constellr_stac.signing.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from object_store import Swift

KEYS = {
    "access_key_id": "ASIAEXAMPLE",
    "secret_access_key": "sEcReT/+=",
    "token": "tOkEn/+=" * 20,
}
HREF = "s3://scenes/LA harbor+port/scene 1/lst.tiff"
ODD_KEYS = [
    "LA harbor+port/scene 1/lst.tiff",
    "a=1/b&c;d/e%20f.tiff",
    "what?/is#this.tiff",
    "Köln/日本/🛰.tiff",
    "e\u0301/~tilde_.-'(quotes)!*\"<>|{}[]^`,:@$.tiff",
]


@dataclass
class Clock:
    """A clock that the test advances."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def item(name: str = "scene 1", **hrefs: str) -> dict[str, Any]:
    """Return an item like those of the API."""
    hrefs = hrefs or {"lst": HREF, "metadata": "s3://scenes/LA harbor+port/scene 1/metadata.json"}
    return {
        "id": name,
        "type": "Feature",
        "bbox": [8.3, 49.6, 9.0, 50.1],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[8.3, 50.1], [8.3, 49.6], [9.0, 49.6], [9.0, 50.1], [8.3, 50.1]]],
        },
        "links": [],
        "assets": {key: {"href": href, "type": "image/tiff"} for key, href in hrefs.items()},
        "collection": "lstfusion",
        "properties": {"gsd": 30, "datetime": "2025-08-18T11:00:00Z"},
        "stac_version": "1.1.0",
        "stac_extensions": [],
    }


def collection() -> dict[str, Any]:
    """Return a collection with an asset."""
    return {
        "id": "lstfusion",
        "type": "Collection",
        "links": [],
        "extent": {
            "spatial": {"bbox": [[-122.1, 5.1, 35.4, 53.6]]},
            "temporal": {"interval": [["2015-02-26T17:00:00Z", None]]},
        },
        "license": "other",
        "description": "Land surface temperature.",
        "stac_version": "1.1.0",
        "assets": {"thumbnail": {"href": HREF}},
    }


def swift_signer(swift: Swift, **options: Any) -> Signer:
    """Return a signer for the Swift server."""
    keys = {"access_key_id": swift.access_key, "secret_access_key": swift.secret_key}
    return Signer(credentials=keys, endpoint=swift.endpoint, region=swift.region, **options)


def status(url: str) -> int:
    """GET a URL and return the status."""
    return urllib3.request("GET", url, redirect=False, retries=False).status


def lifetime(url: str) -> int:
    """Return ``X-Amz-Expires`` in seconds."""
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


def pickle_round_trip(obj: Any) -> Any:
    """Return an unpickled copy."""
    return pickle.loads(pickle.dumps(obj))  # noqa: S301 - pickled on this line


def is_signed(href: str) -> bool:
    """Return whether an href carries a signature."""
    return "X-Amz-Signature=" in href


# Against a real object store


@pytest.mark.parametrize("key", ODD_KEYS)
def test_signed_url_serves_its_object(swift: Swift, key: str) -> None:
    """For any characters in the key, with a plain HTTP client."""
    href = swift.put("signing", key, key.encode())
    answer = urllib3.request("GET", swift_signer(swift).sign(href), retries=False)
    assert (answer.status, answer.data) == (200, key.encode())


def test_session_token_is_signed(swift: Swift) -> None:
    """The session token is signed; a URL without it is refused."""
    href = swift.put("signing", ODD_KEYS[0], b"pixels")
    keys = {
        "access_key_id": swift.access_key,
        "secret_access_key": swift.secret_key,
        "token": "tOkEn/+=",
    }
    signer = Signer(credentials=keys, endpoint=swift.endpoint, region=swift.region)
    url = signer.sign(href)
    assert status(url) == 200
    assert status(url.replace("tOkEn", "token")) == 403


@pytest.mark.parametrize(
    ("signed", "tampered"),
    [
        ("scene%201", "scene%202"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
        ("Date=2", "Date=1"),
    ],
)
def test_tampered_url_is_refused(swift: Swift, signed: str, tampered: str) -> None:
    """A URL is valid for one object and one time."""
    url = swift_signer(swift).sign(swift.put("signing", ODD_KEYS[0], b"pixels"))
    assert signed in url
    assert status(url) == 200
    assert status(url.replace(signed, tampered)) == 403


def test_expired_url_is_refused_and_renewed(swift: Swift) -> None:
    """A URL that has just expired is refused, and a new one is served."""
    href = swift.put("signing", ODD_KEYS[0], b"pixels")
    life, now = timedelta(minutes=30), datetime.now(UTC)
    urls = [
        swift_signer(swift, expires_in=life, clock=lambda ends=ends: now + ends - life).sign(href)
        for ends in (timedelta(minutes=2), timedelta(seconds=-2))
    ]
    assert [status(url) for url in urls] == [200, 403]
    assert status(swift_signer(swift).sign(urls[1])) == 200


# URLs


@settings(deadline=None)
@given(
    key=st.text(min_size=1),
    bucket=st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True),
)
def test_key_round_trip(key: str, bucket: str) -> None:
    """A URL names the object of its href, or signing fails."""
    for endpoint in (None, "http://127.0.0.1:9000"):
        signer = SIGNERS[endpoint]
        try:
            url = signer.sign(f"s3://{bucket}/{key}")
        except SigningError:
            steps = key.split("/")
            assert (
                {"", ".", ".."} & set(steps)
                or any(ord(char) < 32 or ord(char) == 127 for char in key)
                or any(0xD800 <= ord(char) < 0xE000 for char in key)
            )
            continue
        path = unquote(urlsplit(url).path)[1:]
        assert path in (key, f"{bucket}/{key}")
        assert path == key or bucket == path.partition("/")[0]
        assert signer.sign(url) == url


SIGNERS = {
    endpoint: Signer(credentials=KEYS, endpoint=endpoint)
    for endpoint in (None, "http://127.0.0.1:9000")
}


@pytest.mark.parametrize(
    ("bucket", "start"),
    [
        ("scenes", "https://scenes.s3.eu-central-1.amazonaws.com/LA"),
        ("scenes.v2", "https://s3.eu-central-1.amazonaws.com/scenes.v2/LA"),
        ("Scenes_2", "https://s3.eu-central-1.amazonaws.com/Scenes_2/LA"),
    ],
)
def test_bucket_is_in_the_host_on_aws(bucket: str, start: str) -> None:
    """Unless the bucket's name does not match the wildcard certificate."""
    assert Signer(credentials=KEYS).sign(f"s3://{bucket}/LA").startswith(start)


def test_bucket_is_in_the_path_at_other_endpoints() -> None:
    """Other endpoints get path-style URLs."""
    signer = Signer(credentials=KEYS, endpoint="https://minio.example.com:9000/")
    assert signer.sign("s3://scenes/LA").startswith("https://minio.example.com:9000/scenes/LA?")


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("bucket", ["scenes", "scenes.v2"])
def test_signature_equals_botocores(key: str, bucket: str) -> None:
    """Botocore makes the same signature for the same time."""
    url = Signer(credentials=KEYS).sign(f"s3://{bucket}/{key}")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    request = AWSRequest("GET", url.partition("?")[0])
    request.context["timestamp"] = asked["X-Amz-Date"]
    credentials = Credentials(KEYS["access_key_id"], KEYS["secret_access_key"], KEYS["token"])
    auth = S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=int(asked["X-Amz-Expires"]))
    auth._modify_request_before_signing(request)
    expected = auth.signature(
        auth.string_to_sign(request, auth.canonical_request(request)), request
    )
    assert asked["X-Amz-Signature"] == expected


@pytest.mark.parametrize(
    "href",
    [
        "s3://",
        "s3://scenes",
        "s3://scenes/",
        "s3:///key",
        "s3://a/folder/",
        "s3://a//b",
        "s3://a/../b",
        "s3://evil.example@host/key",
        "s3://a\nb/key",
        "s3://a/k\x00",
    ],
)
def test_href_without_object_is_refused(href: str) -> None:
    """The error quotes the href."""
    with pytest.raises(SigningError, match=r"names no object|cannot be signed"):
        Signer(credentials=KEYS).sign(href)


def test_lifetime_must_be_a_timedelta() -> None:
    """A plain number has no unit."""
    with pytest.raises(TypeError, match=r"expires_in= must be a datetime.timedelta, not 3600"):
        Signer(expires_in=3600)  # type: ignore[arg-type] # under test


@pytest.mark.parametrize(
    "expires_in", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)]
)
def test_lifetime_out_of_range_is_refused(expires_in: timedelta) -> None:
    """AWS allows one second to seven days."""
    with pytest.raises(ValueError, match="seven days"):
        Signer(expires_in=expires_in)
    assert lifetime(Signer(credentials=KEYS, expires_in=timedelta(days=7)).sign(HREF)) == 7 * 86400


def test_plain_http_endpoint_is_refused() -> None:
    """Plain HTTP is allowed on loopback addresses only."""
    with pytest.raises(InsecureURLError):
        Signer(credentials=KEYS, endpoint="http://minio.example.com")


# Lifetime and reuse


def test_url_is_reused_for_half_its_lifetime() -> None:
    """An href keeps one URL for half its lifetime, so that caches work."""
    clock = Clock()
    signer = Signer(credentials=KEYS, clock=clock)
    url = signer.sign(HREF)
    time.sleep(
        1.001 - datetime.now(UTC).microsecond / 1e6
    )  # signatures have a resolution of one second
    clock.advance(minutes=29)
    assert signer.sign(HREF) == url
    assert signer.sign(url) == Signer(credentials=KEYS, clock=clock).sign(url) == url
    clock.advance(minutes=2)
    assert signer.sign(HREF) != url


def test_refused_url_is_replaced() -> None:
    """A URL that the store refused is not returned again, even with the same keys."""
    signer = Signer(credentials=KEYS)
    url = signer.sign(HREF)
    time.sleep(
        1.001 - datetime.now(UTC).microsecond / 1e6
    )  # signatures have a resolution of one second
    assert signer.sign(HREF) == url
    signer.refused(url)
    assert signer.sign(HREF) != url


def test_oldest_urls_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of URLs that are kept is bounded."""
    monkeypatch.setattr("constellr_stac.signing.presign._MAX_URLS", 2)
    clock = Clock()
    signer = Signer(credentials=KEYS, clock=clock)
    hrefs = [f"s3://scenes/{name}.tiff" for name in "cba"]
    before = dict(zip(hrefs, signer.sign_hrefs(hrefs), strict=True))
    clock.advance(seconds=5)
    assert [href for href in reversed(hrefs) if signer.sign(href) == before[href]] == hrefs[:0:-1]


@settings(deadline=None)
@given(steps=st.lists(st.integers(0, 4000), max_size=20), asked=st.integers(2, 604800))
def test_at_least_half_of_the_lifetime_is_left(steps: list[int], asked: int) -> None:
    """A returned URL was signed at most half its lifetime ago."""
    clock = Clock()
    signer = Signer(credentials=KEYS, expires_in=timedelta(seconds=asked), clock=clock)
    issued, signed_at = None, clock.now
    for step in steps:
        clock.advance(seconds=step)
        signer.sign(HREF)
        (now_issued,) = signer._presigner._issued.values()
        if now_issued is not issued:
            assert issued is None or clock.now - signed_at >= timedelta(seconds=asked // 2 - 1)
            issued, signed_at = now_issued, clock.now
        assert clock.now - signed_at <= timedelta(seconds=asked / 2)


@settings(deadline=None)
@given(left=st.integers(5, 100_000), asked=st.integers(1, 604800))
def test_url_expires_with_its_session(left: int, asked: int) -> None:
    """A URL never outlives its credentials, and uses most of their remaining lifetime."""
    ends = datetime.now(UTC) + timedelta(seconds=left)
    signer = Signer(credentials={**KEYS, "expires_at": ends}, expires_in=timedelta(seconds=asked))
    expiry = signature_expiry(signer.sign(HREF))
    assert expiry is not None
    assert expiry <= ends
    assert lifetime(signer.sign(HREF)) >= min(asked, left - 4)


def test_expired_session_does_not_sign() -> None:
    """Credentials that have expired, or are about to, raise an error."""
    for seconds in (-1, 1):
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        with pytest.raises(SigningError, match="expire"):
            Signer(credentials={**KEYS, "expires_at": ends}).sign(HREF)


def test_expired_signature_is_renewed() -> None:
    """Our own URL is signed again once it has expired or is past half its lifetime."""
    url = Signer(credentials=KEYS, expires_in=timedelta(minutes=40)).sign(HREF)
    for minutes, renewed in ((19, False), (21, True), (41, True)):
        clock = Clock()
        clock.advance(minutes=minutes)
        signer = Signer(credentials=KEYS, clock=clock)
        signed = signer.sign(item(lst=url))["assets"]["lst"]["href"]
        assert lifetime(signed) == (3600 if renewed else 2400)
        assert signer.sign([url, HREF])[0] == signed


def foreign_urls() -> dict[str, str]:
    """Return URLs that must not be signed, by kind."""
    ours = Signer(credentials=KEYS).sign(HREF)
    other = Signer(credentials={**KEYS, "access_key_id": "ASIAOTHER"}).sign(HREF)
    return {
        "somebody else's signature": other,
        "another region": ours.replace("eu-central-1", "us-west-2"),
        "an earlier region": ours.replace("eu-central-1", "ap-south-1"),
        "a scope of another region": ours.replace("eu-central-1%2Fs3", "ap-south-1%2Fs3"),
        "another host": ours.replace("s3.eu-central-1.amazonaws.com", "example.com"),
        "a lookalike": ours.replace("https://scenes", "https://evil.example/scenes"),
        "more than an object": ours + "&versionId=1",
        "other headers": ours.replace("SignedHeaders=host", "SignedHeaders=host%3Brange"),
        "two dates": ours + "&X-Amz-Date=never",
        "a fragment": ours + "#page",
        "no signature": ours.partition("?")[0],
        "a page": "https://example.com/?X-Amz-Signature=1",
        "a path": "/data/LA harbor+port/lst.tiff",
        "a relative path": "./lst.tiff",
        "another scheme": "gs://scenes/lst.tiff",
        "GDAL's name": "/vsigs/scenes/lst.tiff",
        "nothing": "",
    }


@pytest.mark.parametrize("kind", list(foreign_urls()))
def test_foreign_href_is_unchanged(kind: str) -> None:
    """URLs that were not signed with our key are unchanged, even if expired."""
    href = foreign_urls()[kind]
    clock = Clock()
    clock.advance(days=1)
    signer = Signer(credentials=KEYS, clock=clock)
    assert signer.sign(href) == href
    assert signer.sign(HREF)
    assert signer.sign(href) == href


def test_foreign_region_is_unchanged() -> None:
    """At a custom endpoint, a signature for another region is not ours."""
    here: dict[str, Any] = {"credentials": KEYS, "endpoint": "http://127.0.0.1:9000"}
    clock = Clock()
    clock.advance(days=1)
    url = Signer(**here, region="us-west-2").sign(HREF)
    assert Signer(**here, clock=clock).sign(url) == url
    assert Signer(**here, clock=clock, expires_in=timedelta(1), region="us-west-2").sign(url) != url


def test_foreign_hrefs_without_credentials() -> None:
    """Hrefs that the API signed pass through without AWS credentials."""
    hrefs = list(foreign_urls().values())
    assert sign(hrefs) == hrefs
    clock = Clock()
    clock.advance(days=1)
    assert Signer(clock=clock).sign(hrefs) == hrefs


# Credentials


def test_missing_credentials() -> None:
    """The error lists the variables and profiles searched."""
    with pytest.raises(SigningError) as caught:
        sign(HREF)
    for place in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", ".aws/config", ".aws/credentials"):
        assert place in str(caught.value)


def test_rotated_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """New keys in the environment sign new hrefs, and re-sign those of the old keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAFIRST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "one")
    signer = Signer()
    first = signer.sign(HREF)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIASECOND")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    second = signer.sign(HREF)
    assert "ASIAFIRST" in first
    assert "ASIASECOND" in second
    assert signer.sign([first, second]) == [second, second]


def test_sign_uses_the_current_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Module-level functions use the endpoint and keys set at the time of the call."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "one")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert sign(HREF).startswith("https://scenes.s3.eu-central-1.amazonaws.com/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    url = sign(HREF)
    assert url.startswith("http://127.0.0.1:9000/scenes/")
    assert "us-west-2" in url
    assert sign(HREF) == url


def test_refusal_reloads_credentials() -> None:
    """After a refusal, credentials are loaded again and a new URL is made."""
    asked: list[int] = []

    def ask() -> dict[str, Any]:
        asked.append(1)
        return {**KEYS, "access_key_id": f"ASIA{len(asked)}"}

    signer = Signer(credentials=ask)
    url = signer.sign(HREF)
    assert signer.sign(HREF) == url
    signer.refused("https://example.com/lst.tiff?X-Amz-Signature=1")
    assert len(asked) == 1
    signer.refused(url)
    assert "ASIA2" in signer.sign(HREF)
    signer.refused(signer.sign(HREF))
    assert "ASIA2" in signer.sign(HREF), "once a minute is enough"


def test_threads_share_one_url() -> None:
    """Concurrent calls for an href sign it once."""
    looks: list[int] = []

    def clock() -> datetime:
        looks.append(1)
        threading.Event().wait(0.001)  # let the other threads in, if possible
        return datetime.now(UTC)

    signer = Signer(credentials=KEYS, clock=clock)
    barrier = threading.Barrier(16)

    def ask(_: int) -> str:
        barrier.wait()
        return signer.sign(HREF)

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
    assert len(looks) == 16, "one look at the clock for each call"


def test_url_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signer keeps the last 50,000 URLs; here, 500."""
    assert presign._MAX_URLS == 50_000
    monkeypatch.setattr(presign, "_MAX_URLS", 500)
    signer = Signer(credentials=KEYS)
    hrefs = [f"s3://scenes/{number}" for number in range(600)]
    urls = signer.sign(hrefs)
    assert len(set(urls)) == len(hrefs)
    assert len(signer._presigner._issued) == 500
    assert signer.sign(hrefs[-1]) == urls[-1]


def test_signer_pickle_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle holds settings and credential sources, and no key, token or URL."""
    signer = Signer(credentials=KEYS, region="us-west-2", expires_in=timedelta(minutes=5))
    url = signer.sign(HREF)
    packed = pickle.dumps(signer)
    for secret in (*KEYS.values(), parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]):
        assert secret.encode() not in packed
        assert secret not in repr(signer)
    arrived = pickle_round_trip(signer)
    with pytest.raises(SigningError, match="given in code: not pickled"):
        arrived.sign(HREF)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIATHERE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "there")
    url = arrived.sign(HREF)
    assert "ASIATHERE" in url
    assert "us-west-2" in url
    assert lifetime(url) == 300
    assert pickle.dumps(arrived) == packed


def provide_credentials() -> dict[str, str]:
    """Return credentials, in any process."""
    return KEYS


def test_signers_with_equal_settings_are_equal() -> None:
    """Also after pickling."""
    signer = Signer(credentials=provide_credentials, region="us-west-2")
    assert (
        pickle_round_trip(signer)
        == signer
        == Signer(credentials=provide_credentials, region="us-west-2")
    )
    assert hash(signer) == hash(Signer(credentials=provide_credentials, region="us-west-2"))
    assert signer != Signer(credentials=provide_credentials)
    assert pickle_round_trip(signer).sign(HREF)


def test_signed_url_value() -> None:
    """A SignedUrl has its expiry, and its repr hides the signature."""
    signed = Signer(credentials=KEYS).signed_url(HREF)
    assert signed.expires_at == signature_expiry(str(signed))
    assert "X-Amz" not in repr(signed)
    assert Signer().signed_url("/data/lst.tiff").expires_at is None


# STAC objects


def test_signature_expiry() -> None:
    """The expiry is read from any presigned URL; other URLs have none."""
    url = "https://b.example/k?a=1&X-Amz-Expires=90&X-Amz-Date=20260101T235900Z&X-Amz-Signature=1"
    assert signature_expiry(url) == datetime(2026, 1, 2, 0, 0, 30, tzinfo=UTC)
    for other in (
        "https://b.example/k",
        url.replace("0101T", "9901T"),
        url.replace("=90", "=x"),
        HREF,
    ):
        assert signature_expiry(other) is None


def items() -> pystac.ItemCollection:
    """Return three items with an extra field on the item collection."""
    return pystac.ItemCollection(
        [pystac.Item.from_dict(item(f"scene {i}", lst=f"s3://scenes/{i}")) for i in range(3)],
        extra_fields={"note": ["kept"]},
    )


def asset() -> pystac.Asset:
    """Return an asset with an owner."""
    return pystac.Item.from_dict(item()).assets["lst"]


OBJECTS: dict[str, Callable[[], Any]] = {
    "Asset": asset,
    "Item": lambda: pystac.Item.from_dict(item()),
    "ItemCollection": items,
    "Collection": lambda: pystac.Collection.from_dict(collection()),
    "item dict": item,
    "FeatureCollection dict": lambda: {"type": "FeatureCollection", "features": [item(), item()]},
    "collection dict": collection,
    "page of collections": lambda: {"collections": [collection()], "links": []},
    "list of items": lambda: [pystac.Item.from_dict(item()), item()],
    "tuple": lambda: (pystac.Item.from_dict(item()), asset()),
}


def hrefs_of(obj: Any) -> list[str]:
    """Return every asset href in ``obj``, from its JSON."""
    if isinstance(obj, list | tuple):
        return [href for part in obj for href in hrefs_of(part)]
    if isinstance(obj, pystac.Asset):
        return [obj.href]
    data = obj if isinstance(obj, dict) else obj.to_dict()
    members = data.get("features") or data.get("collections") or [data]
    return [asset["href"] for member in members for asset in member["assets"].values()]


@pytest.mark.parametrize("kind", list(OBJECTS))
def test_sign_returns_a_signed_copy(kind: str) -> None:
    """``sign`` returns the same type and leaves the original unchanged."""
    original = OBJECTS[kind]()
    before = hrefs_of(original)
    signed = Signer(credentials=KEYS).sign(original)
    assert type(signed) is type(original)
    assert before
    assert all(map(is_signed, hrefs_of(signed)))
    assert hrefs_of(original) == before


@pytest.mark.parametrize("kind", list(OBJECTS))
def test_signing_is_idempotent(kind: str) -> None:
    """While the signatures are fresh."""
    signer = Signer(credentials=KEYS)
    once = signer.sign(OBJECTS[kind]())
    assert hrefs_of(signer.sign(once)) == hrefs_of(once)


@pytest.mark.parametrize("kind", [kind for kind in OBJECTS if kind != "tuple"])
def test_sign_inplace(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``sign_inplace`` signs the object itself, as a pystac-client modifier must."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    obj = OBJECTS[kind]()
    assert sign_inplace(obj) is obj
    assert all(map(is_signed, hrefs_of(obj)))


def test_signed_copy_differs_in_hrefs_only() -> None:
    """The copy shares no state with the original."""
    original = items()
    signed = Signer(credentials=KEYS).sign(original)
    for one, other in zip(original, signed, strict=True):
        for key, asset in other.assets.items():
            asset.href = one.assets[key].href
    assert signed.to_dict() == original.to_dict()
    signed[0].properties["gsd"] = 10
    signed.extra_fields["note"].append("new")
    assert original[0].properties["gsd"] == 30
    assert original.extra_fields == {"note": ["kept"]}
    asset = original[0].assets["lst"]
    assert Signer(credentials=KEYS).sign(asset).owner is original[0]


def test_list_of_hrefs_keeps_order() -> None:
    """Including duplicates."""
    signer = Signer(credentials=KEYS)
    hrefs = ["s3://b/2", "/path", "s3://a/1", "s3://b/2", "https://example.com/x"]
    signed = signer.sign(hrefs)
    assert signed == [signer.sign(href) for href in hrefs]
    assert signed[1] == "/path"
    assert signer.sign(tuple(hrefs)) == tuple(signed)
    assert signer.sign([]) == []
    assert signer.sign(hrefs, copy=False) is hrefs
    assert hrefs == signed


def test_one_invalid_href_signs_nothing() -> None:
    """If one href is invalid, none is changed."""
    mixed = [pystac.Item.from_dict(item()), pystac.Item.from_dict(item(lst="s3://scenes"))]
    with pytest.raises(SigningError, match="'s3://scenes'"):
        Signer(credentials=KEYS).sign(mixed, copy=False)
    assert not any(map(is_signed, hrefs_of(mixed)))


@pytest.mark.parametrize(
    "obj", [None, 1, object(), {"type": "Catalog"}, {}, [None], {"features": [1]}]
)
def test_unsupported_type_is_refused(obj: Any) -> None:
    """The error lists the supported types."""
    with pytest.raises(TypeError, match="can be signed"):
        Signer(credentials=KEYS).sign(obj)


def test_iterator_gives_a_list() -> None:
    """An iterator is signed like a list of what it yields."""
    items = [pystac.Item.from_dict(item()) for _ in range(2)]
    signed = Signer(credentials=KEYS).sign(iter(items))
    assert isinstance(signed, list)
    assert all(map(is_signed, hrefs_of(signed)))


def test_item_without_assets() -> None:
    """Items without assets, or with assets without an href, are accepted."""
    bare = item()
    del bare["assets"]
    assert Signer().sign(bare) == bare
    strange = item()
    strange["assets"] = {"thumbnail": {"title": "no href"}}
    assert Signer().sign(strange) == strange


def test_public_names() -> None:
    """The public names of the module."""
    assert constellr_stac.sign is sign
    assert constellr_stac.sign_inplace is sign_inplace
    assert constellr_stac.Signer is Signer
