"""Credentials as values, and the places where one is found."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from keyrings.alt.file import PlaintextKeyring

from constellr_stac import (
    ApiKey,
    AuthenticationError,
    ConstellrAuth,
    CredentialsNotFoundError,
    Password,
    SigningError,
    Token,
    default_credential,
    open_client,
)
from constellr_stac.auth.credentials import Secret, forget_credential, store_credential
from constellr_stac.orders import OrdersClient
from constellr_stac.signing.aws import CredentialSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "correct horse+battery&staple"


def jwt(**claims: float) -> str:
    """Make a token as the API issues them; the signature is the server's business."""
    parts = ({"alg": "HS256"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in encoded), "c2ln"])


def _through_a_pickle(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - made two words earlier


@pytest.mark.parametrize(
    "credential",
    [ApiKey("k3y"), Password("me@example.com", SECRET), Token("t0ken")],
    ids=["key", "password", "token"],
)
def test_no_secret_in_a_repr_nor_in_a_pickle(credential: ApiKey | Password | Token) -> None:
    """A credential shows its source; pickling it is an error that says what to do."""
    for text in (repr(credential), str(credential), f"{vars(credential)}"):
        assert "k3y" not in text
        assert SECRET not in text
        assert "t0ken" not in text
    with pytest.raises(TypeError, match="share_credentials"):
        pickle.dumps(credential)
    assert copy.deepcopy(credential) is credential


def test_a_secret_is_masked_however_it_is_shown() -> None:
    """Only ``reveal`` gives the plain string, also of a secret made from one."""
    secret = Secret(Secret("hunter2"))
    assert [repr(secret), str(secret), f"{secret:>5}", _through_a_pickle(secret)] == [
        "'***'", "***", "  ***", "***",
    ]  # fmt: skip
    assert secret.reveal() == "hunter2"
    assert secret == "hunter2"
    assert [repr(secret[:3]), repr(secret[0])] == ["'***'", "'***'"]  # rich shows the first 80


def with_variables(error: BaseException) -> str:
    """Return a traceback as some tools show it: with the variables of every frame."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(trace.format())


@pytest.mark.parametrize("name", ["CONSTELLR_API_KEY", "CONSTELLR_TOKEN"])
def test_a_value_that_is_refused_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was copied badly may still be one: not even the variables of a frame show it.

    The error says which variable it is that holds it, whoever uses it first.
    """
    monkeypatch.setenv(name, "k3y-of-the-workspace und-noch-was")
    for use in (default_credential, open_client, OrdersClient().products):
        with pytest.raises(AuthenticationError, match=rf"{name} .*copied completely") as caught:
            use()
        shown = with_variables(caught.value)
        assert "k3y-of-the-workspace" not in shown


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_what_no_header_can_hold_is_refused(value: str) -> None:
    """A key that was copied in part or with a line break inside is found out at once."""
    with pytest.raises(ValueError, match="API key"):
        ApiKey(value)
    with pytest.raises(ValueError, match="token"):
        Token(value)


@pytest.mark.parametrize("value", [None, b"k3y", 42])
def test_what_is_no_text_is_refused(value: Any) -> None:
    """A variable that is not set is found out here, and not by a server that refuses ``None``."""
    with pytest.raises(TypeError, match=f"API key must be a str, not a {type(value).__name__}"):
        ApiKey(value)
    with pytest.raises(TypeError, match=f"token must be a str, not a {type(value).__name__}"):
        Token(value)
    for words in ((value, "hunter2"), ("me", value)):
        with pytest.raises(TypeError, match="one of them is not a str"):
            Password(*words)


def test_space_around_a_key_does_not_matter() -> None:
    """The line break that `cat` brings along is not part of the key."""
    assert ApiKey(" k3y\n") == ApiKey("k3y")


def test_a_jwt_says_when_it_ends() -> None:
    """``exp`` is read; an opaque token does not end as far as anybody knows."""
    assert Token(jwt(exp=1_790_000_000.5)).expires_at == datetime.fromtimestamp(
        1_790_000_000.5, UTC
    )
    assert Token("opaque").expires_at is None
    assert Token("a.b.c").expires_at is None
    assert Token(jwt(exp=1e300)).expires_at is None


def test_a_naive_end_is_refused() -> None:
    """Nobody knows which clock a naive datetime is on."""
    with pytest.raises(ValueError, match="time zone"):
        Token("t0ken", datetime(2026, 6, 1))  # noqa: DTZ001 - the point of the test


def test_the_environment_is_searched_in_the_documented_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An API key comes before a password, and this before a token."""
    monkeypatch.setenv("CONSTELLR_TOKEN", "t0ken")
    assert default_credential() == Token("t0ken")
    monkeypatch.setenv("CONSTELLR_USERNAME", "me")
    monkeypatch.setenv("CONSTELLR_PASSWORD", SECRET)
    assert default_credential() == Password("me", SECRET)
    monkeypatch.setenv("CONSTELLR_API_KEY", "k3y")
    found = default_credential()
    assert found == ApiKey("k3y")
    assert "CONSTELLR_API_KEY" in found.source


def test_netrc_counts_for_its_own_host_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry for the API's host is used; ``default`` is somebody else's password."""
    file = tmp_path / "netrc"
    file.write_text(
        f'machine api.example.com login me password "{SECRET}"\n'
        "default login anybody password anything\n"
    )
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert default_credential(base_url="https://api.example.com") == Password("me", SECRET)
    with pytest.raises(CredentialsNotFoundError, match="no complete entry for other"):
        default_credential(base_url="https://other.example.com")


def test_a_process_without_a_home_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a container has no home, or somebody else's, the rest is looked at all the same."""
    monkeypatch.setenv("NETRC", "~nobody-of-this-name/netrc")  # as "~" where a user id has no entry
    monkeypatch.setenv("AWS_CONFIG_FILE", "~nobody-of-this-name/config")
    with pytest.raises(CredentialsNotFoundError, match=r"/netrc: cannot be read") as caught:
        default_credential()
    assert "keyring" in str(caught.value)
    with pytest.raises(SigningError, match="AWS_ACCESS_KEY_ID: not set"):
        CredentialSource().get()


def test_what_was_given_in_code_elsewhere_is_among_the_places() -> None:
    """A worker's error says why it has nothing: what was given in code stayed where it was."""
    auth = ConstellrAuth(ApiKey("k3y"))
    assert copy.deepcopy(auth).credential == copy.copy(auth).credential == ApiKey("k3y")
    once = _through_a_pickle(auth)
    for travelled in (once, _through_a_pickle(once)):
        assert isinstance(travelled, ConstellrAuth)
        with pytest.raises(CredentialsNotFoundError, match="given in code: not pickled"):
            travelled.token()


def test_not_finding_one_lists_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names each variable, file and keyring that was looked at, and what to do."""
    file = tmp_path / "broken"
    file.write_text("machine")
    monkeypatch.setenv("NETRC", str(file))
    monkeypatch.setenv("CONSTELLR_USERNAME", "me")
    with pytest.raises(CredentialsNotFoundError) as caught:
        default_credential()
    text = str(caught.value)
    for place in (
        "CONSTELLR_API_KEY: not set",
        "CONSTELLR_USERNAME: set",
        "CONSTELLR_PASSWORD: not set",
        "CONSTELLR_TOKEN: not set",
        f"{file}: cannot be read",
        "OS keyring: ",
        "constellr login",
    ):
        assert place in text


@pytest.fixture
def _keyring_in_a_file(tmp_path: Path) -> Iterator[None]:
    """A real keyring backend that keeps its entries in this test's folder."""
    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    previous = keyring.get_keyring()
    keyring.set_keyring(backend)
    yield
    keyring.set_keyring(previous)


@pytest.mark.usefixtures("_keyring_in_a_file")
@pytest.mark.parametrize("credential", [ApiKey("k3y"), Password("me", SECRET)])
def test_the_keyring_gives_back_what_was_stored(credential: ApiKey | Password) -> None:
    """What `login` stores is found for the same API, and gone after `logout`."""
    store_credential(credential, base_url="https://api.example.com/stac")
    found = default_credential(base_url="https://api.example.com")
    assert found == credential
    assert "keyring" in found.source
    assert forget_credential(base_url="https://api.example.com")
    assert not forget_credential(base_url="https://api.example.com")
    with pytest.raises(CredentialsNotFoundError, match=r"nothing for https://api\.example\.com"):
        default_credential(base_url="https://api.example.com")


@pytest.mark.usefixtures("_keyring_in_a_file")
def test_the_nearest_place_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given comes before the environment, then ``.netrc``, then the keyring."""
    monkeypatch.setenv("CONSTELLR_API_URL", "https://api.example.com")
    store_credential(ApiKey("k3y"))
    assert default_credential() == ApiKey("k3y")
    file = tmp_path / "netrc"
    file.write_text("machine api.example.com login me password 0ther\n")
    monkeypatch.setenv("NETRC", str(file))
    assert default_credential() == Password("me", "0ther")
    monkeypatch.setenv("CONSTELLR_TOKEN", "t0ken")
    assert default_credential() == Token("t0ken")
    assert default_credential(Token("given")) == Token("given")


@pytest.mark.usefixtures("_keyring_in_a_file")
def test_a_token_is_not_worth_keeping() -> None:
    """It ends within a day, so storing it would only look as if one were logged in."""
    with pytest.raises(ValueError, match="ApiKey or a Password"):
        store_credential(Token("t0ken"))


@pytest.mark.usefixtures("_keyring_in_a_file")
@pytest.mark.parametrize("entry", ["{", "[]", '{"username": "ada"}', '{"api_key": ""}'])
def test_a_keyring_entry_of_somebody_else_is_passed_over(entry: str) -> None:
    """The error says that it was looked at, and not what is in it."""
    store_credential(ApiKey("k3y"), base_url="https://api.example.com")
    keyring.set_password("constellr-stac", "https://api.example.com", entry)
    with pytest.raises(CredentialsNotFoundError, match="not written by constellr login"):
        default_credential(base_url="https://api.example.com")
