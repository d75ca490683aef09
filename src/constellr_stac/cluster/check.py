"""``check_workers``: verify that every worker can authenticate and read."""

from __future__ import annotations

import functools
import re
import threading
import time
import warnings
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from constellr_stac._text import redact
from constellr_stac.errors import WorkerError, WorkerVersionWarning
from constellr_stac.layers.item_bands import asset_bands
from constellr_stac.limits import Limits
from constellr_stac.reading.asset_ref import asset_ref
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.stac.items import sorted_items

from .arguments import checked_client
from .probe import probe, version_of, versions
from .worker_table import WorkerRow, WorkerTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pystac
    from distributed import Client

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

__all__ = ["check_workers"]

_MISSING = re.compile("(ModuleNotFound|Import|Attribute)Error|No module named")
_VERSIONS = ("constellr_stac", "gdal")
_FIRST = 10**6  # priority, before the tasks of a compute
_POLL = 0.02


def check_workers(
    client: Client,
    items: Items | None = None,
    *,
    auth: ConstellrAuth | Credential | Literal[False] | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
    timeout: float = 60.0,
) -> WorkerTable:
    """Send a task to each worker that authenticates and reads the first kilobyte of one asset.

    The workers use the credentials that their tasks will use: those pushed by
    :func:`share_credentials`, or their own. The tasks pass through the scheduler, which needs this
    package as well.

    Args:
        client: A :class:`distributed.Client`. In asynchronous code:
            ``await asyncio.to_thread(check_workers, client, items)``.
        items: Items to be loaded; one asset of the first is read, and the API is used only to renew
            its URL. By default the API is checked, and none is read.

    Keyword Args:
        auth: A :class:`ConstellrAuth` or a credential; it selects the API and is not sent.
            ``False``: do not contact the API.
        signer: As for :func:`load`.
        limits: As for :func:`load`.
        timeout: Seconds until workers that have not answered have failed. A cluster without workers
            may start some within this time.

    Returns:
        One row per worker: versions, source of its credential, bytes read, seconds.

    Raises:
        TypeError: ``client`` is not a synchronous client.
        ValueError: None of the items has an asset to read.
        WorkerError: There are no workers, the scheduler lacks this package, or some workers failed;
            the message names them, the half that failed (API or store) and the reason, and its
            ``table`` has one row per worker.

    Warns:
        WorkerVersionWarning: Versions on workers differ from the client's.

    Example:
        >>> constellr_stac.check_workers(client, items)  # doctest: +SKIP
        worker                 constellr_stac  gdal    credential  ...
        tcp://10.0.0.7:41155   0.1.0           3.10.3  pushed by the dask client  ...
    """
    dask_client = checked_client(client, "check_workers")
    bounds, longest = limits or Limits(), timeout / 3
    waits = ("retry_deadline", "connect_timeout", "read_timeout")
    bounds = replace(bounds, **{name: min(getattr(bounds, name), longest) for name in waits})
    resolver = AssetResolver(auth or None, signer, bounds)
    reference = None if items is None else _asset(sorted_items(items))
    tasks = _Tasks(dask_client, timeout, (resolver, reference), {"authenticate": auth is not False})
    found = tasks.unable()
    if not found and not tasks.workers():
        found = tasks.on(None)
    found |= tasks.on([worker for worker in tasks.workers() if worker not in found])
    table = WorkerTable(_row(worker, found[worker]) for worker in sorted(found))
    if not table:
        raise WorkerError(
            f"The cluster has had no workers for {timeout:g} s. Start some (cluster.scale, "
            "cluster.adapt), call client.wait_for_workers(1) first, or pass a longer timeout=."
        )
    _raise_for_problems(table)
    _warn_about_versions(table)
    return table


class _Tasks:
    """Runs :func:`probe` as tasks, until a deadline."""

    def __init__(self, client: Any, timeout: float, args: Any, kwargs: Mapping[str, Any]) -> None:
        self._client, self._timeout = client, timeout
        self._deadline = time.monotonic() + timeout
        self._submit = functools.partial(
            client.submit, probe, *args, **kwargs, pure=False, priority=_FIRST
        )

    def workers(self) -> list[str]:
        """Return the addresses of the present workers."""
        return list(self._client.nthreads())

    def unable(self) -> dict[str, Mapping[str, Any] | Exception]:
        """Return the errors of workers that cannot import this package, or be reached.

        A task that it cannot unpickle would end a worker.
        """
        answers: Future[dict[str, Any]] = Future()

        def ask() -> None:  # client.run has no timeout
            try:
                answers.set_result(self._client.run(versions, on_error="return"))
            except Exception as error:  # noqa: BLE001 - raised by result()
                answers.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            found = answers.result(max(self._deadline - time.monotonic(), 0))
        except TimeoutError:
            return {}
        return {worker: each for worker, each in found.items() if isinstance(each, Exception)}

    def on(self, workers: list[str] | None) -> dict[str, Mapping[str, Any] | Exception]:
        """Return the results by worker, for ``None`` that of the first worker to come.

        Raises:
            WorkerError: The scheduler cannot unpickle the tasks.
        """
        tasks = {
            worker: self._submit(workers=worker and [worker], allow_other_workers=False)
            for worker in (workers if workers is not None else [None])
        }
        while any(task.status == "pending" for task in tasks.values()):
            if time.monotonic() > self._deadline:
                break
            time.sleep(_POLL)
        found: dict[str, Mapping[str, Any] | Exception] = {}
        present = self.workers()
        for worker, task in tasks.items():
            if task.status == "finished":
                row = task.result(timeout=self._timeout)
                found[row["worker"]] = row
            elif task.status == "error" and "deserialization of the task" in str(task.exception()):
                raise WorkerError(
                    "The scheduler cannot unpickle tasks with constellr_stac. Install the client's "
                    f"version there: pip install constellr-stac=={version_of('constellr-stac')}"
                )
            elif worker in present:  # the others have left
                error = task.exception() if task.status == "error" else self._silent
                found[worker] = error
        self._client.cancel(list(tasks.values()))
        return found

    @property
    def _silent(self) -> TimeoutError:
        return TimeoutError(
            f"no answer within {self._timeout:g} s. Is the worker busy, or are its packets to the "
            "API, the store or the scheduler dropped? Pass a longer timeout=, or call "
            "client.restart()."
        )


def _asset(items: list[pystac.Item]) -> str:
    """Return the reference of the first asset with bands."""
    for item in items:
        for key in item.assets:
            if asset_bands(item, key):
                return str(asset_ref(item, key))
    raise ValueError("None of these items has an asset with bands to read.")


def _row(worker: str, found: Mapping[str, Any] | Exception) -> WorkerRow:
    if isinstance(found, Exception) and _MISSING.search(repr(found)):
        problem = (
            f"constellr_stac is not installed there, or in another version ({found}). Install it "
            f"on the workers: pip install constellr-stac=={version_of('constellr-stac')}"
        )
        return WorkerRow(worker, problem=problem)
    if isinstance(found, Exception):
        return WorkerRow(worker, problem=redact(f"{type(found).__name__}: {found}"))
    return WorkerRow(**found)


def _raise_for_problems(table: WorkerTable) -> None:
    workers_by_problem: dict[str, list[str]] = {}
    for row in table:
        if row.problem:
            workers_by_problem.setdefault(row.problem, []).append(row.worker)
    if not workers_by_problem:
        return
    count = sum(map(len, workers_by_problem.values()))
    reasons = "\n".join(
        f"{', '.join(workers)}: {why}" for why, workers in workers_by_problem.items()
    )
    error = WorkerError(f"{count} of {len(table)} workers cannot read.\n{reasons}")
    error.table = table
    raise error


def _warn_about_versions(table: WorkerTable) -> None:
    local = versions()
    differing = [
        f"{row.worker} has {name} {getattr(row, name)} (client: {local[name]})"
        for row in table
        for name in _VERSIONS
        if getattr(row, name) != local[name]
    ]
    if differing:
        warnings.warn(
            f"Versions differ, so results may differ: {'; '.join(differing)}.",
            WorkerVersionWarning,
            stacklevel=3,
        )
