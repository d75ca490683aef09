"""Objects of the bucket: bytes in memory, or files on disk."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StoredObject"]


@dataclass(frozen=True)
class StoredObject:
    """An immutable object."""

    content: bytes | Path
    size: int
    etag: str
    """Quoted."""
    modified: datetime
    """UTC, in whole seconds."""
    media_type: str

    @classmethod
    def from_bytes(cls, key: str, content: bytes, now: datetime) -> StoredObject:
        """Keep ``content`` in memory."""
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(content, len(content), f'"{etag}"', now.replace(microsecond=0), _media_type(key))

    @classmethod
    def from_file(cls, key: str, path: Path) -> StoredObject:
        """Serve a file; it is read on request and must not change."""
        status = path.stat()
        etag = hashlib.md5(
            f"{path}:{status.st_size}:{status.st_mtime_ns}".encode(), usedforsecurity=False
        ).hexdigest()
        modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
        # The form of multipart uploads, which clients do not take for an MD5.
        return cls(path, status.st_size, f'"{etag}-1"', modified, _media_type(key))

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes ``[start:stop]``."""
        if isinstance(self.content, bytes):
            return self.content[start:stop]
        with self.content.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


def _media_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "binary/octet-stream"
