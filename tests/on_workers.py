"""What tests let dask workers do; a module of its own, since workers import it.

Preloaded, it also writes down all that a worker logs, at DEBUG and whoever logs it.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGS = "TEST_WORKER_LOGS"
"""The environment variable that names the folder for the logs."""


def log_everything(file: Path) -> logging.Handler:
    """Write all log records of this process to ``file``, and return what does so."""
    handler = logging.FileHandler(file)
    for name in ("", "distributed"):  # distributed's loggers do not propagate
        logger = logging.getLogger(name)
        for other in logger.handlers:
            other.setLevel(logging.CRITICAL)  # the terminal is not what is searched
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    return handler


def dask_setup(_worker: Any) -> None:
    """Begin to write down, before the worker knows its scheduler."""
    log_everything(Path(os.environ[LOGS]) / f"worker-{os.getpid()}.log")


def slowly(block: NDArray[Any], *, seconds: float) -> NDArray[Any]:
    """Return a chunk as it is, after a while: a compute that takes its time."""
    time.sleep(seconds)
    return block


def environment(**variables: str | None) -> None:
    """Set variables of this worker's environment; ``None`` removes one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def found(base_url: str) -> str:
    """Say which credential a task here would use for the API."""
    from constellr_stac import default_credential

    return repr(default_credential(base_url=base_url))


def tokens_held(base_url: str) -> int:
    """Count the tokens that this worker's process got for itself and still holds."""
    from constellr_stac._process import STATE

    held: Any = STATE._values.get("token", {})
    return sum(url == base_url for url, _ in held)


def process() -> int:
    """Return the number of this worker's process."""
    return os.getpid()


def plugins(dask_worker: Any) -> list[str]:
    """Name this worker's plugins."""
    return list(dask_worker.plugins)
