"""Logging to standard error: requests with ``-v``, libraries too with ``-vv``.

Only known loggers are enabled: botocore, for one, logs session tokens.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

from constellr_stac._text import redact

__all__ = ["configure_logging"]

_LOGGERS = (("urllib3.connectionpool",), ("urllib3", "pystac_client", "constellr_stac"))


def configure_logging(verbose: int) -> None:
    """Print warnings on one line each, and set up logging for ``verbose`` times ``-v``."""
    warnings.formatwarning = _format_warning
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


def _format_warning(message: Warning | str, *_: Any, **__: Any) -> str:
    return f"Warning: {redact(str(message))}\n"
