"""Authentication (401) and permissions (403) of every endpoint except ``/token``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from constellr_stac.sandbox.options import BUCKET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from constellr_stac.sandbox.accounts import Accounts
    from constellr_stac.sandbox.catalog import Catalogue
    from constellr_stac.sandbox.options import Clock, Options
    from constellr_stac.sandbox.order_store import OrderStore

    Endpoint = Callable[[Request], Awaitable[Response]]
    Endpoints = list[tuple[str, str, Endpoint]]  # methods, paths and endpoints

__all__ = ["Endpoint", "Endpoints", "Services", "guarded"]


@dataclass(frozen=True)
class Services:
    """State shared by the API's endpoints."""

    options: Options
    clock: Clock
    accounts: Accounts
    catalogue: Catalogue
    order_store: OrderStore
    presign: Callable[[str], str]
    """Signs an ``s3://`` href."""

    def served(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the item as served; with ``presigned``, hrefs in the bucket are signed."""
        if not self.options.presigned:
            return item
        assets = {
            name: {**asset, "href": self.presign(asset["href"])}
            if asset["href"].startswith(f"s3://{BUCKET}/")
            else asset
            for name, asset in item.get("assets", {}).items()
        }
        return {**item, "assets": assets}


def guarded(services: Services, permission: str, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint behind authentication (else 401) and permission (else 403)."""

    async def wrapped(request: Request) -> Response:
        headers = request.headers
        account = services.accounts.authenticate(
            headers.get("authorization"), headers.get("x-api-key")
        )
        if permission not in account.permissions:
            raise HTTPException(403, f"User is not authorized to access {permission}")
        services.order_store.deliver()
        return await endpoint(request)

    return wrapped
