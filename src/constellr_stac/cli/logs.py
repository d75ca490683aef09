"""What ``-v`` adds on standard error: the requests; with ``-vv``, what the libraries say too.

Only loggers whose words are known are heard: botocore, for one, logs session tokens.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING

from constellr_stac._text import redact

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["listen"]

_HEARD = (("urllib3.connectionpool",), ("urllib3", "pystac_client", "constellr_stac"))


def listen(verbose: int) -> None:
    """Show warnings in one line each, and the log as far as it is asked for.

    Args:
        verbose: How often ``-v`` was said.
    """
    warnings.showwarning = _warn
    if not verbose:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_WithoutSecrets("%(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    for name in _HEARD[min(verbose, len(_HEARD)) - 1]:
        logging.getLogger(name).setLevel(logging.DEBUG)


class _WithoutSecrets(logging.Formatter):
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
