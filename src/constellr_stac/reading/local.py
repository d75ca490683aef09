"""Bytes of assets on disk; :mod:`constellr_stac._local` says which may be read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from constellr_stac._local import is_local, local_path, open_regular
from constellr_stac.errors import AssetReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asset_ref import AssetRef

__all__ = ["file_part", "file_pieces", "is_on_disk", "version_of"]

_PIECE = 1 << 20


def is_on_disk(reference: AssetRef) -> bool:
    """Return whether an asset is a file of this machine.

    Raises:
        AssetReadError: It would be, but its item came from a server.
    """
    if is_local(reference.href) and reference.catalog:
        raise AssetReadError(
            f"{reference.label} cannot be read: its item came from a server, and such an item may "
            "not name files of this machine. If you set the href yourself, pass local_files=True."
        )
    return is_local(reference.href)


def version_of(reference: AssetRef) -> tuple[int, ...]:
    """Return numbers that change when a file of this machine is rewritten; none for other assets.

    Those of a file that cannot be read are none, too: reading it says why.
    """
    if reference.catalog or not is_local(reference.href):
        return ()
    try:
        found = local_path(reference.href).stat()
    except (OSError, ValueError):
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def file_part(reference: AssetRef, start: int, stop: int) -> tuple[bytes, int]:
    """Return the bytes in ``[start, stop)`` of a file, fewer at the end, and its size.

    Raises:
        AssetReadError: They cannot be read.
    """
    path = local_path(reference.href)
    try:
        with open_regular(path) as file:
            file.seek(start)
            return file.read(stop - start), os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:  # ValueError: a null character
        scheme, is_url, _ = reference.href.partition("://")
        if is_url and scheme != "file":
            why = f"{scheme}:// is not supported. Use s3://, https:// or a file"
        else:
            reason = getattr(error, "strerror", None) or error
            why = f"{reason}. Check that the file exists and is readable"
        raise AssetReadError(f"{reference.label} cannot be read: {why}.") from error


def file_pieces(reference: AssetRef) -> Iterator[bytes]:
    """Yield the pieces of a file.

    Raises:
        AssetReadError: They cannot be read.
    """
    start = 0
    while piece := file_part(reference, start, start + _PIECE)[0]:
        yield piece
        start += len(piece)
