"""The result of a download."""

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
    """The result of :func:`constellr_stac.download`."""

    folder: Path
    """The folder, a static STAC catalog."""
    written: tuple[Path, ...] = ()
    """Downloaded files."""
    skipped: tuple[Path, ...] = ()
    """Files that existed already."""
    bytes: int = 0
    """Bytes received."""
    seconds: float = field(default=0.0, compare=False)
    """Duration."""

    @property
    def catalog(self) -> Path:
        """Path of the catalog, for ``pystac.Catalog.from_file``."""
        return self.folder / CATALOG

    def __repr__(self) -> str:
        skipped = f", {_files(len(self.skipped))} already present" if self.skipped else ""
        return (
            f"<Downloaded {_files(len(self.written))}, {decimal(self.bytes)}, "
            f"in {self.seconds:.1f} s to {str(self.folder)!r}{skipped}>"
        )


def incomplete(
    failures: Mapping[Path, ConstellrError], downloaded: Downloaded
) -> IncompleteDownloadError:
    """Return the error for a run with failures; it quotes the first one."""
    first = next(iter(failures.values()))
    rest = "" if len(failures) == 1 else f" (and {len(failures) - 1} more: see .failures)"
    count = len(downloaded.written) + len(downloaded.skipped)
    others = f" The other {count} are in {str(downloaded.folder)!r}." if count else ""
    error = IncompleteDownloadError(
        f"{_files(len(failures))} of {count + len(failures)} could not be downloaded. "
        f"{first}{rest}{others}",
        status_code=first.status_code,
        request_url=first.request_url,
    )
    error.failures, error.downloaded = dict(failures), downloaded
    return error


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
