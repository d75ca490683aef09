"""A dask cluster on this machine whose workers are forked: importing takes longest."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
from distributed import LocalCluster
from distributed.utils import get_mp_context

from on_workers import ENVIRONMENT
from shell import preload_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["local_cluster"]


@contextmanager
def local_cluster(**options: Any) -> Iterator[LocalCluster]:
    """Run a cluster of worker processes with the environment of this moment.

    Keyword Args:
        options: Those of ``LocalCluster``.
    """
    how = {
        "distributed.worker.multiprocessing-method": "forkserver",
        # Otherwise a worker restarted twice within 15 s counts as lost.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    with dask.config.set(how):
        get_mp_context()  # sets a shorter list of libraries, once
        preload_libraries()
        with LocalCluster(
            processes=True,
            dashboard_address="127.0.0.1:0",
            preload=["on_workers"],
            env={ENVIRONMENT: json.dumps(dict(os.environ))},
            **options,
        ) as cluster:
            yield cluster
