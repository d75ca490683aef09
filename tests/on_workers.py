"""Functions that tests run on dask workers, which import this module.

Preloaded, it also sets a worker's environment, and logs everything at DEBUG if that names a folder.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENVIRONMENT = "TEST_WORKER_ENVIRONMENT"
"""The environment variable that holds all others of a worker, as JSON."""

LOGS = "TEST_WORKER_LOGS"
"""The environment variable that names the folder for the logs."""


def log_everything(file: Path) -> logging.Handler:
    """Write all log records of this process to ``file`` and return the handler."""
    handler = logging.FileHandler(file)
    for name in ("", "distributed"):  # distributed's loggers do not propagate
        logger = logging.getLogger(name)
        for other in logger.handlers:
            other.setLevel(logging.CRITICAL)  # keep the terminal quiet
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    return handler


def dask_setup(_worker: Any) -> None:
    """Set the environment and start logging before the worker connects to its scheduler."""
    variables = json.loads(os.environ[ENVIRONMENT])
    os.environ.clear()
    os.environ.update(variables)
    if LOGS in os.environ:
        log_everything(Path(os.environ[LOGS]) / f"worker-{os.getpid()}.log")


def slowly(block: NDArray[Any], *, seconds: float) -> NDArray[Any]:
    """Return the chunk after a delay."""
    time.sleep(seconds)
    return block


def environment(**variables: str | None) -> None:
    """Set variables in this worker's environment; ``None`` removes one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def no_route(port: int | None) -> None:
    """Make a port unreachable from this worker; ``None`` restores the route."""
    if port is None:
        vars_of_class: Any = socket.socket
        del vars_of_class.connect
        return

    def connect(self: socket.socket, address: Any) -> None:
        if address[1] == port:
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        super(socket.socket, self).connect(address)

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]


def found(base_url: str) -> str:
    """Return the source of the API credential that a task here would use."""
    from constellr_stac import default_credential

    return repr(default_credential(base_url=base_url))


def forget_files() -> None:
    """Forget the files that this worker has read."""
    from constellr_stac._process import STATE

    STATE.clear("fetcher")


def tokens_held(base_url: str) -> int:
    """Return how many tokens this worker's process fetched and holds."""
    from constellr_stac._process import STATE

    held: Any = STATE._values.get("token", {})
    return sum(url == base_url for url, _ in held)


def process() -> int:
    """Return this worker's process id."""
    return os.getpid()


def plugins(dask_worker: Any) -> list[str]:
    """Return the names of this worker's plugins."""
    return list(dask_worker.plugins)
