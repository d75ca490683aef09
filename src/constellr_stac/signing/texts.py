"""Hrefs within text: GDAL's paths, and the sources of a VRT."""

from __future__ import annotations

import html
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_text", "hrefs_in", "split_href", "with_hrefs"]

_S3_PATH, _HTTP_PATH = "/vsis3/", "/vsicurl/"
_SOURCE = re.compile(r"(<(?:SourceFilename|SourceDataset)\b[^>]*>)([^<]*)(?=</)")


def split_href(href: str) -> tuple[str, str]:
    """Split GDAL's prefix from an href; ``/vsis3/`` is ``/vsicurl/`` once the href is signed.

    Example:
        >>> split_href("/vsis3/bucket/lst.tiff")
        ('/vsicurl/', 's3://bucket/lst.tiff')
    """
    if href.startswith(_S3_PATH):
        return _HTTP_PATH, f"s3://{href.removeprefix(_S3_PATH)}"
    if href.startswith(_HTTP_PATH):
        return _HTTP_PATH, href.removeprefix(_HTTP_PATH)
    return "", href


def hrefs_in(text: str) -> list[str]:
    """Return the hrefs in a text: the sources of a VRT, else the text itself.

    Args:
        text: An href or the XML of a VRT.
    """
    if not _is_vrt(text):
        return [text]
    return [_source(found) for found in _SOURCE.finditer(text)]


def with_hrefs(text: str, urls: Mapping[str, str]) -> str:
    """Return a text with its hrefs replaced.

    Args:
        text: As for :func:`hrefs_in`.
        urls: The new hrefs by the old.
    """
    if not _is_vrt(text):
        return urls[text]

    def source(found: re.Match[str]) -> str:
        old = _source(found)
        new = urls[old]
        return found[0] if new == old else f"{found[1]}{escape(new)}"

    return _SOURCE.sub(source, text)


def as_text(path: Any) -> Any:
    """Return a path that holds an ``s3://`` href as that href; all else is unchanged.

    Example:
        >>> as_text(PurePath("s3://bucket/lst.tiff"))
        's3://bucket/lst.tiff'
    """
    if isinstance(path, PurePath):
        scheme, mark, rest = path.as_posix().partition(":/")
        if mark and scheme in ("s3", "s3a", "s3n"):
            return f"{scheme}://{rest.lstrip('/')}"
    return path


def _is_vrt(text: str) -> bool:
    return "<VRTDataset" in text


def _source(found: re.Match[str]) -> str:
    """Return a VRT's source; GDAL reads objects through ``/vsis3/`` only."""
    href = html.unescape(found[2])
    scheme, mark, key = href.partition("://")
    return f"{_S3_PATH}{key}" if mark and scheme.lower() in ("s3", "s3a", "s3n") else href
