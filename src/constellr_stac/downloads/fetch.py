"""Download one file: fetch it, verify it, and rename it to its final path.

Finishing (fsync, rename) runs in its own threads, so that fetching does not wait for the disk.
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
    DIGEST,
    Digests,
    digests_for,
    expected_by_item,
    expected_by_store,
    mismatch,
    multihash,
)
from .kinds import decode_error, is_tiff, kind_error
from .manifest import Record
from .part_file import PartFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from constellr_stac.reading.http import Transfer

    from .checks import Expected
    from .manifest import Manifest
    from .progress import Meter
    from .selection import SelectedFile, SelectedItem

__all__ = ["STRUCTURE", "Downloader", "Job", "Verify"]

Verify: TypeAlias = bool | Literal["structure"]

STRUCTURE: Literal["structure"] = "structure"
"""The ``verify`` option, and the manifest's entry, for decoding GeoTIFFs."""

_TRIES = 2  # the part of an earlier run may be damaged; a fresh download should not be
_FINISHERS = 4
_MAX_FINISHING = 64  # files that wait for the disk, each with an open handle


class Job(NamedTuple):
    """A file to download or verify."""

    item: SelectedItem
    file: SelectedFile
    target: Path
    exists: bool
    """Whether ``target`` exists and is kept."""
    record: Record | None = None
    """The manifest's record of the existing file."""


class Downloader:
    """Downloads files, from any number of threads.

    Leaving its context waits for the disk, and raises its first error unless another one is raised.

    Args:
        transfer: Fetches bytes.
        manifest: Records the files.

    Keyword Args:
        verify: Whether to verify files, and to decode GeoTIFFs.
        stop: When set, no more bytes are written; set here when the disk fails.
        on_done: Called with each complete file, and whether it was downloaded.
    """

    def __init__(
        self,
        transfer: Transfer,
        manifest: Manifest,
        *,
        verify: Verify,
        stop: threading.Event,
        on_done: Callable[[Job, bool], None],
    ) -> None:
        self._transfer = transfer
        self._manifest = manifest
        self._verify = verify
        self._stop = stop
        self._on_done = on_done
        self._slots = threading.BoundedSemaphore(_MAX_FINISHING)
        self._finishers = ThreadPoolExecutor(_FINISHERS, thread_name_prefix="constellr-finish")
        self._finishing: list[Future[None]] = []

    def fetch(self, job: Job, meter: Meter) -> None:
        """Fetch a file and submit it to be finished, or verify an existing one.

        Raises:
            AssetReadError: It cannot be read.
            DownloadError: It fails verification, or the existing file differs from it.
            OSError: The disk failed.
            StoppedError: The run was stopped.
        """
        if job.exists:
            if job.record is None:
                self._adopt(job)
            else:
                self._decode_existing(job, job.record)
            meter.end()
            return
        path = str(job.file.path)
        part = PartFile(
            job.target,
            meter,
            self._stop,
            info=self._manifest.part_info(path),
            on_begin=functools.partial(self._manifest.begin, path),
            expected=expected_by_item(job.file.asset.extra_fields),
        )
        with ExitStack() as on_error:
            on_error.callback(part.close)
            self._receive(job, part)
            self._slots.acquire()
            self._finishing.append(self._finishers.submit(self._finish_file, job, part, meter))
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, raised: BaseException | None, _trace: object) -> None:
        self._finishers.shutdown()
        if raised is None:
            for future in self._finishing:
                future.result()

    def _receive(self, job: Job, part: PartFile) -> None:
        """Fetch the missing bytes of a file and verify it."""
        problem = None
        for _ in range(_TRIES):
            self._transfer.stream(job.file.reference, part)
            problem = self._problem(part.path, job, part.expected, part.digests)
            if problem is None:
                return
            part.discard()
        raise DownloadError(
            f"{job.file.reference.label} failed verification twice: {problem}. Try again later, "
            "or pass verify=False to skip verification.",
            request_url=job.file.reference.href,
        )

    def _finish_file(self, job: Job, part: PartFile, meter: Meter) -> None:
        """Rename a file to its final path and record it."""
        try:
            record = self._record(job.file, part.expected, part.digests)
            part.commit()
            self._manifest.add(str(job.file.path), record)
            meter.end()
            self._on_done(job, True)  # noqa: FBT003 - downloaded
        except OSError as error:
            self._stop.set()
            raise disk_error(error, job.target) from error
        finally:
            part.close()
            self._slots.release()

    def _adopt(self, job: Job) -> None:
        """Record an existing file if it equals the asset.

        It may be from a run that was killed, or from another script.
        """
        source = self._transfer.source(job.file.reference)
        expected = (*expected_by_item(job.file.asset.extra_fields), *expected_by_store(source))
        digests = digests_for(expected)
        digests.update_from(job.target)
        problem = mismatch(expected, digests) or self._problem(job.target, job, expected, digests)
        if not expected:
            problem = "neither the item nor the server states its size"
        if problem is not None:
            raise DownloadError(
                f"{str(job.target)!r} differs from {job.file.reference.label}: {problem}. "
                "Move it away, or pass overwrite=True to replace it."
            )
        self._manifest.add(str(job.file.path), self._record(job.file, expected, digests))
        self._on_done(job, False)  # noqa: FBT003 - it existed

    def _decode_existing(self, job: Job, record: Record) -> None:
        """Decode a file that an earlier run downloaded without decoding it."""
        digests = Digests({DIGEST})
        digests.update_from(job.target)
        problem: str | None = "its checksum differs from the manifest"
        if multihash(DIGEST, digests[DIGEST]) == record.checksum:
            problem = decode_error(job.target, self._transfer.limits)
        if problem is not None:
            raise DownloadError(
                f"{str(job.target)!r} is damaged or was modified: {problem}. "
                "Pass overwrite=True to download it again."
            )
        checked = (*record.checked, STRUCTURE)
        self._manifest.add(str(job.file.path), replace(record, checked=checked))
        self._on_done(job, False)  # noqa: FBT003 - it existed

    def _problem(
        self, path: Path, job: Job, expected: Iterable[Expected], digests: Digests
    ) -> str | None:
        """Return why a file fails verification, or ``None``."""
        if not self._verify:
            return None
        problem = mismatch(expected, digests) or kind_error(
            path, job.target.name, job.file.asset.media_type, self._transfer.limits
        )
        if problem is None and self._verify == STRUCTURE and is_tiff(job.target.name):
            return decode_error(path, self._transfer.limits)
        return problem

    def _record(self, file: SelectedFile, expected: Iterable[Expected], digests: Digests) -> Record:
        href = file.reference.href
        checked = [each.source for each in expected] if self._verify else []
        if self._verify == STRUCTURE and is_tiff(file.path.name):
            checked.append(STRUCTURE)
        return Record(
            href=redact_url(href) if href.startswith(("http:", "https:")) else href,
            size=int(digests["length"]),
            checksum=multihash(DIGEST, digests[DIGEST]),
            downloaded=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            checked=tuple(checked),
            collection=file.item.collection_id,
            item=file.item.id,
            assets=file.keys,
        )
