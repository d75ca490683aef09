"""Servers for tests of networks: one that answers as told, and a line that fails and recovers."""

from __future__ import annotations

import random
import socket
import socketserver
import struct
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["AnswerServer", "WeakLine"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Answer = tuple[int, dict[str, str], bytes]


class AnswerServer(ThreadingHTTPServer):
    """Answers each GET with what ``answer`` returns; over TLS with a context."""

    daemon_threads = True

    def __init__(
        self,
        answer: Callable[[BaseHTTPRequestHandler], Answer],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://localhost:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *args: object) -> None:
        """Print nothing: clients refuse certificates on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: AnswerServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        status, headers, body = self.server.answer(self)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        """Log nothing."""


class WeakLine(socketserver.ThreadingTCPServer):
    """A line to a server, on which a share of the answers breaks off at a random byte.

    Args:
        upstream: The server's URL.
        share: The share of answers that break off.
        seed: Of the random numbers.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, upstream: str, share: float = 0.0, seed: int = 1) -> None:
        parts = urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.share = share
        self.random = random.Random(seed)  # noqa: S311 - faults
        self.requests = 0
        self.broken = 0
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *args: object) -> None:
        """Print nothing: breaking is its purpose."""

    def outage(self, seconds: float) -> None:
        """Refuse all connections for some time, and reset those that are open."""
        host, port = self.server_address[:2]
        self.shutdown()
        self.socket.close()
        for end in list(self._open):
            _reset(end)
        time.sleep(seconds)
        self.socket = socket.create_server((str(host), int(port)), backlog=256)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Connection(socketserver.BaseRequestHandler):
    server: WeakLine

    def handle(self) -> None:
        line = self.server
        self.left: int | None = None
        """Bytes after which the connection breaks."""
        with suppress(OSError), socket.create_connection(line.upstream) as server:
            line._open |= {self.request, server}
            back = threading.Thread(target=self._answers, args=(server,), daemon=True)
            back.start()
            with suppress(OSError):
                while data := self.request.recv(65536):
                    line.requests += 1
                    if line.random.random() < line.share:
                        self.left = line.random.randrange(1, 20_000)
                        line.broken += 1
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
            back.join()
            line._open -= {self.request, server}

    def _answers(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self.left is not None and len(data) >= self.left:
                    self.request.sendall(data[: self.left])
                    _reset(self.request)
                    break
                if self.left is not None:
                    self.left -= len(data)
                self.request.sendall(data)
            else:
                self.request.shutdown(socket.SHUT_WR)
        _reset(server)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        end.shutdown(socket.SHUT_RDWR)
        end.close()
