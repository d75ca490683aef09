"""What a download has done, and what it has not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.filesize import decimal

from constellr_stac.errors import ConstellrError, DownloadError

from .wanted import CATALOG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Downloaded", "IncompleteDownloadError"]


@dataclass(frozen=True, repr=False)
class Downloaded:
    """What :func:`constellr_stac.download` has done."""

    folder: Path
    """Where the files are; a static STAC catalogue."""
    written: tuple[Path, ...] = ()
    """Files that were brought."""
    skipped: tuple[Path, ...] = ()
    """Files that were there already."""
    bytes: int = 0
    """Bytes that came."""
    seconds: float = field(default=0.0, compare=False)
    """How long it took."""

    @property
    def catalog(self) -> Path:
        """The catalogue: ``pystac.Catalog.from_file(downloaded.catalog)`` opens it."""
        return self.folder / CATALOG

    def __repr__(self) -> str:
        there = f", {_files(len(self.skipped))} there already" if self.skipped else ""
        return (
            f"<Downloaded {_files(len(self.written))}, {decimal(self.bytes)}, "
            f"in {self.seconds:.1f} s to {str(self.folder)!r}{there}>"
        )


class IncompleteDownloadError(DownloadError):
    """Some files could not be brought; all others were."""

    failures: Mapping[Path, ConstellrError]
    """What is missing, and why."""
    downloaded: Downloaded
    """What is there."""

    @classmethod
    def of(
        cls, failures: Mapping[Path, ConstellrError], downloaded: Downloaded
    ) -> IncompleteDownloadError:
        """Say what is missing; the message tells of the first."""
        first = next(iter(failures.values()))
        rest = "" if len(failures) == 1 else f" (and {len(failures) - 1} more: see .failures)"
        there = len(downloaded.written) + len(downloaded.skipped)
        others = f" The other {there} are in {str(downloaded.folder)!r}." if there else ""
        error = cls(
            f"{_files(len(failures))} of {there + len(failures)} could not be downloaded. "
            f"{first}{rest}{others}",
            status_code=first.status_code,
            request_url=first.request_url,
        )
        error.failures, error.downloaded = dict(failures), downloaded
        return error


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
