"""Times that a server states: Retry-After, Date, and the claims of a token, of any content."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import constellr_stac
from constellr_stac import ConstellrAuth, Limits, Password
from constellr_stac.auth.failures import Failure
from constellr_stac.auth.retry import Attempts, retry_after
from constellr_stac.auth.token import forget_token
from constellr_stac.errors import ConstellrError
from constellr_stac.sandbox import Fault
from ordering import FIELD, client_of, open_sandbox, wish
from replaying import Replayed, replaying

DATES = (
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999999",
    "Mon, 01 Jan 2026 00:00:00 -0000",
    "soon",
    "",
)
WAITS = ("0", "-1", "1e3", "nan", "inf", "0.5", "9" * 5000, "\xb2", "1, 2", "\x1b[2J", *DATES)
CLAIMS = (
    *("null", "true", '"x"', '"9"', "[]", "{}", "-1", "0", "1e300", "-1e300", "NaN", "Infinity"),
    *("9" * 400, "9" * 5000, "[" * 5000 + "]" * 5000, "253402300799", "-62135596800"),
)


@given(st.text() | st.sampled_from(WAITS), st.text() | st.sampled_from(DATES))
@example("9" * 5000, "")
@settings(max_examples=50)
def test_any_retry_after_is_a_wait_or_none(value: str, date: str) -> None:
    """A header of any content is a number of seconds, or nothing."""
    seconds = retry_after({"Retry-After": value, "Date": date})
    assert seconds is None or seconds >= 0


def test_any_retry_after_ends_in_an_answer_or_our_error() -> None:
    """A search, an asset and a batch of orders outlive it; nothing is ordered twice."""
    limits = Limits(retry_deadline=0.2)
    with open_sandbox(api_key_mode=False) as sandbox:
        orders = client_of(sandbox)
        area = orders.create_aoi("field", FIELD)
        account = sandbox.accounts["owner"]
        password = Password(account.username, account.password)
        client = constellr_stac.open_client(sandbox.api_url, auth=password, limits=limits)
        [item] = client.search(max_items=1).items()
        for number, value in enumerate(WAITS):
            sandbox.fail(Fault("/search", status=503, headers={"Retry-After": value}))
            with contextlib.suppress(ConstellrError):
                list(client.search(max_items=1).items())
            sandbox.fail(Fault("lst.tiff", status=503, headers={"Retry-After": value}))
            with contextlib.suppress(ConstellrError):
                constellr_stac.load([item], ["lst"], limits=limits).compute()
            sandbox.fail(Fault("/orders/batch", status=429, headers={"Retry-After": value}))
            with contextlib.suppress(ConstellrError):
                orders.create(wish(area, comment=str(number)))
        comments = [order.comment for order in orders.list()]
        assert len(comments) == len(set(comments)) > len(WAITS) / 2


def test_any_claims_of_a_token_end_in_a_token_or_our_error(
    attack: bool,  # noqa: FBT001 - a fixture
) -> None:
    """``exp`` and ``iat`` of a JWT and the header Date may be anything."""
    password = Password("u", "p")
    tokens = tried = 0
    with replaying() as server:
        for number, (exp, iat, date) in enumerate(itertools.product(CLAIMS, CLAIMS, DATES)):
            if number % (1 if attack else 29):
                continue
            claims = base64.urlsafe_b64encode(f'{{"exp": {exp}, "iat": {iat}}}'.encode())
            answer = json.dumps({"access_token": f"a.{claims.decode().rstrip('=')}.b"})
            server.answers["/token"] = Replayed(answer.encode(), headers={"Date": date})
            forget_token(server.url, password)
            tried += 1
            with contextlib.suppress(ConstellrError):
                ConstellrAuth(password, base_url=server.url).token()
                tokens += 1
    print(f"{tried} tokens, of which {tokens} are used")  # noqa: T201
    assert tokens


@pytest.mark.parametrize("claims", ["[" * 5000, "{" * 5000, '{"exp": 1' + "0" * 4000 + "}"])
def test_a_token_given_in_code_may_hold_anything(claims: str) -> None:
    """Claims that cannot be read are no expiry."""
    text = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    assert constellr_stac.Token(f"a.{text}.b").expires_at is None


def test_a_server_is_waited_for_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long Retry-After is, and however late the deadline, the pause is 60 s."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    attempts = Attempts(Limits(retry_deadline=10_000), "http://127.0.0.1:9")
    assert attempts.begin_next(Failure("transient", "busy"), asked=86_400)
    assert pauses == [60]
