"""``check_workers``: verify that every worker can authenticate and read."""

from __future__ import annotations

import asyncio
import html
import re
import time
import warnings
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from constellr_stac._text import redact
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import ConstellrError, WorkerError, WorkerVersionWarning
from constellr_stac.layers.item_bands import asset_bands
from constellr_stac.reading.asset_ref import AssetRef, asset_ref
from constellr_stac.reading.prefetch import shared_fetcher
from constellr_stac.reading.resolver import AssetResolver
from constellr_stac.stac.items import sorted_items

from .arguments import checked_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pystac
    from distributed import Client

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

__all__ = ["WorkerRow", "WorkerTable", "check_workers"]

_HEAD_BYTES = 1024
_MISSING = re.compile("(ModuleNotFound|Import|Attribute)Error|No module named")
_VERSIONS = ("constellr_stac", "gdal")


@dataclass(frozen=True)
class WorkerRow:
    """The result on one worker."""

    worker: str
    """Address of the worker."""
    constellr_stac: str | None = None
    """Version of this package; ``None`` if nothing could run."""
    gdal: str | None = None
    """Version of rasterio's GDAL; ``None`` without rasterio."""
    credential: str = ""
    """Source of the worker's API credential."""
    read: int = 0
    """Bytes read of the asset."""
    seconds: float = 0.0
    """Time to authenticate and read."""
    problem: str = ""
    """Why the worker failed; empty on success."""


class WorkerTable(tuple[WorkerRow, ...]):
    """One row per worker; its repr is a table."""

    __slots__ = ()

    def cells(self) -> list[list[str]]:
        """Return the table as text: a row of headings, then one row per worker."""
        names = [field.name for field in fields(WorkerRow)]
        return [names, *([_format(getattr(row, name)) for name in names] for row in self)]

    def __repr__(self) -> str:
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    def _repr_html_(self) -> str:
        head, *rows = self.cells()
        below = "".join(_html_row(row, "td") for row in rows)
        return f"<table>{_html_row(head, 'th')}{below}</table>"


def check_workers(
    client: Client,
    items: Items | None = None,
    *,
    auth: ConstellrAuth | Credential | Literal[False] | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
) -> WorkerTable:
    """Let each worker authenticate and read the first kilobyte of one asset.

    The workers use the credentials that their tasks will use: those pushed by
    :func:`share_credentials`, or their own.

    Args:
        client: A :class:`distributed.Client`. In asynchronous code:
            ``await asyncio.to_thread(check_workers, client, items)``.
        items: Items to be loaded; one asset of the first is read. By default none is.

    Keyword Args:
        auth: A :class:`ConstellrAuth` or a credential; it selects the API and is not sent.
            ``False``: do not contact the API.
        signer: As for :func:`load`.
        limits: As for :func:`load`.

    Returns:
        One row per worker: versions, source of its credential, bytes read, seconds.

    Raises:
        TypeError: ``client`` is not a synchronous client.
        ValueError: None of the items has an asset to read.
        WorkerError: There are no workers, or some failed; the message names them and the reasons,
            and its ``table`` has one row per worker.

    Example:
        >>> constellr_stac.check_workers(client, items)  # doctest: +SKIP
        worker                 constellr_stac  gdal    credential  ...
        tcp://10.0.0.7:41155   0.1.0           3.10.3  pushed by the dask client  ...
    """
    waiting = checked_client(client, "check_workers")
    resolver = AssetResolver(auth or None, signer, limits)
    reference = None if items is None else _asset(sorted_items(items))
    found = waiting.run(
        probe, resolver, reference, authenticate=auth is not False, on_error="return"
    )
    table = WorkerTable(_row(worker, found[worker]) for worker in sorted(found))
    if not table:
        raise WorkerError("The cluster has no workers yet; call client.wait_for_workers(1) first.")
    _raise_for_problems(table)
    _warn_about_versions(table)
    return table


async def probe(
    resolver: AssetResolver, reference: str | None, *, authenticate: bool
) -> dict[str, Any]:
    """Run the check on a worker, beside its event loop.

    Returns plain values, since the client may have another version of this package.
    """
    return await asyncio.to_thread(_probe, resolver, reference, authenticate=authenticate)


def _probe(resolver: AssetResolver, reference: str | None, *, authenticate: bool) -> dict[str, Any]:
    row: dict[str, Any] = _versions()
    start = time.monotonic()
    try:
        if authenticate:
            row["credential"] = resolver.auth.credential.source
            _authenticate(resolver)
        if reference is not None:
            file = shared_fetcher(resolver).header(AssetRef.parse(reference), _HEAD_BYTES)
            row["read"] = len(file.head)
    except ConstellrError as error:
        row["problem"] = redact(f"{type(error).__name__}: {error}")
    row["seconds"] = time.monotonic() - start
    return row


def _authenticate(resolver: AssetResolver) -> None:
    """Fetch the API's landing page, which requires a valid credential."""
    auth = resolver.auth
    url = f"{auth.base_url}/stac"
    with api_session(auth, limits=resolver.limits) as session, connection_errors("GET", url):
        checked(session.get(url))


def _versions() -> dict[str, str | None]:
    return {"constellr_stac": _version("constellr-stac"), "gdal": _gdal()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gdal() -> str | None:
    try:
        import rasterio
    except ImportError:
        return None
    return str(rasterio.__gdal_version__)


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
            f"on the workers: pip install constellr-stac=={_version('constellr-stac')}"
        )
        return WorkerRow(worker, problem=problem)
    if isinstance(found, Exception):
        return WorkerRow(worker, problem=redact(f"{type(found).__name__}: {found}"))
    return WorkerRow(worker, **found)


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
    local = _versions()
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


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value).partition("\n")[0]


def _html_row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
