"""Credentials as values, and where they are searched for."""

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
from constellr_stac.auth.credentials import Secret
from constellr_stac.auth.find_credential import forget_credential, store_credential
from constellr_stac.orders import OrdersClient
from constellr_stac.signing.aws import CredentialSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "correct horse+battery&staple"


def jwt(**claims: float) -> str:
    """Make a token as the API issues them, with an arbitrary signature."""
    parts = ({"alg": "HS256"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in encoded), "c2ln"])


def _pickle_round_trip(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - pickled on this line


@pytest.mark.parametrize(
    "credential",
    [ApiKey("k3y"), Password("me@example.com", SECRET), Token("t0ken")],
    ids=["key", "password", "token"],
)
def test_credential_hides_secret_and_refuses_pickling(
    credential: ApiKey | Password | Token,
) -> None:
    """The repr shows the source only; the pickling error says what to do instead."""
    for text in (repr(credential), str(credential), f"{vars(credential)}"):
        assert "k3y" not in text
        assert SECRET not in text
        assert "t0ken" not in text
    with pytest.raises(TypeError, match="share_credentials"):
        pickle.dumps(credential)
    assert copy.deepcopy(credential) is credential


def test_secret_is_masked_except_by_reveal() -> None:
    """Only ``reveal`` returns the plain string, also for a Secret made from a Secret."""
    secret = Secret(Secret("hunter2"))
    assert [repr(secret), str(secret), f"{secret:>5}", _pickle_round_trip(secret)] == [
        "'***'", "***", "  ***", "***",
    ]  # fmt: skip
    assert secret.reveal() == "hunter2"
    assert secret == "hunter2"
    assert [repr(secret[:3]), repr(secret[0])] == ["'***'", "'***'"]  # rich slices long strings


def traceback_with_locals(error: BaseException) -> str:
    """Format a traceback with the local variables of every frame."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(trace.format())


@pytest.mark.parametrize("name", ["CONSTELLR_API_KEY", "CONSTELLR_TOKEN"])
def test_invalid_key_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracebacks hide the value, since it may contain a key; the error names the variable."""
    monkeypatch.setenv(name, "k3y-of-the-workspace und-noch-was")
    for use in (default_credential, open_client, OrdersClient().products):
        with pytest.raises(AuthenticationError, match=rf"{name} .*copied completely") as caught:
            use()
        shown = traceback_with_locals(caught.value)
        assert "k3y-of-the-workspace" not in shown


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_value_invalid_in_a_header_is_refused(value: str) -> None:
    """Empty values, whitespace, line breaks and non-ASCII characters raise ValueError."""
    with pytest.raises(ValueError, match="API key"):
        ApiKey(value)
    with pytest.raises(ValueError, match="token"):
        Token(value)


@pytest.mark.parametrize("value", [None, b"k3y", 42])
def test_value_must_be_a_str(value: Any) -> None:
    """``None`` from an unset variable raises TypeError before any request."""
    with pytest.raises(TypeError, match=f"API key must be a str, not a {type(value).__name__}"):
        ApiKey(value)
    with pytest.raises(TypeError, match=f"token must be a str, not a {type(value).__name__}"):
        Token(value)
    for arguments in ((value, "hunter2"), ("me", value)):
        with pytest.raises(TypeError, match="one of them is not a str"):
            Password(*arguments)


def test_key_is_stripped() -> None:
    """A trailing newline, as printed by ``cat``, is not part of the key."""
    assert ApiKey(" k3y\n") == ApiKey("k3y")


def test_jwt_expiry_is_read_from_exp() -> None:
    """Opaque tokens and invalid ``exp`` values have no expiry."""
    assert Token(jwt(exp=1_790_000_000.5)).expires_at == datetime.fromtimestamp(
        1_790_000_000.5, UTC
    )
    assert Token("opaque").expires_at is None
    assert Token("a.b.c").expires_at is None
    assert Token(jwt(exp=1e300)).expires_at is None


def test_naive_expiry_is_refused() -> None:
    """The time zone of a naive datetime is unknown."""
    with pytest.raises(ValueError, match="time zone"):
        Token("t0ken", datetime(2026, 6, 1))  # noqa: DTZ001 - the point of the test


def test_environment_precedence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An API key takes precedence over a password, and a password over a token."""
    monkeypatch.setenv("CONSTELLR_TOKEN", "t0ken")
    assert default_credential() == Token("t0ken")
    monkeypatch.setenv("CONSTELLR_USERNAME", "me")
    monkeypatch.setenv("CONSTELLR_PASSWORD", SECRET)
    assert default_credential() == Password("me", SECRET)
    monkeypatch.setenv("CONSTELLR_API_KEY", "k3y")
    found = default_credential()
    assert found == ApiKey("k3y")
    assert "CONSTELLR_API_KEY" in found.source


def test_netrc_entry_must_match_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry for the API's host is used; the ``default`` entry is not."""
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


def test_missing_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home directory, the remaining sources are still searched."""
    monkeypatch.setenv("NETRC", "~nobody-of-this-name/netrc")  # an unknown user
    monkeypatch.setenv("AWS_CONFIG_FILE", "~nobody-of-this-name/config")
    with pytest.raises(CredentialsNotFoundError, match=r"/netrc: cannot be read") as caught:
        default_credential()
    assert "keyring" in str(caught.value)
    with pytest.raises(SigningError, match="AWS_ACCESS_KEY_ID: not set"):
        CredentialSource().get()


def test_unpickled_auth_reports_dropped_credential() -> None:
    """A credential given in code is not pickled, and the worker's error says so."""
    auth = ConstellrAuth(ApiKey("k3y"))
    assert copy.deepcopy(auth).credential == copy.copy(auth).credential == ApiKey("k3y")
    once = _pickle_round_trip(auth)
    for unpickled in (once, _pickle_round_trip(once)):
        assert isinstance(unpickled, ConstellrAuth)
        with pytest.raises(CredentialsNotFoundError, match="given in code: not pickled"):
            unpickled.token()


def test_missing_credential_lists_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error lists each variable, file and keyring searched, and what to do."""
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
def _file_keyring(tmp_path: Path) -> Iterator[None]:
    """A real keyring backend with its entries in ``tmp_path``."""
    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    previous = keyring.get_keyring()
    keyring.set_keyring(backend)
    yield
    keyring.set_keyring(previous)


@pytest.mark.usefixtures("_file_keyring")
@pytest.mark.parametrize("credential", [ApiKey("k3y"), Password("me", SECRET)])
def test_keyring_round_trip(credential: ApiKey | Password) -> None:
    """A stored credential is found for the same API, and gone after it is deleted."""
    store_credential(credential, base_url="https://api.example.com/stac")
    found = default_credential(base_url="https://api.example.com")
    assert found == credential
    assert "keyring" in found.source
    assert forget_credential(base_url="https://api.example.com")
    assert not forget_credential(base_url="https://api.example.com")
    with pytest.raises(CredentialsNotFoundError, match=r"nothing for https://api\.example\.com"):
        default_credential(base_url="https://api.example.com")


@pytest.mark.usefixtures("_file_keyring")
def test_source_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit credential, then environment, then ``.netrc``, then keyring."""
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


@pytest.mark.usefixtures("_file_keyring")
def test_token_is_not_stored() -> None:
    """A token expires within a day, so only API keys and passwords are stored."""
    with pytest.raises(ValueError, match="ApiKey or a Password"):
        store_credential(Token("t0ken"))


@pytest.mark.usefixtures("_file_keyring")
@pytest.mark.parametrize("entry", ["{", "[]", '{"username": "ada"}', '{"api_key": ""}'])
def test_foreign_keyring_entry_is_ignored(entry: str) -> None:
    """The error mentions the entry without showing its content."""
    store_credential(ApiKey("k3y"), base_url="https://api.example.com")
    keyring.set_password("constellr-stac", "https://api.example.com", entry)
    with pytest.raises(CredentialsNotFoundError, match="not written by constellr login"):
        default_credential(base_url="https://api.example.com")
