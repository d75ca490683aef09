"""What both functions of this package take: a dask client, and whose credential it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from constellr_stac.auth.requests_auth import ConstellrAuth

if TYPE_CHECKING:
    from constellr_stac.auth.credentials import Credential

__all__ = ["as_auth", "checked_client"]


def as_auth(auth: ConstellrAuth | Credential | Literal[False] | None) -> ConstellrAuth:
    """Return ``auth`` as an auth object; where there is none, one with a credential found here."""
    if isinstance(auth, ConstellrAuth):
        return auth
    return ConstellrAuth(auth or None)


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
            f"{function} waits for the cluster, and so would stop the event loop that it is "
            f"called from: use `await asyncio.to_thread({function}, ...)`."
        )
        raise TypeError(msg)
    return client
