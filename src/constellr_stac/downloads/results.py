"""What a download has done, and what it has not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.filesize import decimal

from constellr_stac.errors import IncompleteDownloadError

from .selection import CATALOG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from constellr_stac.errors import ConstellrError

__all__ = ["Downloaded", "incomplete"]


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


def incomplete(
    failures: Mapping[Path, ConstellrError], downloaded: Downloaded
) -> IncompleteDownloadError:
    """Return the error for a run with failures; its message quotes the first."""
    first = next(iter(failures.values()))
    rest = "" if len(failures) == 1 else f" (and {len(failures) - 1} more: see .failures)"
    there = len(downloaded.written) + len(downloaded.skipped)
    others = f" The other {there} are in {str(downloaded.folder)!r}." if there else ""
    error = IncompleteDownloadError(
        f"{_files(len(failures))} of {there + len(failures)} could not be downloaded. "
        f"{first}{rest}{others}",
        status_code=first.status_code,
        request_url=first.request_url,
    )
    error.failures, error.downloaded = dict(failures), downloaded
    return error


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
