"""What another process lends to this one, and replaces."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from constellr_stac import (
    CredentialsNotFoundError,
    Password,
    SigningError,
    Token,
    default_credential,
)
from constellr_stac._process import STATE, ProcessState
from constellr_stac._pushed import PushedValue
from constellr_stac.auth.requests_auth import ConstellrAuth
from constellr_stac.cluster.pusher import CredentialFeed
from constellr_stac.config import origin
from constellr_stac.signing.aws import CredentialSource
from constellr_stac.signing.aws_credentials import PUSHED, StorageCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.auth.credentials import Credential

API = "https://api.example.com"


class CredentialPusher:
    """Answers what it is asked, from a thread of its own, as a network does."""

    def __init__(self, **holds: float) -> None:
        self.asked: list[int] = []
        self.answer: tuple[int, str, int] | None = None
        self.loan: PushedValue[str] = PushedValue(self.ask, **{"patience": 5.0, **holds})

    def ask(self, number: int) -> None:
        self.asked.append(number)
        if self.answer is not None:
            number, value, last = self.answer
            put = threading.Timer(0.05, self.loan.put, (number, value), {"last": last})
            put.start()


def test_a_refused_value_is_asked_about_once_for_all_threads() -> None:
    """Everybody who waits gets the next value, and the lender one question."""
    lender = CredentialPusher()
    lender.loan.put(1, "first")
    lender.answer = (2, "second", 0)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lender.loan.other_than, ["first"] * 20))
    assert set(answers) == {"second"}
    assert lender.asked == [1]


def test_a_value_that_was_replaced_meanwhile_needs_no_question() -> None:
    """Refusals of an old value find the new one at once."""
    lender = CredentialPusher()
    lender.loan.put(1, "first")
    lender.loan.put(2, "second")
    assert lender.loan.other_than("first") == "second"
    assert lender.asked == []


def test_messages_may_overtake_one_another() -> None:
    """A value that arrives late does not replace a later one."""
    lender = CredentialPusher()
    lender.loan.put(2, "second")
    lender.loan.put(1, "first")
    assert lender.loan.get() == "second"


def test_the_first_value_is_waited_for() -> None:
    """A worker that missed the first message asks for it."""
    lender = CredentialPusher()
    lender.answer = (1, "first", 0)
    assert lender.loan.get() == "first"
    assert lender.asked == [0]


def test_a_lender_may_have_no_other() -> None:
    """Its word ends the wait, and it is not asked about the same value again."""
    lender = CredentialPusher()
    lender.loan.put(1, "only")
    lender.answer = (1, "only", 1)
    assert lender.loan.other_than("only") is None
    assert lender.loan.other_than("only") is None
    assert lender.asked == [1]
    assert lender.loan.get() == "only"


def test_a_lender_without_another_is_asked_again_later() -> None:
    """One refusal had another cause; a later one, of a session that has ended, is no less heard."""
    lender = CredentialPusher(no_holds=0.2)
    lender.loan.put(1, "only")
    lender.answer = (1, "only", 1)
    assert lender.loan.other_than("only") is None
    lender.loan.put(1, "only", last=1)  # told to everybody: no answer to a question of ours
    time.sleep(0.2)
    lender.answer = (2, "next", 1)
    assert lender.loan.other_than("only") == "next"
    assert lender.asked == [1, 1]


def test_an_offer_is_looked_at_again_later() -> None:
    """What had no other when it was refused may have one the next time, even of the same number."""
    found = iter(["ONLY", "ONLY", "NEXT"])
    offer = CredentialFeed(lambda: keys(next(found)), lambda _refused: None, none_holds=0.1)
    offer.refused(1)
    offer.refused(1)  # another worker's report
    assert (offer.message.number, offer.message.last) == (1, 1)
    time.sleep(0.1)
    offer.refused(1)
    assert (offer.message.number, offer.message.value) == (2, keys("NEXT"))


def test_an_offer_of_another_number_is_looked_at_at_once() -> None:
    """That there was no other than the first says nothing about the second."""
    found = iter(["FIRST", "FIRST", "SECOND", "THIRD"])
    offer = CredentialFeed(lambda: keys(next(found)), none_holds=60)
    offer.refused(1)
    assert offer.renewed()
    offer.refused(2)
    assert (offer.message.number, offer.message.value) == (3, keys("THIRD"))


def test_a_silent_lender_is_waited_for_once() -> None:
    """When the client is gone, one task finds that out slowly, and the others at once."""
    lender = CredentialPusher(patience=0.2)
    lender.loan.put(1, "only")
    began = time.monotonic()
    assert lender.loan.other_than("only") is None
    assert time.monotonic() - began >= 0.2
    began = time.monotonic()
    for _ in range(100):
        assert lender.loan.other_than("only") is None
    assert time.monotonic() - began < 100 * 0.2 / 2
    lender.loan.put(2, "next")
    assert lender.loan.other_than("only") == "next"


def test_the_end_of_a_loan_lets_nobody_wait() -> None:
    """A plugin that is taken off a worker does not leave its threads hanging."""
    lender = CredentialPusher(patience=60)
    loans = ProcessState()
    loans.add_pushed("api", lender.loan)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lender.loan.get)
        while not lender.asked:
            time.sleep(0.001)
        loans.remove_pushed("api", lender.loan)
        assert waiting.result(5) is None
    lender.loan.put(1, "too late")
    assert lender.loan.held is None
    assert loans.pushed("api") is None


def test_of_two_loans_the_newest_counts_until_it_ends() -> None:
    """Two clients may lend to one cluster; each takes back only what it lent."""
    loans = ProcessState()
    first, second = CredentialPusher().loan, CredentialPusher().loan
    loans.add_pushed("api", first)
    loans.add_pushed("api", second)
    assert loans.pushed("api") is second
    loans.remove_pushed("api", second)
    assert loans.pushed("api") is first
    assert loans.pushed("another") is None


@pytest.fixture
def lent() -> Iterator[PushedValue[Credential]]:
    """A token lent to this process for the one API."""
    loan: PushedValue[Credential] = PushedValue(lambda _number: None, patience=0.1)
    loan.put(1, Token("lent", source="lent"))
    STATE.add_pushed(("api", origin(API)), loan)
    yield loan
    STATE.remove_pushed(("api", origin(API)), loan)


@pytest.fixture
def keys_lent() -> Iterator[PushedValue[StorageCredentials]]:
    """AWS credentials lent to this process; their lender answers the second time it is asked."""
    loan: PushedValue[StorageCredentials] = PushedValue(
        lambda number: threading.Timer(0.05, loan.put, (number + 1, keys("NEXT"))).start()
    )
    loan.put(1, keys("PUSHED"))
    STATE.add_pushed(PUSHED, loan)
    yield loan
    STATE.remove_pushed(PUSHED, loan)


def keys(name: str, *, ends: datetime | None = None) -> StorageCredentials:
    """Return temporary credentials."""
    return StorageCredentials(f"ASIA{name}", "secret", "session", ends, source=name)


@pytest.mark.usefixtures("lent")
def test_what_is_lent_comes_before_the_environment_and_after_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sharing is a choice somebody made for this compute; what is given in code still wins."""
    monkeypatch.setenv("CONSTELLR_TOKEN", "environment")
    assert default_credential(base_url=f"{API}/stac") == Token("lent")
    assert ConstellrAuth(base_url=API).credential == Token("lent")
    assert ConstellrAuth(Token("code"), base_url=API).credential == Token("code")


@pytest.mark.usefixtures("lent")
def test_what_is_lent_is_for_one_api_only() -> None:
    """A credential goes to its API's origin; any other one has to be found elsewhere."""
    with pytest.raises(CredentialsNotFoundError, match=r"share_credentials: nothing"):
        default_credential(base_url="https://other.example.com")


def test_a_replaced_loan_is_seen_by_the_next_request(lent: PushedValue[Credential]) -> None:
    """Nothing remembers what was lent before."""
    auth = ConstellrAuth(base_url=API)
    assert auth.token() == Token("lent")
    lent.put(2, Token("next"))
    assert auth.token() == Token("next")


def test_a_lender_that_is_silent_is_among_the_places() -> None:
    """The error says that there is a loan, and that nobody answers."""
    silent: PushedValue[Credential] = PushedValue(lambda _number: None, patience=0.01)
    STATE.add_pushed(("api", origin(API)), silent)
    try:
        with pytest.raises(CredentialsNotFoundError, match="client does not answer"):
            default_credential(base_url=API)
    finally:
        STATE.remove_pushed(("api", origin(API)), silent)


@pytest.mark.usefixtures("lent")
def test_who_lends_on_uses_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in the process of its workers does not lend what it was lent."""
    monkeypatch.setenv("CONSTELLR_USERNAME", "me")
    monkeypatch.setenv("CONSTELLR_PASSWORD", "secret")
    auth = ConstellrAuth(base_url=API)
    assert auth.credential == Token("lent")
    assert auth.own().credential == Password("me", "secret")


@pytest.mark.usefixtures("keys_lent")
def test_lent_keys_come_before_the_environment_and_after_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker's own role is often for other buckets; a profile's name travels, profiles not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    here = CredentialSource()
    assert here.get() == keys("PUSHED")
    assert here.own().get().access_key_id == "AKIAENVIRONMENT"
    assert CredentialSource(keys("CODE")).get() == keys("CODE")
    named = CredentialSource(profile="of another machine")
    assert _through_a_pickle(named).get() == keys("PUSHED")
    with pytest.raises(SigningError, match="of another machine"):
        named.get()


@pytest.mark.usefixtures("keys_lent")
def test_refused_keys_are_replaced_by_their_lender() -> None:
    """Whoever finds the lent keys refused waits for others, and gets them."""
    source = CredentialSource()
    source.discard(source.get())
    assert source.get() == keys("NEXT")


def test_lent_keys_that_have_ended_are_not_used(keys_lent: PushedValue[StorageCredentials]) -> None:
    """A client that is late is waited for; a signature with an ended session reads nothing."""
    keys_lent.put(2, keys("ENDED", ends=datetime.now(UTC) - timedelta(seconds=1)))
    assert CredentialSource().get() == keys("NEXT")


def _through_a_pickle(source: CredentialSource) -> CredentialSource:
    return cast("CredentialSource", pickle.loads(pickle.dumps(source)))  # noqa: S301 - ours
