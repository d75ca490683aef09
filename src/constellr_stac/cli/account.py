"""``login``, ``logout`` and ``whoami``: which credential is used, and where it is kept."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from constellr_stac.errors import MissingExtraError

from .command import command
from .errors import Failure
from .inputs import STDIN, read_text
from .terminal import Terminal

if TYPE_CHECKING:
    from constellr_stac.auth.credentials import Credential

__all__ = ["commands"]

commands = typer.Typer()

_HERE = "given to login"
_IN_ENVIRONMENT = ("CONSTELLR_API_KEY", "CONSTELLR_PASSWORD", "CONSTELLR_TOKEN")


@command(
    commands,
    "constellr login",
    "constellr login --api-key",
    "pass show constellr | constellr login --api-key -",
)
def login(
    terminal: Terminal,
    source: Annotated[
        str | None,
        typer.Argument(metavar="-", help="-: read the password or key from standard input."),
    ] = None,
    *,
    api_key: Annotated[
        bool, typer.Option("--api-key", help="Use an API key (recommended) and no password.")
    ] = False,
    username: Annotated[
        str | None,
        typer.Option(
            envvar="CONSTELLR_USERNAME", help="The user name; asked for if it is left out."
        ),
    ] = None,
) -> None:
    """Check a credential and keep it in the keyring of the system.

    The password or key is taken from standard input (-), else from CONSTELLR_PASSWORD or
    CONSTELLR_API_KEY, else it is asked for and not shown.
    """
    from constellr_stac.auth.credentials import ApiKey, Password, store_credential
    from constellr_stac.config import api_url

    keyring = _keyring()
    if source not in (None, STDIN):
        msg = (
            "A secret on the command line is seen by others, and kept in the shell's history: "
            "leave it out to be asked for it, or pipe it to -."
        )
        raise typer.BadParameter(msg)
    url = api_url()
    credential: Credential
    if api_key:
        credential = ApiKey(_secret("API key", "CONSTELLR_API_KEY", source), source=_HERE)
    else:
        if username is None:
            username = _asked("User name", hidden=False, instead="--username")
        password = _secret("Password", "CONSTELLR_PASSWORD", source)
        credential = Password(username, password, source=_HERE)
    with terminal.working(f"Asking {url} …"):
        _check(credential)
    try:
        store_credential(credential)
    except keyring.errors.KeyringError as error:
        raise Failure(
            f"The credential is right, but there is no keyring to keep it in ({error}). "
            "Set CONSTELLR_API_KEY, or CONSTELLR_USERNAME and CONSTELLR_PASSWORD, instead."
        ) from error
    backend = keyring.get_keyring().name
    if terminal.as_json:
        terminal.json({"api_url": url, "kept_in": backend, **_described(credential)})
    else:
        terminal.line(f"Logged in to {url}; kept in the keyring ({backend}).")
    for name in _IN_ENVIRONMENT:
        if os.environ.get(name):
            terminal.note(f"{name} is set in the environment, and goes before the keyring.")


@command(commands, "constellr logout")
def logout(terminal: Terminal) -> None:
    """Remove the credential from the keyring of the system."""
    from constellr_stac.auth.credentials import forget_credential
    from constellr_stac.config import api_url

    keyring = _keyring()
    url = api_url()
    try:
        forgotten = forget_credential()
    except keyring.errors.KeyringError as error:
        raise Failure(f"There is no keyring to remove it from ({error}).") from error
    if terminal.as_json:
        terminal.json({"api_url": url, "forgotten": forgotten})
    elif forgotten:
        terminal.line(f"The credential for {url} is no longer in the keyring.")
    else:
        terminal.line(f"The keyring held no credential for {url}.")


@command(commands, "constellr whoami", "constellr whoami --json")
def whoami(terminal: Terminal) -> None:
    """Tell which credential is used, and whether it is accepted."""
    from constellr_stac.auth.requests_auth import ConstellrAuth

    auth = ConstellrAuth()
    described = {"api_url": auth.base_url, **_described(auth.credential)}
    with terminal.working(f"Asking {auth.base_url} …"):
        products = _check(auth.credential)
        token = auth.token()
    ends = None if token is None else token.expires_at
    if terminal.as_json:
        terminal.json({**described, "token_expires_at": ends, "products": products})
        return
    terminal.facts(
        (
            ("API", described["api_url"]),
            ("credential", f"{described['credential']}, from {described['source']}"),
            ("user", described.get("username")),
            ("token ends", ends),
            ("products", "none to be seen" if products is None else ", ".join(products)),
        )
    )


def _check(credential: "Credential") -> list[str] | None:
    """Return the products that the account may order; ``None`` if it may not see them.

    Raises:
        AuthenticationError: The API does not accept the credential.
    """
    from constellr_stac.errors import ForbiddenError
    from constellr_stac.orders import OrdersClient

    with OrdersClient(credential) as client:
        try:
            return [product.name for product in client.products()]
        except ForbiddenError:
            return None


def _described(credential: "Credential") -> dict[str, Any]:
    kinds = {"ApiKey": "API key", "Password": "password", "Token": "token"}
    name = type(credential).__name__
    described = {"credential": kinds.get(name, name), "source": credential.source}
    username = getattr(credential, "username", None)
    return described if username is None else {**described, "username": username}


def _secret(what: str, variable: str, source: str | None) -> str:
    """Return a secret from standard input, the environment or a prompt, in this order."""
    if source == STDIN:
        secret = read_text(STDIN).rstrip("\r\n")
        if not secret:
            raise typer.BadParameter("Standard input was empty.")
        return secret
    return os.environ.get(variable) or _asked(what, hidden=True, instead=f"- or {variable}")


def _asked(what: str, *, hidden: bool, instead: str) -> str:
    if not sys.stdin.isatty():
        msg = f"There is no terminal to ask for it at: {what.lower()} from {instead}."
        raise typer.BadParameter(msg)
    answer: str = typer.prompt(what, hide_input=hidden, err=True)
    return answer


def _keyring() -> Any:
    """Return the keyring package, if it is there and can keep something."""
    try:
        import keyring
        import keyring.backends.null
        import keyring.errors
    except ImportError as error:
        what = "Keeping a credential"
        raise MissingExtraError(what, "keyring") from error
    if isinstance(keyring.get_keyring(), keyring.backends.null.Keyring):
        raise Failure(
            "The keyring of the system is switched off, so nothing can be kept in it. "
            "Switch it on, or set CONSTELLR_API_KEY instead."
        )
    return keyring
