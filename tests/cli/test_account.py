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
    """A keyring that works, empty; no credential in the environment."""
    path = tmp_path / "keyring.json"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.FileKeyring")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("FILE_KEYRING", str(path))
    monkeypatch.delenv("CONSTELLR_USERNAME")
    monkeypatch.delenv("CONSTELLR_PASSWORD")
    return path


def test_login_asks_and_whoami_finds_what_it_kept(sandbox: Sandbox, keyring: Path) -> None:
    """At a terminal the password is asked for, not shown, checked and kept; logout forgets it."""
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

    told = constellr("whoami")
    assert (told.returncode, told.stderr) == (0, "")
    assert "OS keyring" in told.stdout
    assert sandbox.username in told.stdout
    assert "LSTprecision, LSTfusion" in told.stdout

    assert "no longer in the keyring" in constellr("logout").stdout
    assert json.loads(keyring.read_text()) == {}
    assert json.loads(constellr("logout", "--json").stdout)["forgotten"] is False


@pytest.mark.parametrize("api_key_mode", [False, True])
def test_login_reads_the_secret_from_a_pipe(
    sandbox: Sandbox, keyring: Path, *, api_key_mode: bool
) -> None:
    """``-`` stands for standard input: passwords and keys come from other programs whole."""
    arguments = ["--api-key"] if api_key_mode else ["--username", sandbox.username]
    secret = sandbox.api_key if api_key_mode else sandbox.password
    run = constellr("login", *arguments, "-", "--json", stdin=f"{secret}\n")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["credential"] == ("API key" if api_key_mode else "password")
    assert secret not in run.stdout
    who = constellr("--json", "whoami")
    assert json.loads(who.stdout)["source"] == f"OS keyring, entry for {sandbox.api_url}"


def test_a_wrong_password_is_not_kept(sandbox: Sandbox, keyring: Path) -> None:
    """The credential is checked first: exit code 3, one request, and nothing in the keyring."""
    run = constellr("login", "--username", sandbox.username, CONSTELLR_PASSWORD="wrong-42")
    assert run.returncode == 3
    assert run.stdout == ""
    assert "Incorrect username or password" in run.stderr
    assert "wrong-42" not in run.stderr
    assert not keyring.exists()
    assert [request.path for request in sandbox.requests] == ["/token"]


def test_no_secret_on_the_command_line(sandbox: Sandbox, keyring: Path) -> None:
    """A key given as an argument is refused unread, and not repeated."""
    run = constellr("login", "--api-key", sandbox.api_key)
    assert run.returncode == 2
    assert "pipe it to -" in run.stderr
    assert sandbox.api_key not in run.stderr
    assert sandbox.requests == []


def test_nobody_to_ask(sandbox: Sandbox, keyring: Path) -> None:
    """Without a terminal login does not wait for an answer, and says what to do instead."""
    run = constellr("login", "--username", sandbox.username)
    assert run.returncode == 2
    assert "CONSTELLR_PASSWORD" in run.stderr


def test_no_keyring_to_keep_it_in(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that is switched off is told before anything is asked or sent."""
    run = constellr("login")
    assert run.returncode == 1
    assert "switched off" in run.stderr
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    run = constellr("login", "--username", sandbox.username)
    assert run.returncode == 1
    assert "no keyring to keep it in" in run.stderr
    run = constellr("logout")
    assert run.returncode == 1
    assert run.stderr.startswith("Error: There is no keyring to remove it from (")
    assert "not expected" not in run.stderr


def test_a_keyring_that_keeps_nothing(
    sandbox: Sandbox, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept is read back: nobody is told to be logged in who will not be."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.ForgetfulKeyring")
    run = constellr("login", "--username", sandbox.username, CONSTELLR_PASSWORD=sandbox.password)
    assert (run.returncode, run.stdout) == (1, "")
    assert "ForgetfulKeyring did not store the entry" in run.stderr
    assert "Set CONSTELLR_API_KEY" in run.stderr
    assert sandbox.password not in run.stderr


def test_login_says_what_goes_before_the_keyring(
    sandbox: Sandbox, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a variable set would wonder why the new credential is not used."""
    monkeypatch.setenv("CONSTELLR_PASSWORD", sandbox.password)
    run = constellr("login", "--username", sandbox.username)
    assert run.returncode == 0
    assert "CONSTELLR_PASSWORD is set in the environment" in run.stderr


def test_whoami_without_a_credential(sandbox: Sandbox, keyring: Path) -> None:
    """Exit code 3 and two lines; with -v, every place that was looked at."""
    run = constellr("whoami")
    assert (run.returncode, run.stdout) == (3, "")
    first, second = run.stderr.splitlines()
    assert re.search(r"Looked at \d places \(-v lists them\)\.$", first)
    assert "constellr login" in second
    assert "environment variable CONSTELLR_TOKEN: not set" in constellr("whoami", "-v").stderr
