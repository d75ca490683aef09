"""``constellr doctor``: checks of the setup."""

import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urljoin, urlsplit

from typer import Argument, Exit, Typer

from constellr_stac._text import redact_url
from constellr_stac.config import api_url, storage_settings
from constellr_stac.errors import ConstellrError, ForbiddenError, SigningError
from constellr_stac.limits import Limits

from .command import command
from .errors import AUTHENTICATION_ERRORS, FAILED, UNAUTHENTICATED
from .statements import show_statements
from .terminal import Terminal

if TYPE_CHECKING:
    import requests

    from constellr_stac.reading.asset_ref import AssetRef
    from constellr_stac.reading.resolver import AssetResolver

__all__ = ["commands"]

commands = Typer()

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
_NOTABLE_SKEW, _FATAL_SKEW = 30, 900  # seconds; S3 refuses a skew of 15 minutes
_UNAUTHENTICATED_STATUSES = (401, 403)
_BYTES = 1024
_TIMEOUT, _PATIENCE = 15, 5  # seconds

State = Literal["ok", "note", "failed"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    what: str
    state: State
    detail: str


@command(commands, "constellr doctor", "constellr doctor item.json", "constellr doctor lst.tiff")
def doctor(
    terminal: Terminal,
    source: Annotated[
        str | None,
        Argument(metavar="ITEMS", help="File of items, or a GeoTIFF.", show_default=False),
    ] = None,
) -> None:
    """Check network, API, credentials, clock and object store.

    With items or a file: show what the documents, the item and the file state about values, and
    which of these is used. Nothing is changed or ordered. The exit code is 0 if every check passes.
    """
    if source is not None:
        raise Exit(0 if show_statements(terminal, source) else FAILED)
    results: list[CheckResult] = []
    code = 0
    for name, check, required in _CHECKS:
        try:
            with terminal.working(f"Checking: {name}"):
                result = CheckResult(name, *check())
        except (ConstellrError, OSError) as error:
            result = CheckResult(name, "failed", str(error))
            refused = isinstance(error, AUTHENTICATION_ERRORS)
            code = UNAUTHENTICATED if refused else code or FAILED
        results.append(result)
        if not terminal.as_json:
            terminal.facts(None, [(f"{result.state:<6}  {name:<12}", result.detail)])
        if result.state == "failed":
            code = code or FAILED
            if required:
                break
    if terminal.as_json:
        terminal.json([asdict(result) for result in results])
    raise Exit(code)


def _versions() -> tuple[State, str]:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    own = importlib.metadata.version("constellr-stac")
    python = f"Python {platform.python_version()} on {platform.system()}"
    return "ok", f"constellr-stac {own}, {python}, {', '.join(versions)}"


def _extras() -> tuple[State, str]:
    missing = [extra for extra, package in _EXTRAS.items() if find_spec(package) is None]
    if not missing:
        return "ok", "all installed"
    return "note", f"not installed: {', '.join(missing)} (pip install 'constellr-stac[all]')"


def _api() -> tuple[State, str]:
    start = time.monotonic()
    answer = _get_unauthenticated(_api_page())
    seconds = time.monotonic() - start
    text = f"{answer.url} answers {answer.status_code} in {seconds:.2f} s (without a credential)"
    if answer.ok or answer.status_code in _UNAUTHENTICATED_STATUSES:
        return "ok", text
    return "failed", f"{text}; check CONSTELLR_API_URL, or try again later"


def _network() -> tuple[State, str]:
    from constellr_stac.auth.trust import proxy_of, trusted
    from constellr_stac.signing.s3_url import base_url

    store = base_url("bucket", storage_settings())
    proxies = {"the API": proxy_of(api_url()), "the object store": proxy_of(store)}
    through = ", ".join(f"{proxy or 'no proxy'} for {name}" for name, proxy in proxies.items())
    return "ok", f"trusted certificates: {trusted()}; {through}"


def _clock() -> tuple[State, str]:
    return _skew(_get_unauthenticated(_api_page()), "the API")


def _skew(answer: "requests.Response", whose: str) -> tuple[State, str]:
    date = answer.headers.get("Date")
    if date is None:
        return "note", f"{whose} sends no Date header"
    # The header is truncated to whole seconds: on average half a second late.
    ahead = time.time() - parsedate_to_datetime(date).timestamp() - 0.5
    if abs(ahead) < _NOTABLE_SKEW:
        return "ok", f"within {_NOTABLE_SKEW} s of the clock of {whose}"
    side = "ahead of" if ahead > 0 else "behind"
    detail = f"{abs(ahead):.0f} s {side} the clock of {whose}; set it"
    return ("failed" if abs(ahead) >= _FATAL_SKEW else "note"), detail


def _credential() -> tuple[State, str]:
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.orders import OrdersClient

    auth = ConstellrAuth()
    kind, source = type(auth.credential).__name__, auth.credential.source
    with OrdersClient(auth, limits=_limits()) as client:
        try:
            client.products()
        except ForbiddenError:
            return "note", f"{kind} from {source} is accepted, but may not list products"
    return "ok", f"{kind} from {source} is accepted"


def _storage() -> tuple[State, str]:
    from constellr_stac.signing.aws import CredentialSource

    settings = storage_settings()
    where = f"{settings.endpoint or 'AWS'} in {settings.region}"
    try:
        found = CredentialSource().get()
    except SigningError as error:
        text = str(error).splitlines()[0].removesuffix(" Searched:")
        return "note", f"{where}; {text} (not needed for pre-signed hrefs)"
    expiry = "" if found.expires_at is None else f", valid until {found.expires_at:%H:%M:%S %Z}"
    return "ok", f"{where}; credentials from {found.source}{expiry}"


def _bucket() -> tuple[State, str]:
    from constellr_stac.signing.s3_url import ObjectAddress, base_url, is_s3, signed_region

    sample = _sample()
    if sample is None:
        return "note", "the account has no scenes"
    resolver, reference = sample
    url = resolver.url(reference)
    if not url.startswith("http"):
        return "note", f"{redact_url(url)} is not in an object store"
    bucket = urljoin(url, "/")
    if is_s3(reference.href):
        address = ObjectAddress.of(reference.href)
        bucket = base_url(address.bucket, resolver.signer.settings)
    answer = _get_unauthenticated(bucket)
    state, clock = _skew(answer, "the store")
    region, signed = answer.headers.get("x-amz-bucket-region"), signed_region(url)
    said = f"answers from {region}" if region else "does not state its region"
    if region and signed and region != signed:
        said += f", while its URLs are signed for {signed}; set AWS_REGION={region}"
        state = "note" if state == "ok" else state
    return state, f"{urlsplit(url).hostname} {said}; this machine is {clock}"


def _asset() -> tuple[State, str]:
    from constellr_stac.reading.http import Transfer

    sample = _sample()
    if sample is None:
        return "note", "the account has no scenes to read"
    resolver, reference = sample
    start = time.monotonic()
    read, size = Transfer(resolver, 1).get(reference, 0, _BYTES)
    seconds = time.monotonic() - start
    where = redact_url(reference.href)
    return "ok", f"{len(read):,} of {size:,} bytes of {where} read in {seconds:.2f} s"


def _sample() -> "tuple[AssetResolver, AssetRef] | None":
    """Return one asset of the account, if it has any."""
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.table import layer_of
    from constellr_stac.reading.asset_ref import asset_ref
    from constellr_stac.reading.resolver import AssetResolver
    from constellr_stac.stac.client import open_client

    auth, limits = ConstellrAuth(), _limits()
    found = open_client(auth=auth, limits=limits).search(max_items=1, limit=1)
    item = next(found.items(), None)
    if item is None:
        return None
    layers = {key: layer_of(key, asset.href) for key, asset in item.assets.items()}
    data = [key for key, layer in layers.items() if layer is not None and layer.bands]
    resolver = AssetResolver(auth, limits=limits)
    resolver.remember(item)
    return resolver, asset_ref(item, next(iter([*data, *item.assets])))


def _limits() -> Limits:
    return Limits(retry_deadline=_PATIENCE, read_timeout=_TIMEOUT)


def _api_page() -> str:
    return f"{api_url()}/stac"


def _get_unauthenticated(url: str) -> "requests.Response":
    """Send a GET without a credential."""
    from constellr_stac.auth.retry import RetryingSession
    from constellr_stac.auth.transport import connection_errors

    with RetryingSession(_limits()) as session, connection_errors("GET", url):
        # The auth keeps .netrc out.
        return session.get(url, auth=lambda request: request, allow_redirects=False)


_CHECKS: tuple[tuple[str, Callable[[], tuple[State, str]], bool], ...] = (
    ("versions", _versions, False),
    ("extras", _extras, False),
    ("network", _network, False),
    ("API", _api, True),
    ("clock", _clock, False),
    ("credential", _credential, True),
    ("object store", _storage, False),
    ("bucket", _bucket, False),
    ("asset", _asset, False),
)
"""Name, function, and whether a failure stops the remaining checks."""
