"""Text that is safe to show: redacted URLs, and a server's error body as one line."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    import requests

__all__ = ["MAX_DEPTH", "detail_of", "html_row", "is_deep", "redact", "redact_url", "shown"]

MAX_DEPTH = 64
"""Levels of lists and objects that a document may have: libraries recurse into them."""

_SECRET_QUERY = re.compile(
    r"\?[^\s\"<>]*(?:signature|credential|token|password|key|sig)=[^\s\"'<>]*", re.IGNORECASE
)
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""All control characters but tab and newline, and what Unicode formats text with."""
_USERINFO = re.compile(r"(?P<scheme>https?://)[^/\s\"'?#]+@", re.IGNORECASE)


def redact_url(url: str) -> str:
    """Return ``url`` without its query, fragment and user information.

    Example:
        >>> redact_url("https://b.s3.amazonaws.com/lst.tiff?X-Amz-Signature=1f")
        'https://b.s3.amazonaws.com/lst.tiff'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def redact(text: str) -> str:
    """Return ``text`` without the secrets of URLs and paths in it.

    Removes user information, and queries with a signature, a key or a token.

    Example:
        >>> redact("GET https://b.s3.amazonaws.com/lst.tiff?X-Amz-Signature=1f failed")
        'GET https://b.s3.amazonaws.com/lst.tiff failed'
    """
    return _USERINFO.sub(r"\g<scheme>", _SECRET_QUERY.sub("", text))


def shown(text: str) -> str:
    r"""Return ``text`` with escapes for what would control a terminal or reorder a line.

    Those are control characters, line separators, bidirectional formatting and lone surrogates.

    Example:
        >>> shown("scene\x1b[2J\u202etiff.exe")
        'scene\\x1b[2J\\u202etiff.exe'
    """
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def html_row(*cells: str, headings: int = 0) -> str:
    """Return cells as a row of an HTML table; the first ``headings`` of them are headings."""
    tags = ["th"] * headings + ["td"] * (len(cells) - headings)
    row = "".join(
        f"<{tag} style='text-align:left'>{html.escape(shown(cell))}</{tag}>"
        for tag, cell in zip(tags, cells, strict=True)
    )
    return f"<tr>{row}</tr>"


def is_deep(document: Any) -> bool:
    """Return whether JSON is nested deeper than :data:`MAX_DEPTH` levels."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


_MAX_TEXT = 300
_PARTS = ("body", "query", "path")
"""The parts of a request, with which FastAPI's ``loc`` begins."""


def detail_of(response: requests.Response) -> str:
    """Return the body of a FastAPI error as text."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        text = response.text.strip()
        return "" if text.startswith("<") else text[:_MAX_TEXT]
    detail = body.get("detail", body) if isinstance(body, dict) else body
    if isinstance(detail, str):
        return detail.rstrip(".")
    if isinstance(detail, list) and all(isinstance(part, dict) for part in detail):
        return "; ".join(_located(part) for part in detail)
    return json.dumps(detail, default=str)[:_MAX_TEXT]


def _located(problem: dict[str, Any]) -> str:
    """Render ``{"loc": ["body", "orders", 0, "start_date"], "msg": ...}`` as a path and text."""
    steps = problem.get("loc")
    steps = steps if isinstance(steps, list) else []
    path = ""
    for step in steps[1:] if steps and steps[0] in _PARTS else steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else str(step)
    message = str(problem.get("msg", "")).rstrip(".")
    return f"{path}: {message}" if path else message
