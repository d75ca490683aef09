"""The check of the dask client that both functions take."""

from __future__ import annotations

from typing import Any

from constellr_stac.errors import MissingExtraError

__all__ = ["checked_client"]


def checked_client(client: Any, function: str) -> Any:
    """Return ``client`` if it is a client that this thread can wait for.

    Typed ``Any``, since distributed annotates only some of its methods.

    Args:
        client: What the user gave.
        function: Which function of this package it was given to, for the message.

    Raises:
        TypeError: It is no client, or this is its event loop.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(function, "cluster") from error
    if not isinstance(client, Client):
        msg = f"Give a distributed.Client, not a {type(client).__name__}."
        raise TypeError(msg)
    if client.asynchronous:
        msg = (
            f"{function} waits for the cluster, and so would stop the event loop that it is "
            f"called from: use `await asyncio.to_thread({function}, ...)`."
        )
        raise TypeError(msg)
    return client
