"""Constellr's land surface temperature scenes in the tools you already use.

The public names, and where each one lives. A name's module is imported when the name is first
used, so ``import constellr_stac`` costs next to nothing. There may be no other code here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import (
    APIConnectionError,
    APIError,
    AssetReadError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConstellrError,
    CredentialsNotFoundError,
    DownloadError,
    ForbiddenError,
    InsecureURLError,
    MissingExtraError,
    NotFoundError,
    OrderOutcomeUnknown,
    OrderValidationError,
    RateLimitError,
    ServerError,
    SigningError,
    ValidationError,
    WorkerError,
)

if TYPE_CHECKING:
    from . import orders, plot, sandbox
    from .auth import ConstellrAuth, make_request_modifier, request_modifier
    from .client import open_client
    from .cluster import check_workers, share_credentials
    from .completion import describe
    from .credentials import ApiKey, Password, Token, default_credential
    from .cube import load
    from .deliveries import follow, load_order, search_order
    from .downloads import download
    from .explanation import explain
    from .lasting import stable
    from .odc import OdcDriver
    from .signing import Signer, sign, sign_inplace
    from .stackstac import StackstacReader

    __version__: str

__all__ = [
    "APIConnectionError",
    "APIError",
    "ApiKey",
    "AssetReadError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConstellrAuth",
    "ConstellrError",
    "CredentialsNotFoundError",
    "DownloadError",
    "ForbiddenError",
    "InsecureURLError",
    "MissingExtraError",
    "NotFoundError",
    "OdcDriver",
    "OrderOutcomeUnknown",
    "OrderValidationError",
    "Password",
    "RateLimitError",
    "ServerError",
    "Signer",
    "SigningError",
    "StackstacReader",
    "Token",
    "ValidationError",
    "WorkerError",
    "check_workers",
    "default_credential",
    "describe",
    "download",
    "errors",
    "explain",
    "follow",
    "load",
    "load_order",
    "make_request_modifier",
    "open_client",
    "orders",
    "plot",
    "request_modifier",
    "sandbox",
    "search_order",
    "share_credentials",
    "sign",
    "sign_inplace",
    "stable",
]

_MODULES = ("orders", "plot", "sandbox")
"""Modules that are public as they are."""

_NAMES = {
    "auth": ("ConstellrAuth", "make_request_modifier", "request_modifier"),
    "client": ("open_client",),
    "cluster": ("check_workers", "share_credentials"),
    "credentials": ("ApiKey", "Password", "Token", "default_credential"),
    "cube": ("load",),
    "deliveries": ("follow", "load_order", "search_order"),
    "downloads": ("download",),
    "explanation": ("explain",),
    "lasting": ("stable",),
    "odc": ("OdcDriver",),
    "completion": ("describe",),
    "signing": ("Signer", "sign", "sign_inplace"),
    "stackstac": ("StackstacReader",),
}
"""Module to the public names that live there."""

_HOME = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """Import a public name's module when the name is first used (PEP 562)."""
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("constellr-stac")
        elif name in _HOME:
            if name in ("load", "load_order"):
                import_module(".accessor", __name__)  # what is loaded has cube.constellr
            value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        else:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
