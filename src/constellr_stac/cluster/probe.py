"""What :func:`check_workers` runs on a worker."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from constellr_stac._text import redact
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import APIConnectionError, AssetReadError, ConstellrError
from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.prefetch import shared_fetcher
from constellr_stac.signing.s3_url import is_s3

if TYPE_CHECKING:
    from constellr_stac.reading.resolver import AssetResolver

__all__ = ["probe", "version_of", "versions"]

_HEAD_BYTES = 1024
_ROUTES = {
    "API": " Without a route to the API, workers read through share_credentials(client).",
    "store": " Workers read the object store themselves: allow connections to it.",
}


def probe(resolver: AssetResolver, reference: str | None, *, authenticate: bool) -> dict[str, Any]:
    """Run the check on a worker.

    Returns plain values, since the client may have another version of this package.
    """
    from distributed import get_worker

    row: dict[str, Any] = {"worker": get_worker().address, **versions()}
    start, half = time.monotonic(), "API"
    try:
        if reference is None:
            if authenticate:
                row["credential"] = resolver.auth.credential.source
                _authenticate(resolver)
        else:
            asset = AssetRef.parse(reference)
            if asset.renewable:
                row["credential"] = resolver.auth.credential.source
                resolver.url(asset)
            half = "store"
            if is_s3(asset.href):
                row["credential"] = resolver.signer.credentials.get().source
            row["read"] = len(shared_fetcher(resolver).header(asset, _HEAD_BYTES).head)
    except ConstellrError as error:
        unreachable = getattr(error, "status_code", None) is None
        advice = _ROUTES[half] * (
            unreachable and isinstance(error, APIConnectionError | AssetReadError)
        )
        row["problem"] = redact(f"{half}: {type(error).__name__}: {error}{advice}")
    row["seconds"] = time.monotonic() - start
    return row


def _authenticate(resolver: AssetResolver) -> None:
    """Fetch the API's landing page, which requires a valid credential."""
    auth = resolver.auth
    url = f"{auth.base_url}/stac"
    with api_session(auth, limits=resolver.limits) as session, connection_errors("GET", url):
        checked(session.get(url))


def versions() -> dict[str, str | None]:
    """Return the versions of this package and of rasterio's GDAL; ``None`` without them."""
    return {"constellr_stac": version_of("constellr-stac"), "gdal": _gdal()}


def version_of(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gdal() -> str | None:
    try:
        import rasterio
    except ImportError:
        return None
    return str(rasterio.__gdal_version__)
