"""GETs reach what they ask for, the way requests would, and leave no signature in a log."""

from __future__ import annotations

import logging
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import HTTPError, SSLError

from constellr_stac.reading import connections as module
from constellr_stac.reading.connections import Connections
from constellr_stac.signing.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox


class Server(ThreadingHTTPServer):
    """Answers with the request's own target, or sends elsewhere."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.elsewhere: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        target = self.server.elsewhere.get(self.path)
        self.send_response(200 if target is None else 302)
        if target is not None:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of our own."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def got(url: str, connections: Connections | None = None) -> bytes:
    """GET a body."""
    with (connections or Connections(1)).get(url, {}) as answer:
        return answer.data


def test_signatures_stay_out_of_the_log(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, urllib3 tells what was asked for; what opens it, it never knew."""
    caplog.set_level(logging.DEBUG)
    href = sandbox.put("a b+c.bin", b"pixels")
    url = Signer().sign(href)
    assert got(url) == b"pixels"
    told = " ".join(line.getMessage() for line in caplog.records if "urllib3" in line.name)
    assert "/a%20b%2Bc.bin" in told
    assert "X-Amz" not in told
    assert url.partition("?")[2] == sandbox.requests[-1].query


def test_a_connection_is_kept(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """One connection serves one request after another."""
    caplog.set_level(logging.DEBUG)
    connections = Connections(1)
    assert [got(server.url + path, connections) for path in ("/a", "/b")] == [b"/a", b"/b"]
    assert caplog.text.count("Starting new HTTP connection") == 1


def test_redirects_are_followed(server: Server) -> None:
    """An object that has moved is found, on another origin too; one that runs in circles not."""
    there = server.url.replace("127.0.0.1", "localhost")
    server.elsewhere = {"/here?a=1": f"{there}/there?b=2", "/circle": "/circle"}
    assert got(server.url + "/here?a=1") == b"/there?b=2"
    with pytest.raises(HTTPError, match="too many redirects"):
        got(server.url + "/circle")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("", "/"),
        ("?x=1", "/?x=1"),
        ("/a%2Bb+c?x=%2F+1#part", "/a%2Bb+c?x=%2F+1"),
        ("/a b?x=y z", "/a%20b?x=y%20z"),
        ("/ü?x=ü", "/%C3%BC?x=%C3%BC"),
    ],
)
def test_urls_are_sent_as_they_are(server: Server, asked: str, sent: str) -> None:
    """What is encoded stays so, to the letter (a signature is on it); the rest is encoded."""
    assert got(server.url + asked).decode() == sent


def test_proxies_are_those_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is told the whole URL, but for what NO_PROXY names."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connections = Connections(1)
    assert got("http://store.example/a?X-Amz-Signature=1f", connections) == (
        b"http://store.example/a?X-Amz-Signature=1f"
    )
    assert got(f"{server.url}/b", connections) == b"/b"


def self_signed(folder: Path) -> Path:
    """Write a certificate for ``localhost``, and its key, into one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    written = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "localhost.pem"
    path.write_bytes(written + certificate.public_bytes(pem))
    return path


def test_authorities_are_those_that_requests_trusts(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the system trusts does not matter: some have nothing there, where requests brings it."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    path = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}/a"
    with pytest.raises(SSLError):
        got(url)
    with monkeypatch.context() as brought:
        brought.setattr(module, "DEFAULT_CA_BUNDLE_PATH", str(path))  # what requests brings
        assert got(url) == b"/a"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    assert got(url) == b"/a"
