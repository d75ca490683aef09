"""ASGI middleware for the request log, latency, the Date header and faults.

A request is read whole, logged, delayed, and then forwarded or failed as planned.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal

from .exchange import Exchange

if TYPE_CHECKING:
    from .faults import Fault, FaultPlan
    from .options import Clock

__all__ = ["ASGIApp", "Middleware", "Receive", "Send"]

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]

_AFTER_PROCESSING = ("truncate", "throttle", "commit_then_reset", "commit_then_status")
_TICK = 0.05  # seconds between two pieces of a throttled body
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, eq=False, repr=False)
class Middleware:
    """An ASGI application around another one."""

    app: ASGIApp
    _: KW_ONLY
    server: Literal["api", "store"]
    request_log: list[Exchange]
    """Gets every request."""
    faults: FaultPlan
    clock: Clock
    """The servers' time."""
    latency: float
    """Seconds added to each request."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(
            server=self.server,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]},
            when=self.clock.now(),
        )
        self.request_log.append(exchange)
        try:
            if await _read_body(exchange, receive):
                await self._serve(scope, exchange, receive, send)
        except asyncio.CancelledError:
            return  # the server is stopping and has dropped the connection

    async def _serve(self, scope: Any, exchange: Exchange, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                date = formatdate(self.clock.time(), usegmt=True).encode()
                message["headers"] = [*message.get("headers", ()), (b"date", date)]
            await send(message)

        if self.latency:
            await asyncio.sleep(self.latency)
        fault = self.faults.take(exchange.server, exchange.method, exchange.path)
        if fault is not None and fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault is None or fault.kind == "stall":
            await self.app(scope, _replay(exchange.body, receive), answer)
            return
        messages: list[Message] = []
        if fault.kind in _AFTER_PROCESSING:

            async def keep(message: Message) -> None:
                messages.append(message)

            await self.app(scope, _replay(exchange.body, receive), keep)
        await _fail(fault, messages, answer)
        if not fault.kind.endswith(("status", "throttle")):
            await _close(scope, receive, reset=fault.kind != "truncate")


async def _read_body(exchange: Exchange, receive: Receive) -> bool:
    """Read the request's body; return whether it is complete."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        exchange.body += message.get("body", b"")
        if not message.get("more_body", False):
            return True


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that repeats the body, then continues with the real one."""
    sent = False

    async def replayed() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _fail(fault: Fault, messages: list[Message], answer: Send) -> None:
    body = b"".join(message.get("body", b"") for message in messages[1:])
    if fault.kind.endswith("status"):
        headers = {"content-length": str(len(fault.body)), **fault.headers}
        pairs = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        await answer({"type": "http.response.start", "status": fault.status, "headers": pairs})
        await answer({"type": "http.response.body", "body": fault.body})
    elif fault.kind == "throttle":
        await answer(messages[0])
        await _send_slowly(body, answer, fault.bytes_per_second or 1)
    elif fault.kind == "truncate":
        half = body[: len(body) // 2]
        await answer(messages[0])
        await answer({"type": "http.response.body", "body": half, "more_body": True})


async def _send_slowly(body: bytes, answer: Send, speed: float) -> None:
    size = max(1, int(speed * _TICK))
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        await answer({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(size / speed)
    await answer({"type": "http.response.body", "body": b""})


async def _close(scope: Any, receive: Receive, *, reset: bool) -> None:
    """Close the connection: gracefully, or with a TCP reset."""
    transport: asyncio.Transport = scope["state"]["transport"]
    if reset:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass  # let the server notice before the request counts as served
