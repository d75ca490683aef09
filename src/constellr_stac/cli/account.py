"""``login``, ``logout`` and ``whoami``."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, BadParameter, Option, Typer

from constellr_stac.config import api_url
from constellr_stac.errors import ForbiddenError, MissingExtraError

from .command import command
from .errors import Failure
from .inputs import STDIN, read_text
from .terminal import Terminal

if TYPE_CHECKING:
    from constellr_stac.auth.credentials import Credential

__all__ = ["commands"]

commands = Typer()

_SOURCE = "given to login"
_VARIABLES = ("CONSTELLR_API_KEY", "CONSTELLR_PASSWORD", "CONSTELLR_TOKEN")


@command(
    commands,
    "constellr login",
    "constellr login --api-key",
    "pass show constellr | constellr login --api-key -",
)
def login(
    terminal: Terminal,
    source: Annotated[
        str | None, Argument(metavar="-", help="-: read the secret from standard input.")
    ] = None,
    *,
    api_key: Annotated[
        bool, Option("--api-key", help="Use an API key (recommended), not a password.")
    ] = False,
    username: Annotated[
        str | None, Option(envvar="CONSTELLR_USERNAME", help="User name; prompted for if omitted.")
    ] = None,
) -> None:
    """Check a credential and store it in the system keyring.

    The password or key is read from standard input (-), else from CONSTELLR_PASSWORD or
    CONSTELLR_API_KEY, else prompted for without echo.
    """
    from constellr_stac.auth.credentials import ApiKey, Password
    from constellr_stac.auth.find_credential import store_credential

    keyring = _keyring()
    if source not in (None, STDIN):
        raise BadParameter(
            "A secret on the command line is visible to other users and kept in the shell's "
            "history. Omit it to be prompted, or pipe it to -."
        )
    url = api_url()
    credential: Credential
    if api_key:
        credential = ApiKey(_secret("API key", "CONSTELLR_API_KEY", source), source=_SOURCE)
    else:
        if username is None:
            username = _prompt("User name", hidden=False, option="--username")
        password = _secret("Password", "CONSTELLR_PASSWORD", source)
        credential = Password(username, password, source=_SOURCE)
    with terminal.working(f"Checking with {url} …"):
        _check(credential)
    try:
        store_credential(credential)
    except keyring.errors.KeyringError as error:
        raise Failure(
            f"The credential is valid, but the keyring cannot store it ({error}). "
            "Set CONSTELLR_API_KEY, or CONSTELLR_USERNAME and CONSTELLR_PASSWORD, instead."
        ) from error
    backend = keyring.get_keyring().name
    terminal.result(
        {"api_url": url, "kept_in": backend, **_describe(credential)},
        f"Logged in to {url}; stored in the keyring ({backend}).",
    )
    for name in _VARIABLES:
        if os.environ.get(name):
            terminal.note(
                f"{name} is set in the environment and takes precedence over the keyring."
            )


@command(commands, "constellr logout")
def logout(terminal: Terminal) -> None:
    """Remove the credential from the system keyring."""
    from constellr_stac.auth.find_credential import forget_credential

    keyring = _keyring()
    url = api_url()
    try:
        forgotten = forget_credential()
    except keyring.errors.KeyringError as error:
        raise Failure(f"The keyring cannot remove the credential ({error}).") from error
    text = f"The keyring has no credential for {url}."
    if forgotten:
        text = f"Removed the credential for {url} from the keyring."
    terminal.result({"api_url": url, "forgotten": forgotten}, text)


@command(commands, "constellr whoami", "constellr whoami --json")
def whoami(terminal: Terminal) -> None:
    """Show which credential is used, and check that the API accepts it."""
    from constellr_stac.auth.requests_auth import ConstellrAuth

    auth = ConstellrAuth()
    facts = {"api_url": auth.base_url, **_describe(auth.credential)}
    with terminal.working(f"Checking with {auth.base_url} …"):
        products = _check(auth.credential)
        token = auth.token()
    expires_at = None if token is None else token.expires_at
    terminal.facts(
        {**facts, "token_expires_at": expires_at, "products": products},
        (
            ("API", facts["api_url"]),
            ("credential", f"{facts['credential']}, from {facts['source']}"),
            ("user", facts.get("username")),
            ("token expires", expires_at),
            ("products", "not visible" if products is None else ", ".join(products)),
        ),
    )


def _check(credential: "Credential") -> list[str] | None:
    """Return the products the account may order; ``None`` if it may not list them."""
    from constellr_stac.orders import OrdersClient

    with OrdersClient(credential) as client:
        try:
            return [product.name for product in client.products()]
        except ForbiddenError:
            return None


def _describe(credential: "Credential") -> dict[str, Any]:
    kinds = {"ApiKey": "API key", "Password": "password", "Token": "token"}
    name = type(credential).__name__
    facts = {"credential": kinds.get(name, name), "source": credential.source}
    username = getattr(credential, "username", None)
    return facts if username is None else {**facts, "username": username}


def _secret(what: str, variable: str, source: str | None) -> str:
    """Return a secret from standard input, the environment or a prompt, in this order."""
    if source == STDIN:
        secret = read_text(STDIN).rstrip("\r\n")
        if not secret:
            raise BadParameter("Standard input is empty.")
        return secret
    return os.environ.get(variable) or _prompt(what, hidden=True, option=f"- or {variable}")


def _prompt(what: str, *, hidden: bool, option: str) -> str:
    if not sys.stdin.isatty():
        raise BadParameter(f"Not interactive; pass the {what.lower()} with {option}.")
    answer: str = typer.prompt(what, hide_input=hidden, err=True)
    return answer


def _keyring() -> Any:
    """Return the keyring package, if installed and enabled."""
    try:
        import keyring
        import keyring.backends.null
        import keyring.errors
    except ImportError as error:
        raise MissingExtraError("Storing a credential", "keyring") from error
    if isinstance(keyring.get_keyring(), keyring.backends.null.Keyring):
        raise Failure(
            "The system keyring is disabled. Enable it, or set CONSTELLR_API_KEY instead."
        )
    return keyring
