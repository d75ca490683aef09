"""AWS credentials: sources, precedence and renewal."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session

from constellr_stac._secret import Secret
from constellr_stac.config import storage_settings
from constellr_stac.errors import InsecureURLError, SigningError
from constellr_stac.signing.aws import CredentialSource
from constellr_stac.signing.aws_credentials import StorageCredentials

if TYPE_CHECKING:
    from pathlib import Path


SECRETS = ("sEcReT/+=", "tOkEn/+=")


def credentials(name: str = "GIVEN", **more: Any) -> dict[str, Any]:
    """Credentials as obstore's providers return them."""
    return {
        "access_key_id": f"ASIA{name}",
        "secret_access_key": SECRETS[0],
        "token": SECRETS[1],
        "expires_at": None,
        **more,
    }


def set_credentials(monkeypatch: pytest.MonkeyPatch, name: str, **more: str) -> None:
    """Set credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA{name}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[0])
    for variable, value in more.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def aws_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Profiles with keys, with keys and a session token, and with ``credential_process``."""
    program = tmp_path / "give.py"
    program.write_text(f"""
import json, pathlib
count = pathlib.Path({str(tmp_path / "count")!r})
given = count.read_text() if count.exists() else ""
count.write_text(given + "1")
ends = pathlib.Path({str(tmp_path / "ends")!r})
answer = {{"Version": 1, "AccessKeyId": f"ASIAPROGRAM{{len(given) + 1}}",
    "SecretAccessKey": {SECRETS[0]!r}, "SessionToken": {SECRETS[1]!r}}}
if ends.exists():
    answer["Expiration"] = ends.read_text()
print(json.dumps(answer))
""")
    config = tmp_path / "config"
    config.write_text(f"[profile program]\ncredential_process = {sys.executable} {program}\n")
    shared = tmp_path / "credentials"
    shared.write_text(
        "".join(
            f"[{name}]\naws_access_key_id = AKIA{name.upper()}\naws_secret_access_key = "
            f"{SECRETS[0]}\n{more}"
            for name, more in (("default", ""), ("work", f"aws_session_token = {SECRETS[1]}\n"))
        )
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    return tmp_path


# Sources


@pytest.mark.parametrize("profile", [None, "work", "program"])
@pytest.mark.parametrize("named", [None, "work", "default"])
@pytest.mark.parametrize("in_environment", [False, True])
def test_precedence_is_that_of_boto3(
    monkeypatch: pytest.MonkeyPatch,
    aws_files: Path,
    profile: str | None,
    named: str | None,
    in_environment: bool,  # noqa: FBT001 - parametrized
) -> None:
    """The order of explicit profile, environment, AWS_PROFILE and files is that of boto3."""
    if named is not None:
        monkeypatch.setenv("AWS_PROFILE", named)
    if in_environment:
        set_credentials(monkeypatch, "ENVIRONMENT", AWS_SESSION_TOKEN=SECRETS[1])
    expected = Session(profile_name=profile).get_credentials().get_frozen_credentials()
    (aws_files / "count").unlink(missing_ok=True)
    found = CredentialSource(profile=profile).get()
    token = found.token and Secret(found.token).reveal()
    plain = (found.access_key_id, Secret(found.secret_access_key).reveal(), token)
    assert plain == tuple(expected)[:3]


def test_session_expiry_is_botocores(aws_files: Path) -> None:
    """The expiry is the one botocore knows, or None."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    (aws_files / "ends").write_text(ends.isoformat())
    assert CredentialSource(profile="program").get().expires_at == ends
    assert CredentialSource(profile="work").get().expires_at is None


def test_credential_expiration_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expired keys and an invalid AWS_CREDENTIAL_EXPIRATION are errors."""
    source = CredentialSource()
    set_credentials(monkeypatch, "HOUR", AWS_CREDENTIAL_EXPIRATION="2100-01-01T00:00:00Z")
    assert source.get().expires_at == datetime(2100, 1, 1, tzinfo=UTC)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    with pytest.raises(SigningError, match=r"AWS_ACCESS_KEY_ID\) expired at 2020-01-01"):
        source.get()
    for wrong in ("tomorrow", "2100-01-01T00:00:00"):
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", wrong)
        with pytest.raises(SigningError, match="expected a time with time zone"):
            source.get()


def test_key_without_secret_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An access key without its secret is an error; other sources are not searched."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHALF")
    with pytest.raises(SigningError, match="AWS_SECRET_ACCESS_KEY is not"):
        CredentialSource().get()


def test_rotated_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read each time, so new keys are used at once."""
    source = CredentialSource()
    for name in ("ONE", "TWO"):
        set_credentials(monkeypatch, name)
        assert source.get().access_key_id == f"AKIA{name}"


def test_missing_credentials_list_every_source(aws_files: Path) -> None:
    """The error lists the variables, profiles with their files, and roles searched."""
    (aws_files / "credentials").write_text("[empty]\nregion = eu-central-1\n")
    with pytest.raises(SigningError) as caught:
        CredentialSource().get()
    message = str(caught.value)
    for place in ("AWS_ACCESS_KEY_ID: not set", "AWS_PROFILE: not set", "program, empty", "roles"):
        assert place in message
    assert str(aws_files / "credentials") in message


def test_missing_profile(aws_files: Path) -> None:
    """The error names the profile."""
    with pytest.raises(SigningError, match="profile 'home'"):
        CredentialSource(profile="home").get()


def test_failing_credential_process(aws_files: Path) -> None:
    """The error names the profile and quotes the program's error."""
    (aws_files / "give.py").write_text("raise SystemExit('no network')")
    with pytest.raises(SigningError, match=r"profile 'program'.*no network"):
        CredentialSource(profile="program").get()


def test_invalid_credential_process_output(aws_files: Path) -> None:
    """The error does not show the program's output, which may contain the secret."""
    (aws_files / "give.py").write_text(f"print('secret: {SECRETS[0]}')")
    with pytest.raises(SigningError, match=r"profile 'program'.*JSON") as caught:
        CredentialSource(profile="program").get()
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert SECRETS[0] not in "".join(trace.format())


def test_missing_credential_process(aws_files: Path) -> None:
    """The error names the program."""
    (aws_files / "config").write_text("[profile program]\ncredential_process = /nowhere/give\n")
    with pytest.raises(SigningError, match=r"profile 'program'.*/nowhere/give"):
        CredentialSource(profile="program").get()


def test_without_botocore() -> None:
    """Without the extra, the environment works, and the error names the extra for profiles."""
    code = """
import sys
sys.modules["botocore"] = None
sys.modules["boto3"] = None
import os
from constellr_stac import Signer
from constellr_stac.errors import SigningError
try:
    Signer().sign("s3://scenes/lst.tiff")
except SigningError as error:
    print(error)
os.environ.update(AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="secret")
print(Signer().sign("s3://scenes/lst.tiff")[:20])
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'constellr-stac[aws]'" in out.stdout
    assert "https://scenes.s3.eu" in out.stdout


# Explicit credentials


def test_explicit_credentials_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials may be a value, a dict, or a callable that returns either."""
    set_credentials(monkeypatch, "ENVIRONMENT")
    value = StorageCredentials.of(credentials())
    for given in (value, credentials(), lambda: value, credentials):
        assert CredentialSource(given).get() == value


def test_credentials_and_profile_conflict() -> None:
    """Passing both raises."""
    with pytest.raises(ValueError, match="not both"):
        CredentialSource(credentials(), profile="work")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (credentials(expires_at=datetime(2100, 1, 1)), "time zone"),  # noqa: DTZ001 - under test
        (credentials(secret_access_key=""), "one is empty"),
        ({"access_key_id": "ASIA"}, "lack secret_access_key"),
    ],
)
def test_incomplete_credentials(wrong: dict[str, Any], message: str) -> None:
    """Partial credentials and naive expiry times are refused."""
    with pytest.raises(ValueError, match=message):
        CredentialSource(wrong)
    with pytest.raises(SigningError, match=message):
        CredentialSource(lambda: wrong).get()


def test_failing_callable_hides_its_message() -> None:
    """A callable's exception is wrapped in our error, without its message."""

    def fail() -> dict[str, Any]:
        raise RuntimeError(SECRETS[0])

    async def later() -> dict[str, Any]:
        return credentials()

    with pytest.raises(SigningError, match="failed with RuntimeError") as caught:
        CredentialSource(fail).get()
    assert SECRETS[0] not in str(caught.value)
    with pytest.raises(SigningError, match="asynchronous"):
        CredentialSource(later).get()  # type: ignore[arg-type] # under test


def test_callable_is_called_before_expiry() -> None:
    """Credentials are renewed before they expire; a failed renewal keeps the old ones."""
    now = datetime.now(UTC)
    ends = [now + timedelta(hours=1), now + timedelta(hours=2)]
    asked: list[int] = []

    def ask() -> dict[str, Any]:
        asked.append(1)
        if len(asked) == 2:
            raise OSError
        return credentials(str(len(asked)), expires_at=ends[len(asked) > 1])

    time = [now]
    source = CredentialSource(ask, clock=lambda: time[0])
    first = source.get()
    time[0] = now + timedelta(minutes=30)
    assert source.get() is first
    assert len(asked) == 1
    time[0] = now + timedelta(minutes=58)
    assert source.get() is first, "the second answer is a failure"
    assert len(asked) == 2
    time[0] = now + timedelta(minutes=59, seconds=55)
    assert source.get().access_key_id == "ASIA3"


def test_callable_is_called_again_after_a_second_refusal() -> None:
    """The first may have had another cause; the keys have been replaced since."""
    now, names = [datetime.now(UTC)], ["ONE", "ONE", "TWO"]
    source = CredentialSource(lambda: credentials(names.pop(0)), clock=lambda: now[0])
    for expected in ("ASIAONE", "ASIAONE", "ASIATWO"):
        found = source.get()
        assert found.access_key_id == expected
        now[0] += timedelta(seconds=2)
        source.discard(found)


def test_threads_share_one_renewal() -> None:
    """Many threads cause one call."""
    asked: list[int] = []
    waiting = threading.Barrier(17)

    def ask() -> dict[str, Any]:
        asked.append(1)
        threading.Event().wait(0.05)  # long enough for the other threads to wait
        return credentials()

    source = CredentialSource(ask)

    def get() -> StorageCredentials:
        waiting.wait()
        return source.get()

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(get) for _ in range(16)]
        waiting.wait()
        assert {answer.result().access_key_id for answer in answers} == {"ASIAGIVEN"}
    assert len(asked) == 1


def test_keys_without_expiry_are_reread(aws_files: Path) -> None:
    """A profile's keys without an expiry are read again after 15 minutes."""
    now = [datetime.now(UTC)]
    source = CredentialSource(profile="program", clock=lambda: now[0])
    assert source.get().access_key_id == "ASIAPROGRAM1"
    now[0] += timedelta(minutes=5)
    assert source.get().access_key_id == "ASIAPROGRAM1"
    now[0] += timedelta(minutes=11)
    assert source.get().access_key_id == "ASIAPROGRAM2"


def test_sources_are_equal_if_they_ask_the_same() -> None:
    """By keys, callable or profile, so that workers share one."""
    sources = [CredentialSource(profile=name) for name in "aba"]
    assert sources[0] == sources[2]
    assert sources[0] != sources[1]
    assert sources[1] != sources[0]
    assert CredentialSource(credentials()) == CredentialSource(credentials())


# Secrets


def test_no_secret_in_repr_and_pickle() -> None:
    """Neither the repr nor the pickle of a source contains a key."""
    source = CredentialSource(credentials())
    shown = [repr(source), repr(source.get()), repr(pickle.dumps(source))]
    for text in shown:
        assert not any(secret in text for secret in (*SECRETS, "ASIAGIVEN")), text
    with pytest.raises(TypeError, match="share_credentials"):
        pickle.dumps(source.get())


# Stores


def test_http_endpoint_must_be_loopback() -> None:
    """A plain HTTP endpoint on another host is refused before a store is opened."""
    with pytest.raises(InsecureURLError):
        storage_settings(endpoint="http://minio.example.com")
