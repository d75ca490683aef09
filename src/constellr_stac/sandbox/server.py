"""An HTTP server in a thread, on a free loopback port."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from .wire import ASGIApp

__all__ = ["LoopbackServer"]

_START_SECONDS = 60
_LOOP_TURNS = 5  # event-loop turns until connections are registered or removed


class LoopbackServer:
    """One application on one port; ``name`` is the thread's."""

    def __init__(self, app: ASGIApp, *, name: str, host: str) -> None:
        self._name = name
        self._host = host
        self._config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the middleware sends the sandbox's time
            timeout_keep_alive=60,
        )
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Start serving and return the URL once requests are answered.

        The port is bound here, so no other process can take it.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, 0), family=family)
        host = f"[{self._host}]" if ":" in self._host else self._host
        url = f"http://{host}:{listener.getsockname()[1]}"
        self._server = _Server(self._config)
        self._thread = threading.Thread(
            target=_run, args=(self._server, listener), name=self._name, daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            raise RuntimeError(
                f"The server {self._name} did not start within {_START_SECONDS} seconds."
            )
        return url

    def stop(self) -> None:
        """Drop all connections, close the port and end the thread."""
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join()
        self._server = self._thread = None


def _run(server: _Server, listener: socket.socket) -> None:
    # A selector loop on every platform: shutdown() relies on remove_reader.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(server.serve(sockets=[listener]))


class _Protocol(H11Protocol):
    """Gives applications their transport, for faults below HTTP."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # ^ uvicorn serves stream transports only
        super().connection_made(transport)
        # uvicorn writes headers and body separately, and asyncio does not disable Nagle on this
        # listener: with delayed acknowledgements, that costs 40 ms per request.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """A uvicorn server that stops on an event and does not wait for clients."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def stop(self) -> None:
        """End :meth:`main_loop`; callable from any thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def main_loop(self) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self.ready.set()
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections and tasks without waiting for keep-alive."""
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        # Accepted connections must be registered before the listener is closed, or asyncio
        # leaks their sockets (it asserts an open server when it creates a transport).
        for _ in range(_LOOP_TURNS):
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()
