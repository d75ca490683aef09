"""Connections send GETs as requests would, and log no signatures."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import HTTPError

from constellr_stac.reading.connections import Connections
from constellr_stac.signing.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.sandbox import Sandbox


class Server(ThreadingHTTPServer):
    """Returns the request target, or redirects."""

    daemon_threads = True

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.redirects: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        target = self.server.redirects.get(self.path)
        self.send_response(200 if target is None else 302)
        if target is not None:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A local HTTP server."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get_body(url: str, connections: Connections | None = None) -> bytes:
    """GET a URL and return the body."""
    with (connections or Connections(1)).get(url, {}) as response:
        return response.data


def test_signatures_are_not_logged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The DEBUG log of urllib3 contains the path without the query string."""
    caplog.set_level(logging.DEBUG)
    href = sandbox.put("a b+c.bin", b"pixels")
    url = Signer().sign(href)
    assert get_body(url) == b"pixels"
    logged = " ".join(line.getMessage() for line in caplog.records if "urllib3" in line.name)
    assert "/a%20b%2Bc.bin" in logged
    assert "X-Amz" not in logged
    assert url.partition("?")[2] == sandbox.requests[-1].query


def test_connection_is_reused(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Two requests to a host use one connection."""
    caplog.set_level(logging.DEBUG)
    connections = Connections(1)
    assert [get_body(server.url + path, connections) for path in ("/a", "/b")] == [b"/a", b"/b"]
    assert caplog.text.count("Starting new HTTP connection") == 1


def test_redirects_are_followed(server: Server) -> None:
    """Also to another origin; a redirect loop is an error."""
    other_origin = server.url.replace("127.0.0.1", "localhost")
    server.redirects = {"/here?a=1": f"{other_origin}/there?b=2", "/circle": "/circle"}
    assert get_body(server.url + "/here?a=1") == b"/there?b=2"
    with pytest.raises(HTTPError, match="too many redirects"):
        get_body(server.url + "/circle")


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
def test_urls_are_sent_unchanged(server: Server, asked: str, sent: str) -> None:
    """Encoded characters are part of the signature and kept; others are encoded."""
    assert get_body(server.url + asked).decode() == sent


def test_proxy_variables_are_honoured(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy gets the whole URL; NO_PROXY is respected."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connections = Connections(1)
    assert get_body("http://store.example/a?X-Amz-Signature=1f", connections) == (
        b"http://store.example/a?X-Amz-Signature=1f"
    )
    assert get_body(f"{server.url}/b", connections) == b"/b"
