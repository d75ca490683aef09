"""A TCP proxy that breaks a connection at a chosen byte."""

from __future__ import annotations

import re
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Break", "BreakingProxy", "read_message", "reserve_port"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Break:
    """Where the connection breaks.

    ``request``: part of the request passes, so the server does nothing. ``answer``: the server has
    acted, and part of its response passes. ``refuse``: the proxy stops listening after the previous
    response.
    """

    part: Literal["request", "answer", "refuse"]
    share: float = 0.0
    """The fraction that passes, from 0 to less than 1."""
    how: Literal["reset", "close", "hang"] = "reset"
    """The connection is reset, closed, or passes nothing until the client closes it."""


class BreakingProxy:
    """Forwards requests to a server, and breaks a connection on demand.

    Args:
        upstream: The server's URL.
        breaks_at: The start of the request at which a :class:`Break` happens.
        comes_before: The start of the preceding request, for ``refuse``.
    """

    def __init__(self, upstream: str, breaks_at: str, comes_before: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 80))
        self._breaks_at = breaks_at.encode()
        self._comes_before = comes_before.encode()
        self._reserved = reserve_port()
        self._port = self._reserved.getsockname()[1]
        self.next_break: Break | None = None
        """The next break; used once."""
        self.before: Callable[[], object] | None = None
        """Called once, just before the request passes."""
        self.connections = 0
        """Number of connections so far."""

    @property
    def url(self) -> str:
        """The proxy's URL."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._reserved.close()

    def start(self) -> None:
        """Accept connections, always at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self._port), reuse_port=True)
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def stop(self) -> None:
        """Stop accepting connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._upstream) as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._forward(client, server):
                pass

    def _forward(self, client: socket.socket, server: socket.socket) -> bool:
        """Forward a request and its response; return whether the connection still works."""
        request, is_whole = read_message(client)
        if not is_whole:
            return False
        next_break = self._next_break(request)
        if next_break is not None and next_break.part == "request":
            server.sendall(request[: int(next_break.share * len(request))])
            _break(next_break, client, server)
            return False
        server.sendall(request)
        answer, is_whole = read_message(server)
        if next_break is not None and next_break.part == "answer":
            client.sendall(answer[: int(next_break.share * len(answer))])
            _break(next_break, client)
            return False
        is_last = request.startswith(self._comes_before)
        if is_last and self.next_break is not None and self.next_break.part == "refuse":
            self.next_break = None
            self.stop()
            answer = answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
            is_whole = False
        client.sendall(answer)
        return is_whole

    def _next_break(self, request: bytes) -> Break | None:
        if not request.startswith(self._breaks_at):
            return None
        if self.before is not None:
            callback, self.before = self.before, None
            callback()
        next_break, self.next_break = self.next_break, None
        return next_break


def reserve_port() -> socket.socket:
    """Return a socket that keeps a port from others while a server does not listen there.

    Connections to it are refused; a server listens with ``reuse_port=True``.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _break(next_break: Break, *ends: socket.socket) -> None:
    if next_break.how == "hang":
        ends[0].recv(1)  # blocks until the client closes the connection
    for end in ends:
        if next_break.how == "reset":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        end.close()


def read_message(end: socket.socket) -> tuple[bytes, bool]:
    """Read one request or response; return it and whether it is complete."""
    read, needed = b"", 1
    while len(read) < needed:
        more = end.recv(65536)
        if not more:
            return read, False
        read += more
        head, gap, _ = read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        needed = len(head + gap) + int(length[1] if length else 0) if gap else len(read) + 1
    return read, True
