"""Credentials pushed by the dask client."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from constellr_stac import (
    CredentialsNotFoundError,
    Password,
    SigningError,
    Token,
    _pushed,
    default_credential,
)
from constellr_stac._process import STATE, ProcessState
from constellr_stac._pushed import Owner, Pushed, PushedItems, PushedValue
from constellr_stac.auth.requests_auth import ConstellrAuth
from constellr_stac.cluster import feeds
from constellr_stac.cluster.feeds import CredentialFeed
from constellr_stac.config import origin
from constellr_stac.signing.aws import CredentialSource
from constellr_stac.signing.aws_credentials import PUSHED, StorageCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from constellr_stac.auth.credentials import Credential

API = "https://api.example.com"


class FakeClient:
    """Answers requests for values from a separate thread."""

    def __init__(self, **holds: Any) -> None:
        self.requests: list[int] = []
        self.answer: tuple[int, str, int] | None = None
        self.pushed: PushedValue[str] = PushedValue(self.ask, **{"patience": 60.0, **holds})

    def ask(self, number: int) -> None:
        self.requests.append(number)
        if self.answer is not None:
            number, value, last = self.answer
            put = threading.Timer(0.05, self.pushed.put, (number, value), {"last": last})
            put.start()


def test_refused_value_is_requested_once() -> None:
    """All waiting threads get the next value with one request."""
    client = FakeClient()
    client.pushed.put(1, "first")
    client.answer = (2, "second", 0)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(client.pushed.other_than, ["first"] * 20))
    assert set(answers) == {"second"}
    assert client.requests == [1]


def test_already_replaced_value_needs_no_request() -> None:
    """Refusing an old value returns the new one at once."""
    client = FakeClient()
    client.pushed.put(1, "first")
    client.pushed.put(2, "second")
    assert client.pushed.other_than("first") == "second"
    assert client.requests == []


def test_out_of_order_messages() -> None:
    """A late message does not replace a newer value."""
    client = FakeClient()
    client.pushed.put(2, "second")
    client.pushed.put(1, "first")
    assert client.pushed.get() == "second"


def test_missing_first_value_is_requested() -> None:
    """A worker that missed the first message requests the value."""
    client = FakeClient()
    client.answer = (1, "first", 0)
    assert client.pushed.get() == "first"
    assert client.requests == [0]


def test_client_without_another_value() -> None:
    """Its answer ends the wait, and the same value is not requested again."""
    client = FakeClient()
    client.pushed.put(1, "only")
    client.answer = (1, "only", 1)
    assert client.pushed.other_than("only") is None
    assert client.pushed.other_than("only") is None
    assert client.requests == [1]
    assert client.pushed.get() == "only"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that pushed values see, in seconds."""
    now = [1000.0]
    for module in (_pushed, feeds):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_client_is_asked_again_after_the_hold_time(clock: list[float]) -> None:
    """A later refusal may have another cause, such as an expired session."""
    client = FakeClient(no_holds=30)
    client.pushed.put(1, "only")
    client.answer = (1, "only", 1)
    assert client.pushed.other_than("only") is None
    clock[0] += 15
    client.pushed.put(1, "only", last=1)  # broadcast, not an answer to our request
    clock[0] += 15
    client.answer = (2, "next", 1)
    assert client.pushed.other_than("only") == "next"
    assert client.requests == [1, 1]


def test_refused_credentials_are_rechecked_later(clock: list[float]) -> None:
    """A feed without other credentials checks again after the hold time."""
    found = iter(["ONLY", "ONLY", "NEXT"])
    feed = CredentialFeed(lambda: credentials(next(found)), lambda _refused: None, none_holds=30)
    feed.replace_refused(1)
    feed.replace_refused(1)  # another worker's report
    assert (feed.message.number, feed.message.last) == (1, 1)
    clock[0] += 30
    feed.replace_refused(1)
    assert (feed.message.number, feed.message.value) == (2, credentials("NEXT"))


def test_refusal_of_a_newer_number_is_checked_at_once() -> None:
    """The hold time applies to one number only."""
    found = iter(["FIRST", "FIRST", "SECOND", "THIRD"])
    feed = CredentialFeed(lambda: credentials(next(found)), none_holds=60)
    feed.replace_refused(1)
    assert feed.renewed()
    feed.replace_refused(2)
    assert (feed.message.number, feed.message.value) == (3, credentials("THIRD"))


def test_silent_client_is_waited_for_once() -> None:
    """When the client is gone, one call waits, and the others fail at once."""
    client = FakeClient(patience=0.2)
    client.pushed.put(1, "only")
    start = time.monotonic()
    assert client.pushed.other_than("only") is None
    assert time.monotonic() - start >= 0.2
    start = time.monotonic()
    client.pushed._patience = 60
    for _ in range(100):
        assert client.pushed.other_than("only") is None
    assert time.monotonic() - start < 30
    client.pushed.put(2, "next")
    assert client.pushed.other_than("only") == "next"


def test_silent_client_is_asked_for_items_once() -> None:
    """Until it sends something; answers may come in parts, and too late."""
    asked: list[int] = []
    items = PushedItems(lambda number, _names: asked.append(number), patience=0.1)
    names = [("c", "1"), ("c", "2")]
    assert items.get(names) == items.get(names) == {}
    assert asked == [1]
    assert items.trouble is not None
    assert "Keep the process that shares credentials running" in items.trouble[1]
    items.put(1, {name: {"lst": "late"} for name in names})
    assert items.trouble is None
    patient = PushedItems(lambda number, names: answers(number, list(names)))

    def answers(number: int, names: list[tuple[str, str]]) -> None:
        parts = {names[0]: {"lst": "first"}}, {names[1]: {}}
        for seconds, part in enumerate(parts):
            threading.Timer(0.05 * (1 + seconds), patient.put, (number, part)).start()

    assert patient.get(names) == {("c", "1"): {"lst": "first"}}


def test_removal_releases_waiting_threads() -> None:
    """Removing the plugin from a worker does not leave threads waiting."""
    client = FakeClient(patience=60)
    state = ProcessState()
    state.add_pushed("api", client.pushed)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.pushed.get)
        while not client.requests:
            time.sleep(0.001)
        state.remove_pushed("api", client.pushed)
        assert waiting.result(60) is None
    client.pushed.put(1, "too late")
    assert client.pushed.held is None
    assert state.pushed("api") is None


def test_newest_of_two_clients_takes_precedence() -> None:
    """Two clients may push to one cluster; each removes only its own value."""
    state = ProcessState()
    first, second = FakeClient().pushed, FakeClient().pushed
    state.add_pushed("api", first)
    state.add_pushed("api", second)
    assert state.pushed("api") is second
    state.remove_pushed("api", second)
    assert state.pushed("api") is first
    assert state.pushed("another") is None


def owned(account: str, process: str) -> Pushed:
    """Return something that a client of this account pushes."""
    return PushedValue[str](lambda _number: None, owner=Owner(account, process=process))


def test_graphs_use_what_their_owner_shares() -> None:
    """First by account, then by process; never that of another account given in code."""
    state = ProcessState()
    mine, theirs, unnamed = owned("a", "p1"), owned("b", "p2"), owned("", "p3")
    for pushed in (mine, theirs):
        state.add_pushed("api", pushed)
    assert state.pushed("api", Owner("a", process="p9")) is mine
    assert state.pushed("api", Owner("b", explicit=True, process="p1")) is theirs
    assert state.pushed("api", Owner("c", explicit=True, process="p1")) is None
    assert state.pushed("api", Owner("c", process="p1")) is mine
    assert state.pushed("api", Owner("", process="p1")) is mine
    assert state.pushed("api", Owner("", process="p9")) is theirs
    state.add_pushed("api", unnamed)
    assert state.pushed("api", Owner("c", explicit=True, process="p1")) is None
    assert state.pushed("api", Owner("c", explicit=True, process="p3")) is unnamed
    assert state.pushed("api", Owner("", explicit=True, process="p9")) is None
    assert state.pushed("api", Owner("", explicit=True, process="p2")) is theirs
    assert state.pushed("api", Owner("a", process="p3")) is mine


@pytest.fixture
def pushed_token() -> Iterator[PushedValue[Credential]]:
    """A token pushed to this process for the API."""
    pushed: PushedValue[Credential] = PushedValue(lambda _number: None, patience=0.1)
    pushed.put(1, Token("pushed", source="pushed"))
    STATE.add_pushed(("api", origin(API)), pushed)
    yield pushed
    STATE.remove_pushed(("api", origin(API)), pushed)


@pytest.fixture
def pushed_keys() -> Iterator[PushedValue[StorageCredentials]]:
    """AWS credentials pushed to this process, and replaced on the next request."""
    pushed: PushedValue[StorageCredentials] = PushedValue(
        lambda number: threading.Timer(0.05, pushed.put, (number + 1, credentials("NEXT"))).start()
    )
    pushed.put(1, credentials("PUSHED"))
    STATE.add_pushed(PUSHED, pushed)
    yield pushed
    STATE.remove_pushed(PUSHED, pushed)


def credentials(name: str, *, ends: datetime | None = None) -> StorageCredentials:
    """Return temporary credentials."""
    return StorageCredentials(f"ASIA{name}", "secret", "session", ends, source=name)


@pytest.mark.usefixtures("pushed_token")
def test_pushed_token_precedence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a credential given in code, and before the environment."""
    monkeypatch.setenv("CONSTELLR_TOKEN", "environment")
    assert default_credential(base_url=f"{API}/stac") == Token("pushed")
    assert ConstellrAuth(base_url=API).credential == Token("pushed")
    assert ConstellrAuth(Token("code"), base_url=API).credential == Token("code")


@pytest.mark.usefixtures("pushed_token")
def test_pushed_token_is_for_one_api() -> None:
    """It is not used for another API's origin."""
    with pytest.raises(CredentialsNotFoundError, match=r"share_credentials: nothing"):
        default_credential(base_url="https://other.example.com")


def test_replaced_token_is_used_by_the_next_request(pushed_token: PushedValue[Credential]) -> None:
    """The pushed token is not cached."""
    auth = ConstellrAuth(base_url=API)
    assert auth.token() == Token("pushed")
    pushed_token.put(2, Token("next"))
    assert auth.token() == Token("next")


def test_silent_client_is_listed_in_the_error() -> None:
    """The error says that the client does not answer."""
    silent: PushedValue[Credential] = PushedValue(lambda _number: None, patience=0.01)
    STATE.add_pushed(("api", origin(API)), silent)
    try:
        with pytest.raises(CredentialsNotFoundError, match="client does not answer"):
            default_credential(base_url=API)
    finally:
        STATE.remove_pushed(("api", origin(API)), silent)


@pytest.mark.usefixtures("pushed_token")
def test_pushing_client_uses_its_own_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in a worker's process does not push what was pushed to it."""
    monkeypatch.setenv("CONSTELLR_USERNAME", "me")
    monkeypatch.setenv("CONSTELLR_PASSWORD", "secret")
    auth = ConstellrAuth(base_url=API)
    assert auth.credential == Token("pushed")
    assert auth.own().credential == Password("me", "secret")


@pytest.mark.usefixtures("pushed_keys")
def test_pushed_keys_precedence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After keys given in code, before the environment; pickled profiles use them as well."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    here = CredentialSource()
    assert here.get() == credentials("PUSHED")
    assert here.own().get().access_key_id == "AKIAENVIRONMENT"
    assert CredentialSource(credentials("CODE")).get() == credentials("CODE")
    named = CredentialSource(profile="of another machine")
    assert _pickle_round_trip(named).get() == credentials("PUSHED")
    with pytest.raises(SigningError, match="of another machine"):
        named.get()


@pytest.mark.usefixtures("pushed_keys")
def test_refused_keys_are_replaced_by_the_client() -> None:
    """After ``discard``, ``get`` waits for other keys."""
    source = CredentialSource()
    source.discard(source.get())
    assert source.get() == credentials("NEXT")


def test_expired_pushed_keys_are_not_used(pushed_keys: PushedValue[StorageCredentials]) -> None:
    """``get`` waits for new keys from the client."""
    pushed_keys.put(2, credentials("EXPIRED", ends=datetime.now(UTC) - timedelta(seconds=1)))
    assert CredentialSource().get() == credentials("NEXT")


def _pickle_round_trip(source: CredentialSource) -> CredentialSource:
    return cast("CredentialSource", pickle.loads(pickle.dumps(source)))  # noqa: S301 - ours
