"""Constellr's land surface temperature scenes in the tools you already use.

Each public name is imported from its module when it is first used, so ``import constellr_stac``
loads nothing but this module.
"""

from __future__ import annotations

from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from . import orders as orders
    from . import plot as plot
    from . import sandbox as sandbox
    from .analysis.scene_table import scenes as scenes
    from .auth.credentials import ApiKey as ApiKey
    from .auth.credentials import Password as Password
    from .auth.credentials import Token as Token
    from .auth.find_credential import default_credential as default_credential
    from .auth.modifiers import make_request_modifier as make_request_modifier
    from .auth.modifiers import request_modifier as request_modifier
    from .auth.requests_auth import ConstellrAuth as ConstellrAuth
    from .cluster import check_workers as check_workers
    from .cluster import share_credentials as share_credentials
    from .cube.explain import explain as explain
    from .cube.load import load as load
    from .cube.reopen import open_cube as open_cube
    from .delivery import follow as follow
    from .delivery import load_order as load_order
    from .delivery import search_order as search_order
    from .downloads import download as download
    from .errors import APIConnectionError as APIConnectionError
    from .errors import APIError as APIError
    from .errors import AssetReadError as AssetReadError
    from .errors import AuthenticationError as AuthenticationError
    from .errors import BadRequestError as BadRequestError
    from .errors import ConflictError as ConflictError
    from .errors import ConstellrError as ConstellrError
    from .errors import CredentialsNotFoundError as CredentialsNotFoundError
    from .errors import DownloadError as DownloadError
    from .errors import ForbiddenError as ForbiddenError
    from .errors import InsecureURLError as InsecureURLError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import NotFoundError as NotFoundError
    from .errors import OrderOutcomeUnknown as OrderOutcomeUnknown
    from .errors import OrderValidationError as OrderValidationError
    from .errors import RateLimitError as RateLimitError
    from .errors import ServerError as ServerError
    from .errors import SigningError as SigningError
    from .errors import ValidationError as ValidationError
    from .errors import WorkerError as WorkerError
    from .limits import Limits as Limits
    from .reading.describe_items import describe as describe
    from .reading.odc import OdcDriver as OdcDriver
    from .reading.stackstac import StackstacReader as StackstacReader
    from .reading.unsigned import stable as stable
    from .signing.default import sign as sign
    from .signing.default import sign_inplace as sign_inplace
    from .signing.signer import Signer as Signer
    from .stac.client import open_client as open_client

    __version__: str

_MODULES = ("errors", "orders", "plot", "sandbox")
"""Public modules, imported on first use like the names."""

_NAMES = {
    "analysis.scene_table": ("scenes",),
    "auth.credentials": ("ApiKey", "Password", "Token"),
    "auth.find_credential": ("default_credential",),
    "auth.modifiers": ("make_request_modifier", "request_modifier"),
    "auth.requests_auth": ("ConstellrAuth",),
    "cluster": ("check_workers", "share_credentials"),
    "cube.explain": ("explain",),
    "cube.reopen": ("open_cube",),
    "cube.load": ("load",),
    "delivery": ("follow", "load_order", "search_order"),
    "downloads": ("download",),
    "errors": (
        "APIConnectionError",
        "APIError",
        "AssetReadError",
        "AuthenticationError",
        "BadRequestError",
        "ConflictError",
        "ConstellrError",
        "CredentialsNotFoundError",
        "DownloadError",
        "ForbiddenError",
        "InsecureURLError",
        "MissingExtraError",
        "NotFoundError",
        "OrderOutcomeUnknown",
        "OrderValidationError",
        "RateLimitError",
        "ServerError",
        "SigningError",
        "ValidationError",
        "WorkerError",
    ),
    "limits": ("Limits",),
    "reading.describe_items": ("describe",),
    "reading.odc": ("OdcDriver",),
    "reading.stackstac": ("StackstacReader",),
    "reading.unsigned": ("stable",),
    "signing.default": ("sign", "sign_inplace"),
    "signing.signer": ("Signer",),
    "stac.client": ("open_client",),
}
"""The public names by module; the imports above tell a type checker the same."""

_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted({*_HOME, *_MODULES})  # noqa: PLE0605 - read by a test

_ONE_IMPORT = RLock()
"""Held while importing: threads that import two modules of one package (here odc.geo) at once
can be given a module that is only half there."""


if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import a public name's module on first use (PEP 562)."""
        if name not in __all__ and name != "__version__":
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        with _ONE_IMPORT:
            return _import(name)

    def _import(name: str) -> Any:
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("constellr-stac")
        else:
            if name in ("load", "load_order", "open_cube"):
                import_module(".accessor", __name__)  # registers cube.constellr
            value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
