"""Logging to standard error: requests with ``-v``, libraries too with ``-vv``.

Only known loggers are enabled: botocore, for one, logs session tokens.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING

from constellr_stac._text import redact

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["configure_logging"]

_LOGGERS = (("urllib3.connectionpool",), ("urllib3", "pystac_client", "constellr_stac"))


def configure_logging(verbose: int) -> None:
    """Print warnings on one line each, and set up logging for ``verbose`` times ``-v``."""
    warnings.showwarning = _warn
    if not verbose:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_RedactingFormatter("%(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    for name in _LOGGERS[min(verbose, len(_LOGGERS)) - 1]:
        logging.getLogger(name).setLevel(logging.DEBUG)


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _warn(  # noqa: PLR0917 - the signature is Python's
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,
    line: str | None = None,  # noqa: ARG001
) -> None:
    (file or sys.stderr).write(f"Warning: {redact(str(message))}\n")
