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

from broken_line import read_message, reserve_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["AnswerServer", "WeakLine"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Answer = tuple[int, dict[str, str], bytes]


class AnswerServer(ThreadingHTTPServer):
    """Answers each GET with what ``answer`` returns; over TLS with a context."""

    daemon_threads = True
    request_queue_size = 256

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
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.share = 0.0
        """The share of answers that break off."""
        self.outages: dict[int, float] = {}
        """Seconds of an outage that begins in the middle of an answer, by the answer's number."""
        self.random = random.Random(1)  # noqa: S311 - faults
        self.answers = 0
        self.broken = 0
        self.is_down = False
        self.open: set[socket.socket] = set()
        self._reserved = reserve_port()
        super().__init__(self._reserved.getsockname()[:2], _Connection, bind_and_activate=False)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()
        self._reserved.close()

    def handle_error(self, *args: object) -> None:
        """Print nothing: breaking is its purpose."""

    def outage(self, seconds: float) -> None:
        """Refuse all connections for some time, and reset those that are open."""
        self.stop()
        time.sleep(seconds)
        self.listen()

    def stop(self) -> None:
        """Refuse all connections, and reset those that are open."""
        self.is_down = True
        self.shutdown()
        self.server_close()
        for end in list(self.open):
            _reset(end)

    def passes(self, size: int) -> int:
        """Return how many bytes of the next answer pass."""
        self.answers += 1
        seconds = self.outages.pop(self.answers, None)
        if seconds is not None:
            self.is_down = True  # at once: the thread may be slow to start
            threading.Thread(target=self.outage, args=(seconds,)).start()
            return size // 2
        if self.random.random() >= self.share:
            return size
        self.broken += 1
        return self.random.randrange(size)

    def listen(self) -> None:
        """Accept connections, always at the same port."""
        self.is_down = False
        self.socket.close()
        address = self._reserved.getsockname()
        self.socket = socket.create_server(address, backlog=256, reuse_port=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Connection(socketserver.BaseRequestHandler):
    server: WeakLine

    def handle(self) -> None:
        client = self.request
        with suppress(OSError), socket.create_connection(self.server.upstream) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.server.open.add(end)
            with suppress(OSError):
                while self._forward(client, server):
                    pass
            self.server.open -= {client, server}

    def _forward(self, client: socket.socket, server: socket.socket) -> bool:
        """Forward a request and its answer; return whether the connection still works."""
        request, is_whole = read_message(client)
        server.sendall(request)
        if not is_whole:
            return False
        answer, is_whole = read_message(server)
        end = 0 if self.server.is_down else self.server.passes(len(answer))
        client.sendall(answer[:end])
        if end < len(answer):
            _reset(client)
            return False
        return is_whole


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        end.shutdown(socket.SHUT_RDWR)
        end.close()
