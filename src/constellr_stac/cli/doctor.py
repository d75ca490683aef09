"""``constellr doctor``: what works from here, and what does not."""

import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

import typer

from constellr_stac._text import redact_url
from constellr_stac.errors import (
    APIConnectionError,
    AuthenticationError,
    ConstellrError,
    CredentialsNotFoundError,
    SigningError,
)

from .command import command
from .errors import FAILED, UNAUTHENTICATED
from .terminal import Terminal

if TYPE_CHECKING:
    import requests

    from constellr_stac.auth.requests_auth import ConstellrAuth

__all__ = ["commands"]

commands = typer.Typer()

_EXTRAS = {
    "stackstac": "stackstac",
    "aws": "boto3",
    "keyring": "keyring",
    "geo": "geopandas",
    "plot": "matplotlib",
    "files": "zarr",
    "sandbox": "starlette",
}
_PACKAGES = ("pystac-client", "odc-stac", "xarray", "dask", "rasterio")
_NOTABLE_SKEW, _FATAL_SKEW = 30, 900  # seconds; S3 refuses what is signed 15 minutes off
_ASKS_FOR_A_CREDENTIAL = (401, 403)
_HEAD = 1024
_PATIENCE = 15

State = Literal["ok", "note", "failed"]


@dataclass(frozen=True)
class Finding:
    """What was seen when one thing was looked at."""

    what: str
    state: State
    detail: str


@command(commands, "constellr doctor", "constellr doctor --json")
def doctor(terminal: Terminal) -> None:
    """Find out what works from here: API, credentials, clock, store.

    Nothing is changed or ordered. The exit code is 0 if all is well.
    """
    findings: list[Finding] = []
    code = 0
    for what, look, is_needed in _EXAMINATIONS:
        try:
            with terminal.working(f"Looking at: {what}"):
                finding = Finding(what, *look())
        except (ConstellrError, OSError) as error:
            finding = Finding(what, "failed", str(error))
            refused = isinstance(error, (AuthenticationError, CredentialsNotFoundError))
            code = UNAUTHENTICATED if refused else code or FAILED
        findings.append(finding)
        if not terminal.as_json:
            terminal.facts([(f"{finding.state:<6}  {what:<12}", finding.detail)])
        if finding.state == "failed":
            code = code or FAILED
            if is_needed:
                break
    if terminal.as_json:
        terminal.json([asdict(finding) for finding in findings])
    raise typer.Exit(code)


def _versions() -> tuple[State, str]:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    own = importlib.metadata.version("constellr-stac")
    python = f"Python {platform.python_version()} on {platform.system()}"
    return "ok", f"constellr-stac {own}, {python}, {', '.join(versions)}"


def _extras() -> tuple[State, str]:
    missing = [extra for extra, package in _EXTRAS.items() if not _is_installed(package)]
    if not missing:
        return "ok", "all are installed"
    return "note", f"not installed: {', '.join(missing)} (pip install 'constellr-stac[all]')"


def _api() -> tuple[State, str]:
    began = time.monotonic()
    answer = _unauthenticated()
    took = time.monotonic() - began
    said = f"{answer.url} answers {answer.status_code} in {took:.2f} s (no credential sent)"
    if answer.ok or answer.status_code in _ASKS_FOR_A_CREDENTIAL:
        return "ok", said
    return "failed", f"{said}; check CONSTELLR_API_URL, or try again later"


def _clock() -> tuple[State, str]:
    answer = _unauthenticated()
    told = answer.headers.get("Date")
    if told is None:
        return "note", "the API does not tell the time"
    # The header is cut to whole seconds: on average it is half a second late.
    ahead = time.time() - parsedate_to_datetime(told).timestamp() - 0.5
    if abs(ahead) < _NOTABLE_SKEW:
        return "ok", f"within {_NOTABLE_SKEW} s of the API's"
    detail = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the API's; set it"
    return ("failed" if abs(ahead) >= _FATAL_SKEW else "note"), detail


def _credential() -> tuple[State, str]:
    from constellr_stac.errors import ForbiddenError
    from constellr_stac.orders import OrdersClient

    auth = _auth()
    kind, source = type(auth.credential).__name__, auth.credential.source
    with OrdersClient(auth) as client:
        try:
            client.products()
        except ForbiddenError:
            return "note", f"{kind} from {source} is accepted, but may not see the products"
    return "ok", f"{kind} from {source} is accepted"


def _storage() -> tuple[State, str]:
    from constellr_stac.config import storage_settings
    from constellr_stac.signing.aws import CredentialSource

    settings = storage_settings()
    where = f"{settings.endpoint or 'AWS'} in {settings.region}"
    try:
        found = CredentialSource().get()
    except SigningError as error:
        said = str(error).splitlines()[0].removesuffix(" Searched:")
        return "note", f"{where}; {said} (pre-signed hrefs need none)"
    ends = "" if found.expires_at is None else f", good until {found.expires_at:%H:%M:%S %Z}"
    return "ok", f"{where}; credentials from {found.source}{ends}"


def _asset() -> tuple[State, str]:
    from constellr_stac.layers.table import layer_of
    from constellr_stac.reading.asset_ref import asset_ref
    from constellr_stac.reading.http import Transfer
    from constellr_stac.reading.resolver import AssetResolver
    from constellr_stac.stac.client import open_client

    auth = _auth()
    item = next(open_client(auth=auth).search(max_items=1, limit=1).items(), None)
    if item is None:
        return "note", "the account sees no scenes, so none was read"
    layers = {key: layer_of(key, asset.href) for key, asset in item.assets.items()}
    data = [key for key, layer in layers.items() if layer is not None and layer.bands]
    key = next(iter([*data, *item.assets]))
    resolver = AssetResolver(auth)
    resolver.remember(item)
    read, size = Transfer(resolver, 1).get(asset_ref(item, key), 0, _HEAD)
    where = redact_url(item.assets[key].href)
    return "ok", f"{len(read):,} of {size:,} bytes of {where} were read"


def _auth() -> "ConstellrAuth":
    from constellr_stac.auth.requests_auth import ConstellrAuth

    return ConstellrAuth()


def _unauthenticated() -> "requests.Response":
    """Ask the API for something, without showing a credential."""
    import requests

    from constellr_stac.auth.transport import cause_of
    from constellr_stac.config import api_url

    url = f"{api_url()}/stac"
    with requests.Session() as session:
        try:
            return session.get(
                url,
                auth=lambda request: request,  # or .netrc would send one
                timeout=_PATIENCE,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise APIConnectionError(
                f"GET {url} was not answered ({cause_of(error)}). Check the network, and "
                "CONSTELLR_API_URL.",
                request_url=url,
            ) from error


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


_EXAMINATIONS: tuple[tuple[str, Callable[[], tuple[State, str]], bool], ...] = (
    ("versions", _versions, False),
    ("extras", _extras, False),
    ("API", _api, True),
    ("clock", _clock, False),
    ("credential", _credential, True),
    ("object store", _storage, False),
    ("asset", _asset, False),
)
"""What is looked at, how, and whether the rest cannot do without it."""
