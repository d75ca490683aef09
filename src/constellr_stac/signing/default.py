"""Sign with the default credentials, without a :class:`~.signer.Signer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from constellr_stac._process import STATE
from constellr_stac.config import storage_settings

from .signer import Signer

if TYPE_CHECKING:
    import pystac
    from pystac_client import ItemSearch

__all__ = ["sign", "sign_inplace"]

T = TypeVar("T")


@overload
def sign(
    obj: ItemSearch, *, copy: bool = True, local_files: bool = False
) -> pystac.ItemCollection: ...
@overload
def sign(obj: T, *, copy: bool = True, local_files: bool = False) -> T: ...
def sign(obj: Any, *, copy: bool = True, local_files: bool = False) -> Any:
    """Sign every ``s3://`` href in ``obj`` for one hour, with the default AWS credentials.

    Args:
        obj: An href, Asset, Item, ItemCollection, Collection, ItemSearch, STAC dict, or a list or
            tuple of these; see :meth:`Signer.sign`.

    Keyword Args:
        copy: Whether to sign a copy and leave ``obj`` unchanged.
        local_files: Whether items that came from a server may name files of this machine.

    Returns:
        The signed object, of the type of ``obj``; an ItemCollection for an ItemSearch.

    Raises:
        SigningError: There are no AWS credentials (the message lists the places searched), an
            ``s3://`` href names no object, or an item that came from a server names a local file.
            Nothing is signed then.
        TypeError: An object of this type has no hrefs.

    Example:
        >>> sign("https://example.com/thumbnail.png")
        'https://example.com/thumbnail.png'
    """
    settings = storage_settings()  # read each time, since AWS_PROFILE may change
    signer = STATE.shared(
        "signer", settings, lambda: Signer(region=settings.region, endpoint=settings.endpoint)
    )
    return signer.sign(obj, copy=copy, local_files=local_files)


def sign_inplace(obj: Any) -> Any:  # Any, since modifier= is declared to return None
    """Sign every ``s3://`` href in ``obj`` in place, as pystac-client's ``modifier=``.

    Args:
        obj: As for :func:`sign`. For an href, use the return value.

    Returns:
        ``obj`` itself; for an href the signed URL.

    Raises:
        SigningError: As for :func:`sign`.
        TypeError: As for :func:`sign`.
    """
    return sign(obj, copy=False)
