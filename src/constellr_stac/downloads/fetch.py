"""How one file is brought: fetched, looked at, and given its name.

Fetching and landing are apart: while the disk is waited for (fsync), the network is not idle.
Which files there are, and what becomes of those that fail, is :mod:`.run`'s business.
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias

from constellr_stac._files import disk_error
from constellr_stac._text import redact_url
from constellr_stac.errors import DownloadError

from .checks import (
    Digests,
    broken,
    damage,
    is_tiff,
    multihash,
    promised_by_asset,
    promised_by_store,
)
from .manifest import Record
from .part_file import PartFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from constellr_stac.reading.http import Transfer

    from .checks import Promise
    from .manifest import Manifest
    from .progress import Meter
    from .selection import WantedFile, WantedItem

__all__ = ["STRUCTURE", "Bringer", "Job", "Verify"]

Verify: TypeAlias = bool | Literal["structure"]

STRUCTURE: Literal["structure"] = "structure"
"""How it is written down, and asked for, that a GeoTIFF was decoded."""

_DIGEST = "sha256"
_ALWAYS = (_DIGEST, "length")
_TRIES = 2  # what an earlier run has left may be bad, what comes afresh is not
_LANDERS = 4
_LANDING = 64  # files that may wait for the disk, each with an open handle


class Job(NamedTuple):
    """A file that is to be brought, or to be looked at."""

    item: WantedItem
    file: WantedFile
    target: Path
    there: bool
    """Whether a file of this name is there."""
    record: Record | None = None
    """What is written down of the file that is there."""


class Bringer:
    """Brings files, from any number of threads; leaving its context waits for the disk.

    Args:
        transfer: Brings bytes.
        manifest: Takes down what is there.

    Keyword Args:
        verify: Whether to compare files with what is said of them, and to decode GeoTIFFs.
        stop: Set when no further byte is to be written; set here when the disk fails.
        arrived: Is told of each file that is there now, and whether it was brought.
    """

    def __init__(
        self,
        transfer: Transfer,
        manifest: Manifest,
        *,
        verify: Verify,
        stop: threading.Event,
        arrived: Callable[[Job, bool], None],
    ) -> None:
        self._transfer = transfer
        self._manifest = manifest
        self._verify = verify
        self._stop = stop
        self._arrived = arrived
        self._slots = threading.BoundedSemaphore(_LANDING)
        self._landers = ThreadPoolExecutor(_LANDERS, thread_name_prefix="constellr-land")
        self._landings: list[Future[None]] = []

    def bring(self, job: Job, meter: Meter) -> None:
        """Bring a file, as far as that is the network's business; the disk's goes on alone.

        Raises:
            AssetReadError: It cannot be had.
            DownloadError: It comes damaged, or another one is in its place.
            OSError: The disk does not take it.
            StoppedError: This is to stop.
        """
        if job.there:
            if job.record is None:
                self._adopt(job)
            else:
                self._look_again(job, job.record)
            meter.end()
            return
        promises = promised_by_asset(job.file.asset.extra_fields)
        path = str(job.file.path)
        part = PartFile(
            job.target,
            meter,
            self._stop,
            note=self._manifest.note(path),
            noted=functools.partial(self._manifest.begin, path),
            promises=promises,
            kinds=_ALWAYS,
        )
        with ExitStack() as unless_it_lands:
            unless_it_lands.callback(part.close)
            self._receive(job, part)
            self._slots.acquire()
            self._landings.append(self._landers.submit(self._land, job, part, meter))
            unless_it_lands.pop_all()

    def __enter__(self) -> Self:
        self._landers.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._landers.shutdown()

    def check(self) -> None:
        """Raise what went wrong with the disk, when all is over.

        Raises:
            DownloadError: A file could not be given its name.
        """
        for landing in self._landings:
            landing.result()

    def _receive(self, job: Job, part: PartFile) -> None:
        """Fetch what is missing of a file, and look at it."""
        problem = None
        for _ in range(_TRIES):
            self._transfer.stream(job.file.reference, part)
            problem = self._problem(part.path, job, part.promises, part.digests)
            if problem is None:
                return
            part.discard()
        raise DownloadError(
            f"{job.file.reference.label} came damaged, twice: {problem}. Try again later; "
            "verify=False takes it as it is.",
            request_url=job.file.reference.href,
        )

    def _land(self, job: Job, part: PartFile, meter: Meter) -> None:
        """Give a file its name, and write it down."""
        try:
            record = self._record(job.file, part.promises, part.digests)
            part.land()
            self._manifest.add(str(job.file.path), record)
            meter.end()
            self._arrived(job, True)  # noqa: FBT003 - it was brought
        except OSError as error:
            self._stop.set()
            raise disk_error(error, job.target) from error
        finally:
            part.close()
            self._slots.release()

    def _adopt(self, job: Job) -> None:
        """Take a file that is there for the one that is wanted, if it is the same.

        A run that was killed may have left it so, or somebody else's script has brought it.
        """
        source = self._transfer.source(job.file.reference)
        promises = (
            *promised_by_asset(job.file.asset.extra_fields),
            *promised_by_store(source),
        )
        digests = Digests({*_ALWAYS, *(promise.kind for promise in promises)})
        digests.update_from(job.target)
        problem = broken(promises, digests) or self._problem(job.target, job, promises, digests)
        if not promises:
            problem = "nobody says how long that one is"
        if problem is not None:
            raise DownloadError(
                f"{str(job.target)!r} is another file than {job.file.reference.label}: {problem}. "
                "Move it away, or give overwrite=True to replace it."
            )
        self._manifest.add(str(job.file.path), self._record(job.file, promises, digests))
        self._arrived(job, False)  # noqa: FBT003 - it was there

    def _look_again(self, job: Job, record: Record) -> None:
        """Decode a file that an earlier run has brought, and did not decode."""
        digests = Digests({_DIGEST})
        digests.update_from(job.target)
        if multihash(_DIGEST, digests[_DIGEST]) != record.checksum:
            problem: str | None = "it was changed since"
        else:
            problem = damage(job.target)
        if problem is not None:
            raise DownloadError(
                f"{str(job.target)!r} is not what was brought, or that was damaged: {problem}. "
                "Give overwrite=True to bring it again."
            )
        checked = (*record.checked, STRUCTURE)
        self._manifest.add(str(job.file.path), replace(record, checked=checked))
        self._arrived(job, False)  # noqa: FBT003 - it was there

    def _problem(
        self, path: Path, job: Job, promises: Iterable[Promise], digests: Digests
    ) -> str | None:
        """Say what is wrong with a file, if anything is."""
        if not self._verify:
            return None
        problem = broken(promises, digests)
        if problem is None and self._verify == STRUCTURE and is_tiff(job.target.name):
            return damage(path)
        return problem

    def _record(self, file: WantedFile, promises: Iterable[Promise], digests: Digests) -> Record:
        href = file.reference.href
        checked = [promise.said_by for promise in promises] if self._verify else []
        if self._verify == STRUCTURE and is_tiff(file.path.name):
            checked.append(STRUCTURE)
        return Record(
            href=redact_url(href) if href.startswith(("http:", "https:")) else href,
            size=int(digests["length"]),
            checksum=multihash(_DIGEST, digests[_DIGEST]),
            downloaded=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            checked=tuple(checked),
            collection=file.item.collection_id,
            item=file.item.id,
            assets=file.keys,
        )
