"""The dask client: whether it is one that can be waited with."""

from __future__ import annotations

from typing import Any

__all__ = ["checked_client"]


def checked_client(client: Any, function: str) -> Any:
    """Return ``client`` if it is one whose answers can be waited for here.

    Its type is ``Any``, since distributed states the types of a part of its methods.

    Args:
        client: What the user gave.
        function: Which function of this package it was given to, for the message.

    Raises:
        TypeError: It is no client, or this is its event loop.
    """
    from distributed import Client

    if not isinstance(client, Client):
        msg = f"Give a distributed.Client, not a {type(client).__name__}."
        raise TypeError(msg)
    if client.asynchronous:
        msg = (
            "This waits for the cluster, and so would stop the event loop that it is called "
            f"from: use `await asyncio.to_thread(constellr_stac.{function}, client, ...)`."
        )
        raise TypeError(msg)
    return client
