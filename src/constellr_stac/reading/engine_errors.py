"""Errors in the form that odc-stac's and stackstac's users catch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rasterio.errors import RasterioIOError

from constellr_stac.errors import AssetReadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["RasterReadError", "as_engine_error", "matches"]


class RasterReadError(AssetReadError, RasterioIOError):  # type: ignore[misc] # rasterio is untyped
    """An :class:`AssetReadError` that is also a ``RasterioIOError``, as the engines raise."""


def as_engine_error(error: AssetReadError) -> RasterReadError:
    """Return an error as a :class:`RasterReadError`, with the same message and fields.

    Raise it outside the ``except`` clause: GDAL's exceptions do not unpickle, so they must be
    neither its cause nor its context when dask sends it from a worker.
    """
    same = RasterReadError(str(error), status_code=error.status_code, request_url=error.request_url)
    same.__dict__.update(error.__dict__)
    return same.with_traceback(error.__traceback__)


def matches(error: AssetReadError, patterns: Sequence[Exception]) -> bool:
    """Return whether an error matches a pattern of stackstac's ``errors_as_nodata=``.

    A pattern's class is the class to match, and its message a regular expression for the beginning
    of the error's. Matched are the error, its causes, and the error that GDAL would have raised:
    ``RasterioIOError("HTTP response code: 404")``.

    Args:
        error: The error.
        patterns: Exceptions.
    """
    return any(
        isinstance(one, type(pattern)) and re.match(str(pattern), str(one))
        for one in _equivalents(error)
        for pattern in patterns
    )


def _equivalents(error: AssetReadError) -> Iterator[BaseException]:
    yield as_engine_error(error)
    if error.status_code is not None:
        yield RasterioIOError(f"HTTP response code: {error.status_code}")
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
