"""Profiles, roles, web identities and SSO sign like any other credentials, with their settings."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from dateutil.tz import tzlocal, tzoffset, tzutc

from constellr_stac import Signer, SigningError
from constellr_stac.config import storage_settings
from weak_network import AnswerServer

if TYPE_CHECKING:
    from datetime import tzinfo
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from weak_network import Answer

KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "secret"}
HREF = "s3://scenes/a b/lst.tiff"


def access_key(url: str) -> str:
    """Return the access key that signed a URL."""
    return parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].partition("/")[0]


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of profiles that ``AWS_CONFIG_FILE`` names."""
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


@pytest.mark.parametrize(
    "zone",
    [tzutc(), tzlocal(), tzoffset(None, 7200), zoneinfo.ZoneInfo("Europe/Berlin"), UTC],
    ids=["tzutc", "tzlocal", "tzoffset", "ZoneInfo", "UTC"],
)
def test_any_aware_expiry_is_understood(zone: tzinfo) -> None:
    """boto3's times carry dateutil's zones; a URL lives as long as the session."""
    ends = datetime.now(zone) + timedelta(minutes=20)
    signed = Signer(credentials={**KEYS, "expires_at": ends}).signed_url(HREF)
    assert signed.expires_at is not None
    assert timedelta(0) < ends - signed.expires_at < timedelta(seconds=9)


def test_expiry_in_the_environment_may_have_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """``AWS_CREDENTIAL_EXPIRATION`` is a time with any offset."""
    ends = datetime.now(zoneinfo.ZoneInfo("Asia/Kolkata")) + timedelta(minutes=20)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    assert Signer().credentials.get().expires_at == ends


def sts(request: BaseHTTPRequestHandler) -> Answer:
    """Answer as STS: the access key names the action."""
    asked = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
    action = asked["Action"][0]
    ends = datetime.now(UTC) + timedelta(hours=1)
    body = (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        f"<Credentials><AccessKeyId>ASIA{action}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        f"<SessionToken>t</SessionToken><Expiration>{ends.isoformat()}</Expiration></Credentials>"
        f"</{action}Result></{action}Response>"
    )
    return 200, {"Content-Type": "text/xml"}, body.encode()


def test_role_of_a_profile(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``role_arn`` with ``source_profile``: keys of STS, which expire."""
    profiles.write_text(
        "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = s\n"
        "[profile work]\nrole_arn = arn:aws:iam::123456789012:role/reader\n"
        "source_profile = base\nregion = eu-west-1\n"
    )
    with AnswerServer(sts) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        signer = Signer(profile="work")
        url = signer.sign(HREF)
    assert access_key(url) == "ASIAAssumeRole"
    assert url.startswith("https://scenes.s3.eu-west-1.amazonaws.com/")
    assert signer.credentials.get().expires_at is not None


def test_web_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Kubernetes: a token in a file, and a role."""
    token = tmp_path / "token"
    token.write_text("token")
    with AnswerServer(sts) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        assert access_key(Signer().sign(HREF)) == "ASIAAssumeRoleWithWebIdentity"


def test_sso_cache(profiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token that ``aws sso login`` has cached is exchanged for keys."""
    monkeypatch.setenv("HOME", str(tmp_path))
    start, ends = "https://company.awsapps.com/start", datetime.now(UTC) + timedelta(hours=1)
    profiles.write_text(
        f"[profile sso]\nsso_start_url = {start}\nsso_region = eu-central-1\n"
        "sso_account_id = 123456789012\nsso_role_name = reader\n"
    )
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha1(start.encode(), usedforsecurity=False).hexdigest()
    content = {"startUrl": start, "accessToken": "t", "expiresAt": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    (cache / f"{name}.json").write_text(json.dumps(content))
    keys = {"accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t"}
    body = json.dumps({"roleCredentials": {**keys, "expiration": int(ends.timestamp() * 1000)}})
    with AnswerServer(lambda _: (200, {}, body.encode())) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", server.url)
        program = "import constellr_stac; print(constellr_stac.Signer(profile='sso').sign('s3://scenes/k'))"
        # botocore expands ~ when it is imported.
        run = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
    assert access_key(run.stdout) == "ASIASSO"


def test_settings_of_a_profile(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Region and endpoint: argument, environment, the profile's S3 service, the profile."""
    profiles.write_text(
        "[profile plain]\nregion = eu-west-3\nendpoint_url = https://all.example.com\n"
        "[profile own]\nservices = store\nendpoint_url = https://all.example.com\n"
        "[services store]\ns3 =\n  endpoint_url = https://s3.example.com\n"
        "[profile off]\nignore_configured_endpoint_urls = true\n"
        "endpoint_url = https://all.example.com\nuse_dualstack_endpoint = true\n"
    )
    plain = storage_settings(profile="plain")
    assert (plain.region, plain.endpoint) == ("eu-west-3", "https://all.example.com")
    assert storage_settings(profile="own").endpoint == "https://s3.example.com"
    off = storage_settings(profile="off")
    assert (off.endpoint, off.dualstack, off.region) == (None, True, "eu-central-1")
    monkeypatch.setenv("AWS_PROFILE", "plain")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://env.example.com")
    chosen = storage_settings()
    assert (chosen.region, chosen.endpoint) == ("eu-north-1", "https://env.example.com")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert storage_settings().endpoint is None
    assert storage_settings(region="us-east-1").region == "us-east-1"


@pytest.mark.parametrize(
    ("options", "dualstack", "base"),
    [
        ({}, "", "https://scenes.s3.eu-central-1.amazonaws.com"),
        ({}, "true", "https://scenes.s3.dualstack.eu-central-1.amazonaws.com"),
        ({"region": "cn-north-1"}, "", "https://scenes.s3.cn-north-1.amazonaws.com.cn"),
        ({"region": "eusc-de-east-1"}, "", "https://scenes.s3.eusc-de-east-1.amazonaws.eu"),
        ({"virtual_hosted": False}, "", "https://s3.eu-central-1.amazonaws.com/scenes"),
        ({"endpoint": "https://s3.example.com:9"}, "", "https://s3.example.com:9/scenes"),
        (
            {"endpoint": "https://s3.example.com:9", "virtual_hosted": True},
            "",
            "https://scenes.s3.example.com:9",
        ),
    ],
)
@pytest.mark.parametrize("pays", [False, True])
def test_addresses_and_signatures(
    options: dict[str, str],
    dualstack: str,
    base: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    pays: bool,
) -> None:
    """The URL has the right host, botocore's signature, and is recognised as our own."""
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dualstack)
    now = datetime.now(UTC).replace(microsecond=0)
    signer = Signer(
        credentials=KEYS,
        requester_pays=pays,
        clock=lambda: now,
        **options,  # type: ignore[arg-type]
    )
    url = signer.sign(HREF)
    assert url.partition("?")[0] == f"{base}/a%20b/lst.tiff"
    assert signer.sign(url) == url
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query.get("x-amz-request-payer") == ("requester" if pays else None)
    assert query["X-Amz-Signature"] == _by_botocore(url, signer.settings.region, now)


def _by_botocore(url: str, region: str, now: datetime) -> str:
    """Compute the signature of a URL with botocore, independently."""
    unsigned = url.rpartition("&X-Amz-Signature=")[0]
    request = botocore.awsrequest.AWSRequest("GET", unsigned)
    request.context["timestamp"] = f"{now:%Y%m%dT%H%M%SZ}"
    keys = botocore.credentials.Credentials(KEYS["access_key_id"], KEYS["secret_access_key"])
    auth = botocore.auth.S3SigV4QueryAuth(keys, "s3", region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    signature: str = auth.signature(text, request)
    return signature


def test_broken_profile_is_a_signing_error(profiles: Path) -> None:
    """Whatever botocore raises."""
    for text in ("[profile work]\ncredential_process = \n", "no section", "[profile work]\nx"):
        profiles.write_text(text)
        with pytest.raises(SigningError):
            Signer(profile="work").sign(HREF)
