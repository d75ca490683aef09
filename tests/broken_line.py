"""A line between a client and a server that breaks at a byte of choice: TCP, nothing simulated."""

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

__all__ = ["Cut", "Line"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Cut:
    """Where the line breaks.

    ``request``: a part of the request has passed, so the server did nothing. ``answer``: the
    server has done its work, and a part of its answer has passed. ``refuse``: the line hangs up
    after the last answer before, and nobody listens any more.
    """

    part: Literal["request", "answer", "refuse"]
    share: float = 0.0
    """How much of it passes, from 0 to (not quite) 1."""
    how: Literal["reset", "close", "hang"] = "reset"
    """The connection is reset, closed in order, or nothing passes any more until the client
    has had enough."""


class Line:
    """Passes requests on to a server, one after another, and breaks when told.

    Args:
        upstream: The server's URL.
        breaks_at: How the request begins at which a :class:`Cut` happens.
        comes_before: How the one before begins, after which nobody listens any more.
    """

    def __init__(self, upstream: str, breaks_at: str, comes_before: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 80))
        self._breaks_at = breaks_at.encode()
        self._comes_before = comes_before.encode()
        self._port = 0
        self.cut: Cut | None = None
        """The next break; it happens once."""
        self.before: Callable[[], object] | None = None
        """What happens elsewhere just before the request passes; once."""
        self.decoded = 0
        """How many connections there were so far."""

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        self.hang_up()

    def listen(self) -> None:
        """Take connections, at the same port as ever."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def hang_up(self) -> None:
        """Take no connection any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.decoded += 1
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as server, suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._pass_on(client, server):
                pass

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on a request and its answer; say whether the line still holds."""
        request, is_whole = _message(client)
        if not is_whole:
            return False
        cut = self._what_happens_at(request)
        if cut is not None and cut.part == "request":
            server.sendall(request[: int(cut.share * len(request))])
            _break(cut, client, server)
            return False
        server.sendall(request)
        answer, is_whole = _message(server)
        if cut is not None and cut.part == "answer":
            client.sendall(answer[: int(cut.share * len(answer))])
            _break(cut, client)
            return False
        is_last = request.startswith(self._comes_before)
        if is_last and self.cut is not None and self.cut.part == "refuse":
            self.cut = None
            self.hang_up()
            answer = answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
            is_whole = False
        client.sendall(answer)
        return is_whole

    def _what_happens_at(self, request: bytes) -> Cut | None:
        if not request.startswith(self._breaks_at):
            return None
        if self.before is not None:
            happening, self.before = self.before, None
            happening()
        cut, self.cut = self.cut, None
        return cut


def _break(cut: Cut, *ends: socket.socket) -> None:
    if cut.how == "hang":
        ends[0].recv(1)  # nothing comes; it ends when the client hangs up
    for end in ends:
        if cut.how == "reset":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        end.close()


def _message(end: socket.socket) -> tuple[bytes, bool]:
    """Read one request or answer; say whether all of it came before the connection ended."""
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
