"""Share credentials with dask clusters, without secrets in the graph.

:func:`share_credentials` pushes credentials to the workers (:mod:`.pusher` on the client,
:mod:`.worker_plugin` on a worker, :mod:`.messages` in between); :func:`check_workers` tests that
every worker can read. Both need the extra ``cluster``.
"""

from __future__ import annotations

from constellr_stac.errors import (
    CredentialsNotSharedWarning,
    UnencryptedClusterWarning,
    WorkerVersionWarning,
)

from .check import check_workers
from .share import SharedCredentials, share_credentials
from .worker_table import WorkerRow, WorkerTable

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
