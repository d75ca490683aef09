"""Find a credential: pushed, in the environment, in ``.netrc`` or in the OS keyring.

Nothing here calls the API.
"""

from __future__ import annotations

import json
import netrc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from constellr_stac import config as settings
from constellr_stac._process import STATE
from constellr_stac._pushed import Owner
from constellr_stac._secret import Secret
from constellr_stac.errors import (
    AuthenticationError,
    ConstellrError,
    CredentialsNotFoundError,
    MissingExtraError,
)

from .credentials import ApiKey, Credential, Password, Token, account_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from constellr_stac._pushed import PushedValue

__all__ = [
    "VARIABLES",
    "default_credential",
    "forget_credential",
    "own_credential",
    "owner_of",
    "pushed_credential",
    "store_credential",
]

VARIABLES = ("CONSTELLR_API_KEY", "CONSTELLR_USERNAME", "CONSTELLR_PASSWORD", "CONSTELLR_TOKEN")
"""The environment variables that hold a credential."""

_KEYRING_SERVICE = "constellr-stac"


def default_credential(
    explicit: Credential | None = None, *, base_url: str | None = None
) -> Credential:
    """Find a credential: explicit, pushed, the environment, ``.netrc``, the OS keyring.

    Pushed means shared with this dask worker by :func:`constellr_stac.share_credentials`. In the
    environment, ``CONSTELLR_API_KEY`` takes precedence over ``CONSTELLR_USERNAME`` with
    ``CONSTELLR_PASSWORD``, and these over ``CONSTELLR_TOKEN``. In ``.netrc`` (or the file named
    by ``NETRC``) only an entry for the API's host is used, never ``default``.

    Args:
        explicit: Returned unchanged, if given.

    Keyword Args:
        base_url: The API; default as for :func:`constellr_stac.config.api_url`.

    Raises:
        AuthenticationError: An environment variable holds an invalid key or token.
        CredentialsNotFoundError: None was found; the message lists every place searched.
    """
    if explicit is not None:
        return explicit
    pushed = pushed_credential(settings.api_url(base_url))
    return (None if pushed is None else pushed.get()) or own_credential(base_url=base_url)


def pushed_credential(base_url: str, owner: Owner | None = None) -> PushedValue[Credential] | None:
    """Return the credential that a dask client pushes to this process for an API, if any.

    ``owner``: whose graph needs it; default the credential of the newest client.
    """
    pushed: PushedValue[Credential] | None = STATE.pushed(_purpose(base_url), owner)
    return pushed


def own_credential(
    *, base_url: str | None = None, not_pickled: bool = False, owner: Owner | None = None
) -> Credential:
    """Find a credential like :func:`default_credential`, but ignore a pushed one.

    ``not_pickled``: whether an explicit credential was lost when its auth object was pickled.
    ``owner``: whose graph needs it.

    Raises:
        AuthenticationError: An environment variable holds an invalid key or token.
        CredentialsNotFoundError: None was found; the message lists every place searched.
    """
    url = settings.api_url(base_url)
    pushed, advice = STATE.push_search(_purpose(url), owner)
    looked = ["given in code: not pickled to other processes"] * not_pickled + pushed
    for find in (_from_environment, _from_netrc, _from_keyring):
        found = find(url, looked)
        if found is not None:
            return found
    places = "\n".join(f"  - {place}" for place in looked)
    raise CredentialsNotFoundError(
        f"No credential for {url} was found. Searched:\n{places}\n"
        "Set CONSTELLR_API_KEY, or CONSTELLR_USERNAME and CONSTELLR_PASSWORD, in the environment "
        f"of this process, or run `constellr login`.{advice}"
    )


def _purpose(base_url: str) -> Hashable:
    return "api", settings.origin(base_url)


def owner_of(found: Credential | None, base_url: str, *, explicit: bool) -> Owner:
    """Return whose credential the tasks of a graph use on a dask worker.

    ``found``: this process's credential; by default it is searched for.
    """
    try:
        own = found or own_credential(base_url=base_url)
    except ConstellrError:
        return Owner()
    return Owner(account_of(own, base_url), explicit)


def store_credential(credential: Credential, *, base_url: str | None = None) -> None:
    """Store a credential in the OS keyring, where :func:`default_credential` finds it.

    Raises:
        MissingExtraError: The extra ``keyring`` is not installed.
        keyring.errors.KeyringError: There is no keyring, or it did not store the entry.
        ValueError: Neither an :class:`ApiKey` nor a :class:`Password`.
    """
    keyring = _keyring()
    if isinstance(credential, ApiKey):
        entry = {"api_key": Secret(credential.key).reveal()}
    elif isinstance(credential, Password):
        entry = {
            "username": credential.username,
            "password": Secret(credential.password).reveal(),
        }
    else:
        msg = f"Only an ApiKey or a Password can be stored, not a {type(credential).__name__}."
        raise ValueError(msg)  # noqa: TRY004 - the type is right, the choice is not
    url, text = settings.api_url(base_url), json.dumps(entry)
    keyring.set_password(_KEYRING_SERVICE, url, text)
    if keyring.get_password(_KEYRING_SERVICE, url) != text:
        name = keyring.get_keyring().name
        raise keyring.errors.PasswordSetError(f"{name} did not store the entry")


def forget_credential(*, base_url: str | None = None) -> bool:
    """Remove the credential of :func:`store_credential`; return whether there was one.

    Raises:
        MissingExtraError: The extra ``keyring`` is not installed.
        keyring.errors.KeyringError: There is no keyring, or the entry cannot be deleted.
    """
    keyring = _keyring()
    url = settings.api_url(base_url)
    if keyring.get_password(_KEYRING_SERVICE, url) is None:
        return False
    keyring.delete_password(_KEYRING_SERVICE, url)
    return True


def _from_environment(_url: str, looked: list[str]) -> Credential | None:
    if key := Secret(os.environ.get("CONSTELLR_API_KEY", "")):
        return _sendable(ApiKey, key, "environment variable CONSTELLR_API_KEY")
    looked.append("environment variable CONSTELLR_API_KEY: not set")
    username, password = (
        os.environ.get("CONSTELLR_USERNAME"),
        Secret(os.environ.get("CONSTELLR_PASSWORD", "")),
    )
    if username and password:
        source = "environment variables CONSTELLR_USERNAME and CONSTELLR_PASSWORD"
        return Password(username, password, source=source)
    for name, value in (("CONSTELLR_USERNAME", username), ("CONSTELLR_PASSWORD", password)):
        looked.append(f"environment variable {name}: {'set' if value else 'not set'}")
    if token := Secret(os.environ.get("CONSTELLR_TOKEN", "")):
        return _sendable(Token, token, "environment variable CONSTELLR_TOKEN")
    looked.append("environment variable CONSTELLR_TOKEN: not set")
    return None


def _sendable(kind: type[ApiKey | Token], value: Secret, source: str) -> Credential:
    try:
        return kind(value, source=source)
    except ValueError as error:
        raise AuthenticationError(f"The {source} cannot be used. {error}") from None


def _from_netrc(url: str, looked: list[str]) -> Credential | None:
    host = urlsplit(url).hostname or ""
    named = os.environ.get("NETRC")
    for name in [named] if named else ["~/.netrc", "~/_netrc"]:
        path = Path(name)
        try:
            path = path.expanduser()  # a RuntimeError where there is no home directory
            entry = netrc.netrc(path).hosts.get(host)
        except (netrc.NetrcParseError, OSError, RuntimeError, UnicodeDecodeError) as error:
            missing = isinstance(error, FileNotFoundError)
            why = "no such file" if missing else f"cannot be read ({type(error).__name__})"
            looked.append(f"{path}: {why}")
            continue
        if entry is not None and entry[0] and entry[2]:
            return Password(entry[0], entry[2], source=f"{path}, entry for {host}")
        looked.append(f"{path}: no complete entry for {host}")
    return None


def _from_keyring(url: str, looked: list[str]) -> Credential | None:
    try:
        keyring = _keyring()
    except ImportError:
        looked.append("OS keyring: not searched (pip install 'constellr-stac[keyring]')")
        return None
    try:
        stored = keyring.get_password(_KEYRING_SERVICE, url)
    except keyring.errors.KeyringError as error:
        looked.append(f"OS keyring: not available ({type(error).__name__})")
        return None
    if stored is None:
        looked.append(f"OS keyring: nothing for {url}")
        return None
    source = f"OS keyring, entry for {url}"
    try:
        entry = json.loads(stored)
        if "api_key" in entry:
            return ApiKey(entry["api_key"], source=source)
        return Password(entry["username"], entry["password"], source=source)
    except (ValueError, KeyError, TypeError):
        looked.append(f"{source}: not written by constellr login")
        return None


def _keyring() -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        what = "The OS keyring"
        raise MissingExtraError(what, "keyring") from error
    return keyring
