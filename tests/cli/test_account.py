"""``constellr login``, ``logout`` and ``whoami``, as processes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shell import constellr, converse

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox) -> Path:
    """An empty, working keyring and no credential in the environment."""
    path = tmp_path / "keyring.json"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.FileKeyring")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("FILE_KEYRING", str(path))
    monkeypatch.delenv("CONSTELLR_USERNAME")
    monkeypatch.delenv("CONSTELLR_PASSWORD")
    return path


def test_login_prompts_and_whoami_uses_the_keyring(sandbox: Sandbox, keyring: Path) -> None:
    """The password is prompted for without echo, checked and stored; logout removes it."""
    code, screen = converse(
        ["login"], [("User name", sandbox.username), ("Password: ", sandbox.password)]
    )
    assert code == 0
    assert f"Logged in to {sandbox.api_url}" in screen
    assert sandbox.password not in screen
    assert (
        sandbox.password
        in json.loads(next(iter(json.loads(keyring.read_text()).values())))["password"]
    )

    shown = constellr("whoami")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "OS keyring" in shown.stdout
    assert sandbox.username in shown.stdout
    assert "LSTprecision, LSTfusion" in shown.stdout

    assert "Removed the credential" in constellr("logout").stdout
    assert json.loads(keyring.read_text()) == {}
    assert json.loads(constellr("logout", "--json").stdout)["forgotten"] is False


@pytest.mark.parametrize("api_key_mode", [False, True])
def test_login_reads_the_secret_from_stdin(
    sandbox: Sandbox, keyring: Path, *, api_key_mode: bool
) -> None:
    """``-`` reads passwords and keys from standard input, unchanged."""
    arguments = ["--api-key"] if api_key_mode else ["--username", sandbox.username]
    secret = sandbox.api_key if api_key_mode else sandbox.password
    run = constellr("login", *arguments, "-", "--json", stdin=f"{secret}\n")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["credential"] == ("API key" if api_key_mode else "password")
    assert secret not in run.stdout
    who = constellr("--json", "whoami")
    assert json.loads(who.stdout)["source"] == f"OS keyring, entry for {sandbox.api_url}"


def test_wrong_password_is_not_stored(sandbox: Sandbox, keyring: Path) -> None:
    """The credential is checked first: exit code 3, one request, empty keyring."""
    run = constellr("login", "--username", sandbox.username, CONSTELLR_PASSWORD="wrong-42")
    assert run.returncode == 3
    assert run.stdout == ""
    assert "Incorrect username or password" in run.stderr
    assert "wrong-42" not in run.stderr
    assert not keyring.exists()
    assert [request.path for request in sandbox.requests] == ["/token"]


def test_secret_argument_is_refused(sandbox: Sandbox, keyring: Path) -> None:
    """A key passed as an argument is refused and not repeated."""
    run = constellr("login", "--api-key", sandbox.api_key)
    assert run.returncode == 2
    assert "pipe it to -" in run.stderr
    assert sandbox.api_key not in run.stderr
    assert sandbox.requests == []


def test_login_without_terminal_does_not_prompt(sandbox: Sandbox, keyring: Path) -> None:
    """Without a terminal, login fails and names the alternatives."""
    run = constellr("login", "--username", sandbox.username)
    assert run.returncode == 2
    assert "CONSTELLR_PASSWORD" in run.stderr


def test_disabled_keyring_is_reported_first(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disabled keyring is reported before any prompt or request."""
    run = constellr("login")
    assert run.returncode == 1
    assert "is disabled" in run.stderr
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    run = constellr("login", "--username", sandbox.username)
    assert run.returncode == 1
    assert "the keyring cannot store it" in run.stderr
    run = constellr("logout")
    assert run.returncode == 1
    assert run.stderr.startswith("Error: The keyring cannot remove the credential (")
    assert "unexpected" not in run.stderr


def test_login_verifies_the_stored_credential(
    sandbox: Sandbox, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential is read back; login fails if the keyring did not store it."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.ForgetfulKeyring")
    run = constellr("login", "--username", sandbox.username, CONSTELLR_PASSWORD=sandbox.password)
    assert (run.returncode, run.stdout) == (1, "")
    assert "ForgetfulKeyring did not store the entry" in run.stderr
    assert "Set CONSTELLR_API_KEY" in run.stderr
    assert sandbox.password not in run.stderr


def test_login_warns_about_overriding_variables(
    sandbox: Sandbox, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Login warns about variables that take precedence over the keyring."""
    monkeypatch.setenv("CONSTELLR_PASSWORD", sandbox.password)
    run = constellr("login", "--username", sandbox.username)
    assert run.returncode == 0
    assert "CONSTELLR_PASSWORD is set in the environment" in run.stderr


def test_whoami_without_a_credential(sandbox: Sandbox, keyring: Path) -> None:
    """Exit code 3 and two lines; ``-v`` lists every searched place."""
    run = constellr("whoami")
    assert (run.returncode, run.stdout) == (3, "")
    first, second = run.stderr.splitlines()
    assert re.search(r"Searched \d places \(-v lists them\)\.$", first)
    assert "constellr login" in second
    assert "environment variable CONSTELLR_TOKEN: not set" in constellr("whoami", "-v").stderr
