"""Atomic file writes, and readable errors for failed writes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from io import BufferedWriter, FileIO
from typing import TYPE_CHECKING

from rich.filesize import decimal

from .errors import DownloadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["disk_error", "open_to_write", "write_atomically"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_BLOCKED = {errno.EEXIST, errno.ENOTDIR}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def open_to_write(path: Path, *, append: bool = False) -> FileIO:
    """Open a file to write, unbuffered; never through a symbolic link, a pipe or a device.

    Args:
        path: The file; created if missing.

    Keyword Args:
        append: Whether to keep its content.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)  # some are unknown on Windows
    number = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EEXIST, "it is not a regular file", str(path))
    if not append:
        os.truncate(number, 0)
    return FileIO(number, "ab" if append else "wb")


def write_atomically(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a text file atomically: to ``<name>.part``, then rename.

    Args:
        path: The file.
        text: Its content.

    Keyword Args:
        sync: Whether to flush to disk before the rename.

    Raises:
        OSError: The file cannot be written; an existing file is unchanged.
    """
    part = path.with_name(path.name + ".part")
    try:
        with BufferedWriter(open_to_write(part)) as file:
            file.write(text.encode())
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def disk_error(error: OSError, path: Path) -> DownloadError:
    """Return the error for a failed write to ``path``, with a hint."""
    what = f"{str(path)!r} cannot be written: {error.strerror or error}."
    if error.errno in _FULL:
        hint = f"{_free(path)}Free some disk space"
    elif error.errno == errno.EFBIG:
        hint = "Choose a file system that allows files of this size, or raise the limit"
    elif error.errno in _FORBIDDEN:
        hint = "Choose a writable directory, or change its permissions"
    elif error.errno in _BLOCKED:
        hint = "A file exists where a directory is needed: move it, or choose another directory"
    elif error.errno == errno.ELOOP:
        hint = "Nothing is written through links below the folder: remove it"
    elif error.errno == errno.ENAMETOOLONG:
        hint = "Choose a shorter path, or a layout= with shorter names"
    else:
        hint = "Check the path, or choose another directory"
    return DownloadError(
        f"{what} {hint}, and run again to resume. "
        "Incomplete files are never left under their final name."
    )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        return f"{decimal(shutil.disk_usage(path.parent).free)} are free. "
    return ""
