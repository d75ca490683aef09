"""Validation of the dask client."""

from __future__ import annotations

from typing import Any

from constellr_stac.errors import MissingExtraError

__all__ = ["checked_client"]


def checked_client(client: Any, function: str) -> Any:
    """Return ``client`` if it is a synchronous dask client.

    Typed ``Any``, since distributed annotates only some of its methods.

    Raises:
        TypeError: It is not a client, or it is asynchronous.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(function, "cluster") from error
    if not isinstance(client, Client):
        raise TypeError(f"{function} takes a distributed.Client, not a {type(client).__name__}.")
    if client.asynchronous:
        raise TypeError(
            f"{function} would block the event loop it is called from: use "
            f"`await asyncio.to_thread({function}, ...)`."
        )
    return client
