"""Check that a file is of its kind: a server may answer 200 with a login page or an error."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from constellr_stac.reading.geotiff import RefusedFileError, begins_like_tiff, open_geotiff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from constellr_stac.limits import Limits

__all__ = ["decode_error", "is_tiff", "kind_error"]

_HEAD = 512
_MAGIC = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "jpg": b"\xff\xd8\xff", "pdf": b"%PDF"}
_OTHERS = {  # by what the type or name of such a file holds
    "gz": (re.compile(rb"\x1f\x8b"), "compressed with gzip"),
    "htm": (re.compile(rb"<!doctype html|<html"), "an HTML page"),
    "error": (re.compile(rb"(?:<\?xml[^>]*>\s*)?<error>\s*<code>"), "an error of the object store"),
}
_NEVER_EMPTY = ("tif", "json", "png", "jpeg", "jpg", "pdf", "xml", "htm", "text", "txt", "csv")
_warnings_lock = threading.Lock()  # warnings.catch_warnings is not thread-safe


def is_tiff(name: str) -> bool:
    """Return whether a file name has a TIFF suffix."""
    return name.lower().endswith((".tif", ".tiff"))


def kind_error(path: Path, name: str, media_type: str | None, limits: Limits) -> str | None:
    """Return why a file is not what its name and type say, or ``None``.

    Args:
        path: The file, whatever its name.
        name: The name it will have.
        media_type: The asset's type, such as ``image/tiff``.
        limits: Bounds on opening it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    said = f"{media_type or ''} {name}".lower()
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "it is empty" if any(kind in said for kind in _NEVER_EMPTY) else None
    if "tif" in said:
        return _truncation_error(path, limits) if begins_like_tiff(head) else "it is not a TIFF"
    for kind, magic in _MAGIC.items():
        if kind in said and not head.startswith(magic):
            return f"it is not {kind.upper()}"
    for kind, (beginning, what) in _OTHERS.items():
        if beginning.match(start) and kind not in said:
            return f"it is {what}"
    return _json_error(path) if "json" in said else None


def _json_error(path: Path) -> str | None:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "it is not JSON"
    return None


def _truncation_error(path: Path, limits: Limits) -> str | None:
    """Return whether a block of a GeoTIFF lies beyond the end of the file, as text."""
    from rasterio.errors import RasterioError

    size = path.stat().st_size
    try:
        with _opened_quietly(path, limits) as dataset:
            for (row, column), _ in dataset.block_windows(1):
                place = [
                    dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", dm="TIFF", bidx=1)
                    for what in ("OFFSET", "SIZE")
                ]
                if sum(int(each or 0) for each in place) > size:
                    return "it is truncated"
    except RefusedFileError as error:
        return str(error)
    except RasterioError:
        return None  # for verify="structure" to say
    return None


def decode_error(path: Path, limits: Limits) -> str | None:
    """Decode every block of a GeoTIFF; return the error as text, or ``None``.

    Args:
        path: The file, whatever its name.
        limits: Bounds on opening it.
    """
    from rasterio.errors import RasterioError

    try:
        with _opened_quietly(path, limits) as dataset:
            for _, window in dataset.block_windows(1):
                for index in dataset.indexes:  # one by one, since a file may have many bands
                    dataset.read(index, window=window)
    except RasterioError as error:
        return f"cannot be decoded ({error.__cause__ or error})"
    return None


@contextlib.contextmanager
def _opened_quietly(path: Path, limits: Limits) -> Iterator[Any]:
    """Open a GeoTIFF without a warning if it has no grid."""
    from rasterio.errors import NotGeoreferencedWarning

    with ExitStack() as stack:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = stack.enter_context(open_geotiff(path, limits))
        yield dataset
