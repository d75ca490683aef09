"""Certificates, proxies, timeouts and outages, with real servers and a real proxy."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING

import pytest
import requests
import trustme
from urllib3.exceptions import NameResolutionError

import constellr_stac
from constellr_stac import (
    APIConnectionError,
    ApiKey,
    AssetReadError,
    ConstellrAuth,
    Limits,
    Password,
)
from constellr_stac.auth import trust
from constellr_stac.auth.failures import Failure, failure_of
from constellr_stac.auth.hosts import Host, host_of
from constellr_stac.auth.retry import Attempts
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import connection_errors
from constellr_stac.orders import OrdersClient
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.sandbox import Fault, Sandbox
from stored_files import wait_until
from weak_network import AnswerServer, WeakLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = Limits(retry_deadline=20)
"""Enough for a second attempt on a busy machine."""

AT_ONCE = 10.0
"""Seconds, far below that deadline."""

AUTHORITY = trustme.CA()


def get_api(url: str, limits: Limits = LIMITS) -> bytes:
    """GET a URL of an API in a session."""
    auth = ConstellrAuth(ApiKey("secret"), base_url=url)
    with api_session(auth, limits=limits) as session, connection_errors("GET", url):
        return session.get(url + "/lst").content


def get_asset(url: str, limits: Limits = LIMITS) -> bytes:
    """GET the same URL as an asset."""
    return Transfer(AssetResolver(limits=limits), 1).get(AssetRef(url + "/lst"), 0, 100)[0]


EITHER = pytest.mark.parametrize("get", [get_api, get_asset])
FAILURES = (APIConnectionError, AssetReadError)


@pytest.fixture
def secure() -> Iterator[AnswerServer]:
    """A TLS server on localhost, with a certificate of a private authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    with AnswerServer(lambda _: (200, {}, b"pixels"), context) as server:
        yield server


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """The certificate of the private authority, in a folder that OpenSSL can search."""
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    (tmp_path / f"{found.stdout.strip()}.0").write_bytes(path.read_bytes())
    return str(path)


@EITHER
@pytest.mark.parametrize("variable", [*trust.BUNDLE_VARIABLES])
def test_bundle_set_after_a_failure_counts(
    get: Callable[[str], bytes],
    secure: AnswerServer,
    bundle: str,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first read names the problem at once; each variable then makes the next one work."""
    start = time.monotonic()
    with pytest.raises(FAILURES, match=r"certificate of localhost is not accepted: .*issuer"):
        get(secure.url)
    assert time.monotonic() - start < AT_ONCE  # not retried
    monkeypatch.setenv(variable, str(Path(bundle).parent) if "DIR" in variable else bundle)
    assert get(secure.url) == b"pixels"


def test_bundles_have_an_order(
    secure: AnswerServer, bundle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first variable that is set counts, also if a later one would work."""
    others = tmp_path / "others.pem"
    trustme.CA().cert_pem.write_to_path(others)
    for name in reversed(trust.BUNDLE_VARIABLES):
        monkeypatch.setenv(name, bundle)
        if name != "SSL_CERT_DIR":
            assert get_asset(secure.url) == get_api(secure.url) == b"pixels"
        monkeypatch.setenv(name, str(others))
        for get in (get_api, get_asset):
            with pytest.raises(FAILURES, match=f"trusted are those of {name}="):
                get(secure.url)


@EITHER
def test_missing_bundle_is_named(
    get: Callable[[str], bytes],
    secure: AnswerServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A path that does not exist, and a file without certificates, are named with the variable."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(FAILURES, match=r"SSL_CERT_FILE names /nowhere/ca.pem, which cannot be"):
        get(secure.url)
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    with pytest.raises(FAILURES, match="holds no readable certificates"):
        get(secure.url)


@EITHER
def test_wrong_host_name_is_not_accepted(
    get: Callable[[str], bytes],
    secure: AnswerServer,
    bundle: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate of another host is refused, whatever is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    with pytest.raises(FAILURES, match="mismatch"):
        get(secure.url.replace("localhost", "127.0.0.1"))


@pytest.fixture
def trusted(secure: AnswerServer, bundle: str, monkeypatch: pytest.MonkeyPatch) -> AnswerServer:
    """The TLS server, whose authority is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    return secure


@contextmanager
def running_proxy(folder: Path, *options: str) -> Iterator[str]:
    """Run a real forward proxy in a process of its own; yield its URL."""
    file = folder / "port"
    command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0"]
    command += ["--port-file", str(file), "--num-workers", "1", *options]
    with Popen(command, stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
            yield f"http://127.0.0.1:{int(file.read_text())}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A proxy for all clients."""
    with running_proxy(tmp_path_factory.mktemp("proxy")) as url:
        yield url


@EITHER
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_proxy_is_used_and_no_proxy_excludes(
    get: Callable[[str], bytes],
    trusted: AnswerServer,
    proxy: str,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy that refuses is named at once; NO_PROXY set afterwards avoids it."""
    monkeypatch.setenv(variable, proxy)
    assert get(trusted.url) == b"pixels"
    monkeypatch.setenv(variable, "http://user:hunter2@127.0.0.1:9")
    start = time.monotonic()
    other = trusted.url.replace("localhost", "127.0.0.1")
    with pytest.raises(FAILURES, match=r"the proxy http://127.0.0.1:9 refused") as caught:
        get(other)
    assert time.monotonic() - start < AT_ONCE
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert get(trusted.url) == b"pixels"


@EITHER
def test_loopback_over_http_never_uses_a_proxy(
    get: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential would leave this machine unencrypted."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with AnswerServer(lambda _: (200, {}, b"pixels")) as server:
        assert get(server.url) == b"pixels"


@EITHER
def test_read_timeout_is_between_two_parts(get: Callable[..., bytes]) -> None:
    """A body may take longer than the timeouts together, as long as it keeps arriving."""

    def drip(request: object) -> tuple[int, dict[str, str], bytes]:
        handler = request
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Length", "5000")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        for size in (1, 1499, *[250] * 14):  # the rate is one of the whole timeout
            time.sleep(0.2)
            handler.wfile.write(b"x" * size)  # type: ignore[attr-defined]
        raise ConnectionAbortedError

    with AnswerServer(drip) as server:
        limits = Limits(connect_timeout=0.1, read_timeout=2, retry_deadline=60)
        assert get(server.url, limits) == b"x" * min(5000, 5000 if get is get_api else 100)
        assert len(server.paths) == 1


@EITHER
def test_body_that_drips_is_asked_for_again(get: Callable[..., bytes]) -> None:
    """Below a minimum rate a response is dropped, and the next one is read."""
    seen: list[int] = []

    def drip(request: object) -> tuple[int, dict[str, str], bytes]:
        seen.append(1)
        if len(seen) > 1:
            return 200, {}, b"pixels"
        request.send_response(200)  # type: ignore[attr-defined]
        request.send_header("Content-Length", "5000")  # type: ignore[attr-defined]
        request.end_headers()  # type: ignore[attr-defined]
        for _ in range(600):
            time.sleep(0.1)
            request.wfile.write(b"x")  # type: ignore[attr-defined]
        raise ConnectionAbortedError

    with AnswerServer(drip) as server:
        assert get(server.url, Limits(read_timeout=0.5, retry_deadline=60)) == b"pixels"


@EITHER
def test_answer_that_breaks_off_in_its_headers_is_asked_for_again(
    get: Callable[..., bytes],
) -> None:
    """http.client takes the headers that came for all, and the body for empty."""
    seen: list[int] = []

    def cut(request: object) -> tuple[int, dict[str, str], bytes]:
        seen.append(1)
        if len(seen) > 1:
            return 200, {}, b"pixels"
        request.wfile.write(b"HTTP/1.1 200 OK\r\nServer: a\r\n")  # type: ignore[attr-defined]
        raise ConnectionAbortedError

    with AnswerServer(cut) as server:
        assert get(server.url) == b"pixels"


def test_pauses_double_up_to_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a quarter of a second, less a random part of up to a half."""
    slept: list[float] = []
    monkeypatch.setattr("constellr_stac.auth.retry.time.sleep", slept.append)
    attempts = Attempts(Limits(retry_deadline=1000))
    assert all(attempts.begin_next(Failure("transient", "503")) for _ in range(9))
    shares = [pause / min(0.25 * 2**number, 10) for number, pause in enumerate(slept)]
    assert 0.5 <= min(shares) < max(shares) <= 1


def test_one_request_asks_for_all_while_a_host_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred tasks wait; one asks at a time, and all go on when the host answers."""
    with AnswerServer(lambda _: (200, {}, b"pixels")) as server, WeakLine(server.url) as line:
        line.stop()
        with pytest.raises(AssetReadError):
            get_asset(line.url, Limits(retry_deadline=0.01))
        threading.Timer(1.5, line.listen).start()
        attempts: list[bool] = []
        host = host_of(line.url)
        record = host._record_failure

        def count(*, connected: bool) -> None:
            attempts.append(connected)
            record(connected=connected)

        monkeypatch.setattr(host, "_record_failure", count)
        transfer = Transfer(AssetResolver(limits=Limits(retry_deadline=100)), 40)
        with ThreadPoolExecutor(40) as pool:
            parts = [
                pool.submit(transfer.get, AssetRef(f"{line.url}/{number}"), 0, 10)
                for number in range(40)
            ]
            assert {part.result()[0] for part in parts} == {b"pixels"}
        assert len(attempts) < 20


@pytest.mark.parametrize(("idle", "known"), [(25, True), (31, False)])
def test_host_counts_as_down_for_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, *, idle: float, known: bool
) -> None:
    """After that much time without a request it is asked as if it had never failed."""
    host = Host("http://127.0.0.1:9")
    with pytest.raises(requests.ConnectionError), host.turn(1):
        requests.get("http://127.0.0.1:9", timeout=60)
    now = host._failed_at + idle
    monkeypatch.setattr("constellr_stac.auth.hosts.time.monotonic", lambda: now)
    with host.turn(1):
        assert (host.down_for() > 0) is known


@pytest.mark.fails
def test_failed_token_is_a_connection_error_of_requests() -> None:
    """A retrying caller of requests sees what it knows; a refused password stays final."""
    auth = ConstellrAuth(Password("user", "password"), base_url="http://127.0.0.1:9")
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get("http://127.0.0.1:9/products", auth=auth, timeout=60)
    assert isinstance(caught.value, APIConnectionError)
    assert not issubclass(constellr_stac.AuthenticationError, OSError)


def test_broken_answers_and_500_are_asked_for_again(sandbox: Sandbox) -> None:
    """GETs, searches and POST /token survive a 500 and a body that breaks off."""
    for path in ("/search", "/products", "/token", "/items/"):
        sandbox.fail(Fault(path, status=500))
        sandbox.fail(Fault(path, kind="truncate"))
    client = constellr_stac.open_client()
    assert OrdersClient().products()
    found = next(client.search(max_items=1, limit=1).items())
    assert AssetResolver().renewer.one((str(found.collection_id), found.id)).urls


def test_other_posts_are_sent_once(sandbox: Sandbox) -> None:
    """A POST that may have changed something is not repeated after a 500."""
    sandbox.fail(Fault("/areas-of-interest", method="POST", status=500, times=None))
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    url = f"{sandbox.api_url}/areas-of-interest"
    with api_session(ConstellrAuth()) as session:
        assert session.post(url, json=square).status_code == 500
    assert len([each for each in sandbox.requests if each.path == "/areas-of-interest"]) == 1


@pytest.mark.parametrize(("seconds", "again"), [(1, True), (61, False)])
def test_unknown_host_is_final_after_a_minute(seconds: float, *, again: bool) -> None:
    """A laptop that wakes up has no names for a while; a misspelt host never has."""
    url = "https://nowhere.invalid/stac"
    failure = failure_of(NameResolutionError("nowhere.invalid", None, socket.gaierror()), url)  # type: ignore[arg-type]
    assert failure.kind == "unknown host"
    attempts = Attempts(Limits(retry_deadline=120), url)
    attempts._since -= seconds
    assert attempts.begin_next(failure) is again
    assert attempts.summary().startswith("Tried 2 times in " if again else "Tried once in ")


@EITHER
def test_proxy_that_wants_a_password_is_named(
    get: Callable[..., bytes],
    trusted: AnswerServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The proxy's own answer is in the message, and it is not asked again."""
    with running_proxy(tmp_path, "--basic-auth", "user:hunter2") as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        start = time.monotonic()
        with pytest.raises(FAILURES, match=rf"the proxy {url} refused: .*407"):
            get(trusted.url)
        assert time.monotonic() - start < AT_ONCE
        monkeypatch.setenv("HTTPS_PROXY", url.replace("//", "//user:hunter2@"))
        assert get(trusted.url) == b"pixels"


@EITHER
def test_connection_that_breaks_behind_a_proxy_is_retried(
    get: Callable[..., bytes], bundle: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3 takes a connection that breaks before the answer for a refusal of the proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    broken = [True, True]

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        if broken:
            broken.pop()
            raise ConnectionAbortedError
        return 200, {}, b"pixels"

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with AnswerServer(answer, context) as server:
        assert get(server.url, Limits(retry_deadline=60)) == b"pixels"
        assert len(server.paths) == 3


@EITHER
def test_earlier_failure_does_not_count(get: Callable[..., bytes], secure: AnswerServer) -> None:
    """A read in the except clause of another failure has that one as its context."""
    broken = [True]

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        if broken:
            broken.pop()
            raise ConnectionAbortedError
        return 200, {}, b"pixels"

    with AnswerServer(answer) as server:
        try:
            get(secure.url)
        except FAILURES:
            assert get(server.url) == b"pixels"
