"""Redaction of URLs in messages, logs and errors."""

from __future__ import annotations

import pytest

from constellr_stac._text import redact, redact_url, shown
from constellr_stac.downloads.naming import check_path
from constellr_stac.errors import ConstellrError, DownloadError

SECRET = "5ecret"


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://b.example.com/lst.tiff?X-Amz-Expires=9&X-Amz-Signature={SECRET} failed",
        f"HTTPS://b.example.com/lst.tiff?x-amz-security-token={SECRET}",
        f"https://b.example.com/LA harbor+port/lst.tiff?X-Amz-Signature={SECRET}",
        f"https://b.example.com/lst.tiff?title='LA'&Signature={SECRET}",
        f"('https://b.example.com/lst.tiff?x=1&sig={SECRET}', 'https://b.example.com/?key={SECRET}')",
        f'"GET /b/lst.tiff?X-Amz-Security-Token={SECRET} HTTP/1.1" 200',
        f"url: /b/lst.tiff?X-Amz-Credential={SECRET} (Caused by ...)",
        f"https://user:{SECRET}@example.com/",
        f"HTTP://user:p@{SECRET}@example.com/",
    ],
)
def test_secrets_are_redacted_from_urls(text: str) -> None:
    """In whole URLs and bare paths, anywhere in a text; redaction is idempotent."""
    cut = redact(text)
    assert SECRET not in cut
    assert cut.rstrip(")").partition("?")[0] == cut.rstrip(")")
    assert redact(cut) == cut
    assert SECRET not in str(ConstellrError(text))


@pytest.mark.parametrize(
    "text",
    [
        "GET https://api.constellr.com/orders?limit=10&offset=20 answered 503",
        "Is this the API's URL? Set CONSTELLR_API_KEY=...",
        "asset 'lst' of item 'a' (s3://b/LA harbor+port/lst.tiff)",
        "write to me@example.com",
    ],
)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    """Messages stay readable."""
    assert redact(text) == text


def test_request_url_has_no_query_or_fragment() -> None:
    """Errors remove both, and the user info."""
    url = f"https://me:{SECRET}@h.example/LA harbor?page=2#{SECRET}"
    assert redact_url(url) == "https://h.example/LA harbor"
    assert ConstellrError("no", request_url=url).request_url == "https://h.example/LA harbor"


def test_shown_text_has_no_control_characters() -> None:
    """Neither a terminal nor a line's order is controlled by a server's text, nor a file name."""
    hostile = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u202e\u2066\u200f\ud800"]
    kept = {"\t", "\n"}
    assert {char for char in hostile if char in shown(f"a{char}b")} == kept
    assert shown("Zürich 温度 🌡") == "Zürich 温度 🌡"
    assert "\x1b" not in str(ConstellrError("\x1b[2J"))
    for char in set(hostile) - kept:
        with pytest.raises(DownloadError):
            check_path(f"a{char}b", "an asset")
