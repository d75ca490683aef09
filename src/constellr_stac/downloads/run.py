"""One run of a download.

A file that fails is reported at the end; an error that affects all files ends the run.
"""

from __future__ import annotations

import errno
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

from .catalog import CatalogWriter
from .fetch import STRUCTURE, Downloader, Job
from .kinds import is_tiff
from .part_file import StoppedError
from .progress import Meter
from .results import Downloaded, incomplete
from .workers import WorkerThreads

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from constellr_stac.reading.http import Transfer

    from .fetch import Verify
    from .manifest import Manifest, Record
    from .progress import Display
    from .selection import SelectedFile, SelectedItem, Selection

__all__ = ["Run"]

_GRACE = 1.0  # seconds for workers to stop
_AFFECTS_ALL = (
    APIConnectionError,
    AuthenticationError,
    CredentialsNotFoundError,
    InsecureURLError,
    SigningError,
)


class Run:
    """Downloads a selection into a folder; for the arguments see :func:`.download`."""

    def __init__(
        self,
        selection: Selection,
        folder: Path,
        manifest: Manifest,
        transfer: Transfer,
        display: Display,
        *,
        overwrite: bool,
        verify: Verify,
        workers: int,
    ) -> None:
        self._selection = selection
        self._folder = folder
        self._manifest = manifest
        self._display = display
        self._overwrite = overwrite
        self._verify = verify
        self._workers = workers
        self._stop = threading.Event()
        self._downloader = Downloader(
            transfer, manifest, verify=verify, stop=self._stop, on_done=self._on_done
        )
        self._catalog = CatalogWriter(folder, manifest)
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._written: list[Path] = []
        self._skipped: list[Path] = []
        self._failures: dict[Path, ConstellrError] = {}
        self._pending = {item: len(item.files) for item in selection.items}

    def __call__(self) -> Downloaded:
        """Run the download.

        Raises:
            IncompleteDownloadError: Some files failed.
            DownloadError: The disk failed.
            ConstellrError: Nothing can be fetched.
            KeyboardInterrupt: With a message on how to resume.
        """
        jobs = self._plan()
        self._display.skip(len(self._skipped))
        try:
            if jobs:
                with self._display, self._downloader:
                    self._work(jobs)
        except KeyboardInterrupt:
            with suppress(OSError):
                self._finish()
            complete = len(self._written) + len(self._skipped)
            raise KeyboardInterrupt(
                f"Interrupted: {complete} of {len(self._selection.files)} files are in "
                f"{str(self._folder)!r}. Run the same download again to resume the others."
            ) from None
        except Exception:
            with suppress(OSError):
                self._finish()
            raise
        self._finish()
        if self._failures:
            raise incomplete(self._failures, self._downloaded())
        return self._downloaded()

    def _plan(self) -> list[Job]:
        """Create the folders and return the jobs."""
        jobs = []
        for parent in {file.path.parent for file in self._selection.files}:
            self._make_folder(parent)
        for item in self._selection.items:
            for file in item.files:
                target = self._folder / file.path
                exists = target.exists()
                if exists and not target.is_file():
                    raise DownloadError(
                        f"{str(target)!r} is not a file, so {file.reference.label} cannot be "
                        "written there. Move it away, or choose another folder."
                    )
                exists = exists and not self._overwrite
                record = self._record(file, target) if exists else None
                must_decode = self._verify == STRUCTURE and is_tiff(target.name)
                if record is None or (must_decode and STRUCTURE not in record.checked):
                    jobs.append(Job(item, file, target, exists, record))
                else:
                    self._skipped.append(target)
                    self._pending[item] -= 1
        return jobs

    def _make_folder(self, parent: PurePosixPath) -> None:
        """Create a folder below the root; a link on the way would lead out of it."""
        for each in (parent, *parent.parents):
            if each.name and (self._folder / each).is_symlink():
                raise OSError(errno.ELOOP, "it is a symbolic link", str(self._folder / each))
        (self._folder / parent).mkdir(parents=True, exist_ok=True)

    def _record(self, file: SelectedFile, target: Path) -> Record | None:
        """Return the record of an existing file, if it is the selected one."""
        record = self._manifest.get(str(file.path))
        if (
            record is not None
            and (record.collection, record.item) == (file.item.collection_id, file.item.id)
            and not set(record.assets).isdisjoint(file.keys)
            and record.size == target.stat().st_size
        ):
            return record
        return None

    def _work(self, jobs: list[Job]) -> None:
        workers = WorkerThreads(self._process, jobs, self._workers, stop=self._stop)
        try:
            workers.wait(self._display.draw)
        finally:
            self._stop.set()
            workers.join(_GRACE)

    def _process(self, job: Job) -> None:
        meter = Meter(self._display, job.file.label)
        try:
            self._downloader.fetch(job, meter)
        except StoppedError:
            return
        except (AssetReadError, DownloadError) as error:
            if isinstance(error.__cause__, _AFFECTS_ALL):
                raise error.__cause__ from error
            with self._lock:
                self._failures[job.target] = error
            meter.end()
            self._file_settled(job.item)
        except OSError as error:
            raise disk_error(error, job.target) from error

    def _on_done(self, job: Job, downloaded: bool) -> None:  # noqa: FBT001 - a callback
        with self._lock:
            (self._written if downloaded else self._skipped).append(job.target)
        self._file_settled(job.item)

    def _file_settled(self, item: SelectedItem) -> None:
        """Count down an item's files, and write its JSON after the last."""
        with self._lock:
            self._pending[item] -= 1
            is_last = not self._pending[item]
        if is_last:
            self._catalog.write_item(item)

    def _finish(self) -> None:
        """Write the catalog and the manifest, also after an error."""
        complete = []
        for item in self._selection.items:
            document = self._folder / item.document
            written = not self._pending[item] and document.is_file() and document.stat().st_size
            if written or self._catalog.write_item(item):
                complete.append(item)
        if complete:
            self._catalog.finish(complete)
        self._manifest.save()

    def _downloaded(self) -> Downloaded:
        return Downloaded(
            self._folder,
            tuple(sorted(self._written)),
            tuple(sorted(self._skipped)),
            self._display.received,
            time.monotonic() - self._started,
        )
