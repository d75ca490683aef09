"""What is cut out of every message, log line and failure."""

from __future__ import annotations

import pytest

from constellr_stac._text import redact, redact_url
from constellr_stac.errors import ConstellrError

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
def test_what_makes_a_url_worth_stealing_is_cut_off(text: str) -> None:
    """Whole URLs and paths alone lose it, wherever they stand; cutting twice changes nothing."""
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
def test_what_is_no_secret_stays(text: str) -> None:
    """A message is there to be understood."""
    assert redact(text) == text


def test_a_request_url_keeps_only_where_it_went() -> None:
    """Errors cut the query of any request, and its fragment."""
    url = f"https://me:{SECRET}@h.example/LA harbor?page=2#{SECRET}"
    assert redact_url(url) == "https://h.example/LA harbor"
    assert ConstellrError("no", request_url=url).request_url == "https://h.example/LA harbor"
