"""Dask clusters without secrets in the graph.

:func:`share_credentials` lends credentials to the workers (:mod:`.lending` on the client,
:mod:`.borrowing` on a worker, :mod:`.parcels` on the way), and :func:`check_workers` proves that
every worker can read. How a worker's process uses what it was lent is the business of
:mod:`constellr_stac.auth` and :mod:`constellr_stac.signing.aws`.
"""

from __future__ import annotations

from constellr_stac.errors import (
    CredentialsNotSharedWarning,
    UnencryptedClusterWarning,
    WorkerVersionWarning,
)

from .check import WorkerRow, WorkerTable, check_workers
from .share import SharedCredentials, share_credentials

__all__ = [
    "CredentialsNotSharedWarning",
    "SharedCredentials",
    "UnencryptedClusterWarning",
    "WorkerRow",
    "WorkerTable",
    "WorkerVersionWarning",
    "check_workers",
    "share_credentials",
]
