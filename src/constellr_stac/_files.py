"""What is written appears whole; and what a disk says when it will not, in words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING

from rich.filesize import decimal

from .errors import DownloadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["disk_error", "write_atomically"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_atomically(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a text file so that it is never there in part.

    Args:
        path: Its name.
        text: What is in it.

    Keyword Args:
        sync: Whether it has to be on the disk before it has its name.

    Raises:
        OSError: It cannot be written; what was there before is there still.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def disk_error(error: OSError, path: Path) -> DownloadError:
    """Return the error that says what a disk has against ``path``, and what to do about it."""
    what = f"{str(path)!r} cannot be written: {error.strerror or error}."
    if error.errno in _FULL:
        hint = f"{_free(path)}Make room"
    elif error.errno == errno.EFBIG:
        hint = "Choose a disk that takes files of this size, or lift the limit"
    elif error.errno in _FORBIDDEN:
        hint = "Choose a folder that you may write to, or change its permissions"
    elif error.errno in _IN_THE_WAY:
        hint = "There is a file where a folder has to be: move it away, or choose another folder"
    elif error.errno == errno.ENAMETOOLONG:
        hint = "Choose a shorter path, or a layout= that gives shorter names"
    else:
        hint = "Look at what is there, or choose another folder"
    return DownloadError(
        f"{what} {hint}, and run it again: it goes on from what has come. "
        "Nothing bears a name that is not whole."
    )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        return f"There are {decimal(shutil.disk_usage(path.parent).free)} left. "
    return ""
