"""A run, from what is wanted to a folder that is complete, or says what it lacks.

What concerns one file is taken down and told in the end; what concerns all ends the run. How a
file is brought is :mod:`.bringing`'s business.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from constellr_stac._files import disk_error
from constellr_stac.errors import (
    APIConnectionError,
    AssetReadError,
    AuthenticationError,
    ConstellrError,
    CredentialsNotFoundError,
    DownloadError,
    InsecureURLError,
    SigningError,
)

from .catalog import Catalogue
from .checks import is_tiff
from .fetch import STRUCTURE, Bringer, Job
from .part_file import StoppedError
from .results import Downloaded, incomplete
from .workers import Crew

if TYPE_CHECKING:
    from pathlib import Path

    from constellr_stac.reading.http import Transfer

    from .fetch import Verify
    from .manifest import Manifest, Record
    from .progress import Display
    from .selection import Wanted, WantedFile, WantedItem

__all__ = ["Run"]

_GRACE = 1.0  # seconds for fetchers to notice that they are to stop
_CONCERNS_ALL = (
    APIConnectionError,
    AuthenticationError,
    CredentialsNotFoundError,
    InsecureURLError,
    SigningError,
)


class Run:
    """One run of a download.

    Args:
        wanted: What is wanted.
        folder: Where it goes.
        manifest: What is there.
        transfer: Brings bytes.
        display: Shows how far it is.

    Keyword Args:
        overwrite: Whether to bring what is there, too.
        verify: Whether to compare files with what is said of them, and to decode GeoTIFFs.
        workers: How many files are fetched at once.
    """

    def __init__(
        self,
        wanted: Wanted,
        folder: Path,
        manifest: Manifest,
        transfer: Transfer,
        display: Display,
        *,
        overwrite: bool,
        verify: Verify,
        workers: int,
    ) -> None:
        self._wanted = wanted
        self._folder = folder
        self._manifest = manifest
        self._display = display
        self._overwrite = overwrite
        self._verify = verify
        self._workers = workers
        self._stop = threading.Event()
        self._bringer = Bringer(
            transfer, manifest, verify=verify, stop=self._stop, arrived=self._arrived
        )
        self._catalogue = Catalogue(folder, manifest)
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._written: list[Path] = []
        self._skipped: list[Path] = []
        self._failures: dict[Path, ConstellrError] = {}
        self._left = {item: len(item.files) for item in wanted.items}

    def __call__(self) -> Downloaded:
        """Do it.

        Raises:
            IncompleteDownloadError: Some files could not be brought.
            DownloadError: The disk does not take them.
            ConstellrError: Nothing can be fetched at all.
            KeyboardInterrupt: With a word on what is there.
        """
        jobs = self._sort_out()
        self._display.skip(len(self._skipped))
        try:
            if jobs:
                with self._display, self._bringer:
                    self._work(jobs)
                self._bringer.check()
        except KeyboardInterrupt:
            with suppress(OSError):
                self._finish()
            raise KeyboardInterrupt(self._farewell()) from None
        except Exception:
            with suppress(OSError):
                self._finish()
            raise
        self._finish()
        if self._failures:
            raise incomplete(self._failures, self._downloaded())
        return self._downloaded()

    def _sort_out(self) -> list[Job]:
        """Return what there is to do; make folders for it."""
        jobs = []
        for folder in {self._folder / file.path.parent for file in self._wanted.files}:
            folder.mkdir(parents=True, exist_ok=True)
        for item in self._wanted.items:
            for file in item.files:
                target = self._folder / file.path
                there = target.exists()
                if there and not target.is_file():
                    raise DownloadError(
                        f"{str(target)!r} is no file, and {file.reference.label} has to be there. "
                        "Move it away, or choose another folder."
                    )
                there = there and not self._overwrite
                record = self._record(file, target) if there else None
                if record is None or self._is_to_be_decoded(record, target):
                    jobs.append(Job(item, file, target, there, record))
                else:
                    self._skipped.append(target)
                    self._left[item] -= 1
        return jobs

    def _record(self, file: WantedFile, target: Path) -> Record | None:
        """Return what is written of a file that is there, if it is the one that is wanted."""
        record = self._manifest.get(str(file.path))
        if (
            record is not None
            and (record.collection, record.item) == (file.item.collection_id, file.item.id)
            and not set(record.assets).isdisjoint(file.keys)
            and record.size == target.stat().st_size
        ):
            return record
        return None

    def _is_to_be_decoded(self, record: Record, target: Path) -> bool:
        """Say whether a file is to be looked at closer than when it came."""
        wanted = self._verify == STRUCTURE and is_tiff(target.name)
        return wanted and STRUCTURE not in record.checked

    def _work(self, jobs: list[Job]) -> None:
        crew = Crew(self._do, jobs, self._workers, stop=self._stop)
        try:
            crew.wait(self._display.draw)
        finally:
            self._stop.set()
            crew.leave(_GRACE)

    def _do(self, job: Job) -> None:
        meter = self._display.meter(job.file.label)
        try:
            self._bringer.bring(job, meter)
        except StoppedError:
            return
        except (AssetReadError, DownloadError) as error:
            if isinstance(error.__cause__, _CONCERNS_ALL):
                raise error.__cause__ from error
            with self._lock:
                self._failures[job.target] = error
            meter.end()
            self._settle(job.item)
        except OSError as error:
            raise disk_error(error, job.target) from error

    def _arrived(self, job: Job, brought: bool) -> None:  # noqa: FBT001 - called by one caller
        with self._lock:
            (self._written if brought else self._skipped).append(job.target)
        self._settle(job.item)

    def _settle(self, item: WantedItem) -> None:
        """Note that no more is to come of a file, and perhaps of its item."""
        with self._lock:
            self._left[item] -= 1
            last = not self._left[item]
        if last:
            self._catalogue.write_item(item)

    def _finish(self) -> None:
        """Write down what is there, whatever has happened."""
        there = []
        for item in self._wanted.items:
            document = self._folder / item.document
            written = not self._left[item] and document.is_file() and document.stat().st_size
            if written or self._catalogue.write_item(item):
                there.append(item)
        if there:
            self._catalogue.finish(there)
        self._manifest.save()

    def _downloaded(self) -> Downloaded:
        return Downloaded(
            self._folder,
            tuple(sorted(self._written)),
            tuple(sorted(self._skipped)),
            self._display.come,
            time.monotonic() - self._started,
        )

    def _farewell(self) -> str:
        there, files = len(self._written) + len(self._skipped), len(self._wanted.files)
        return (
            f"Stopped: {there} of {files} files are in {str(self._folder)!r}. What has come of the "
            "others is kept: run the same again, and it goes on from there."
        )
