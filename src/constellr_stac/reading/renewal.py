"""Renewal of signed URLs: items are fetched again, many in one search.

On a dask worker the client is asked first, which collects what all workers want. Otherwise, what
the threads of a process want at the same time is one search with a CQL2 filter on ``id``; what it
does not bring is fetched one item after another.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from constellr_stac._process import STATE
from constellr_stac.auth.session import api_session
from constellr_stac.auth.transport import checked, connection_errors
from constellr_stac.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConstellrError,
)
from constellr_stac.signing.s3_url import signature_expiry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    import requests

    from constellr_stac._pushed import PushedItems
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits

__all__ = ["MOST_ITEMS", "Batches", "ItemName", "ItemRenewer", "SignedItem"]

T = TypeVar("T")

ItemName: TypeAlias = tuple[str, str]
"""The ids of an item's collection and of the item."""

MOST_ITEMS = 100
"""Maximum number of items of one search."""

_NOT_SUPPORTED = (400, 404, 405, 415, 422, 501)  # what a search with a filter is refused with
_GATHER = 0.01  # seconds to wait for other threads that want an item
_GATHER_MORE = 0.25  # the same, while searches are under way


@dataclass(frozen=True)
class SignedItem:
    """The hrefs of an item's assets, valid until the first signature expires."""

    urls: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None

    @classmethod
    def of(cls, urls: Mapping[str, str]) -> SignedItem:
        """Return the item with these hrefs by asset."""
        ends = [end for url in urls.values() if (end := signature_expiry(url)) is not None]
        return cls(urls, min(ends, default=None))

    @classmethod
    def of_answer(cls, item: Any) -> SignedItem:
        """Return an item as the API sent it.

        Raises:
            KeyError, TypeError, AttributeError, ValueError: It is not a STAC item.
        """
        return cls.of({key: asset["href"] for key, asset in item["assets"].items()})

    def outlives(self, other: SignedItem) -> bool:
        """Return whether this item expires later; true if unknown."""
        if self.expires_at is None or other.expires_at is None:
            return True
        return self.expires_at > other.expires_at


_NOT_AN_ITEM = (ValueError, RecursionError, KeyError, TypeError, AttributeError)


def _item_of(answer: requests.Response, name: ItemName) -> SignedItem | None:
    """Return the item of a response; ``None`` if it is not a STAC item, or another one."""
    with contextlib.suppress(*_NOT_AN_ITEM):
        item = answer.json()
        if (item.get("collection") or name[0], item["id"]) == name:
            return SignedItem.of_answer(item)
    return None


class ItemRenewer:
    """Fetches items for their new URLs; thread-safe.

    Args:
        auth: Authenticates the requests.
        limits: Bounds on waiting and sizes.
    """

    def __init__(self, auth: ConstellrAuth, limits: Limits) -> None:
        self._auth = auth
        self._limits = limits
        self._can_search = True
        self._wanted: Batches[tuple[ItemName, Future[SignedItem | None]]] = Batches(self._renew)

    def get(self, name: ItemName) -> SignedItem:
        """Return an item; other threads' items come with the same search.

        Raises:
            APIError: An error response, or not an item.
            APIConnectionError: The API did not answer.
        """
        if self._can_search or self._client is not None:
            found: Future[SignedItem | None] = Future()
            self._wanted.add([(name, found)])
            if (item := found.result()) is not None:
                return item
        return self.one(name)

    def all_of(self, names: Iterable[ItemName]) -> dict[ItemName, Mapping[str, str]]:
        """Return the hrefs of items by asset; none for an item that cannot be fetched."""
        urls: dict[ItemName, Mapping[str, str]] = {name: {} for name in names}
        with contextlib.suppress(ConstellrError):
            urls |= {name: item.urls for name, item in self.search(urls).items()}
            for name in [name for name, found in urls.items() if not found]:
                with contextlib.suppress(APIError):
                    urls[name] = self.one(name).urls
        return urls

    def one(self, name: ItemName) -> SignedItem:
        """Fetch one item from the API.

        Raises:
            APIError: An error response, or not an item.
            APIConnectionError: The API did not answer.
        """
        collection, item = (quote(part, safe="") for part in name)
        url = f"{self._auth.base_url}/stac/collections/{collection}/items/{item}"
        lost = f"; the URLs of item {name[1]!r} were not renewed"
        if (client := self._client) is not None and client.trouble:
            lost += f"; {' '.join(client.trouble)}"
        with connection_errors("GET", url, lost):
            answer = self._session.get(url)
        status = checked(answer).status_code
        signed = _item_of(answer, name)
        del answer  # tools show the variables of a traceback
        if signed is None:
            raise APIError(
                f"GET {url} did not return this STAC item. Is this the API's URL?",
                status_code=status,
                request_url=url,
            )
        return signed

    def search(self, names: Iterable[ItemName]) -> dict[ItemName, SignedItem]:
        """Return those items that a search for all of them brings; none for a single one.

        Raises:
            AuthenticationError: The credential was refused.
            APIConnectionError: The API did not answer.
        """
        found: dict[ItemName, SignedItem] = {}
        missing: dict[str, list[str]] = {}
        for collection, item in names:
            missing.setdefault(collection, []).append(item)
        for collection, ids in missing.items():
            while self._can_search and len(ids) > 1:
                brought = self._search(collection, ids)
                found |= {(collection, item): signed for item, signed in brought.items()}
                ids = [item for item in ids if item not in brought]  # noqa: PLW2901 - the rest
                if not brought:
                    break  # a page can be shorter than asked for, but not empty
        return found

    def _search(self, collection: str, ids: list[str]) -> dict[str, SignedItem]:
        url = f"{self._auth.base_url}/stac/search"
        query = {
            "collections": [collection],
            "filter-lang": "cql2-json",
            # Not "in": only basic CQL2 is documented.
            "filter": {
                "op": "or",
                "args": [{"op": "=", "args": [{"property": "id"}, item]} for item in ids],
            },
            "limit": len(ids),
        }
        try:
            with connection_errors("POST", url, "; URLs were not renewed"):
                features = checked(self._session.post(url, json=query)).json()["features"]
            brought: dict[str, SignedItem] = {}
            for feature in features:
                with contextlib.suppress(*_NOT_AN_ITEM):
                    if feature["collection"] == collection:
                        brought[feature["id"]] = SignedItem.of_answer(feature)
        except (AuthenticationError, APIConnectionError):
            raise
        except (ConstellrError, *_NOT_AN_ITEM) as error:
            brought = {}
            if isinstance(error, APIError) and error.status_code in _NOT_SUPPORTED:
                self._can_search = False  # other failures may pass
        asked = set(ids)
        self._can_search = self._can_search and brought.keys() <= asked  # else without the filter
        return {item: signed for item, signed in brought.items() if item in asked}

    def _renew(
        self, wanted: list[tuple[ItemName, Future[SignedItem | None]]], failure: Exception | None
    ) -> None:
        names = [] if failure else list(dict.fromkeys(name for name, _ in wanted))
        found: dict[ItemName, SignedItem] = {}
        try:
            if names and (client := self._client) is not None:
                found = {name: SignedItem.of(urls) for name, urls in client.get(names).items()}
            found |= self.search(name for name in names if name not in found)
        except Exception as error:  # noqa: BLE001 - those who wait get it
            failure = error
        for name, future in wanted:
            if name in found or failure is None:
                future.set_result(found.get(name))
            else:
                future.set_exception(failure)

    @property
    def _client(self) -> PushedItems | None:
        """The dask client that renews URLs for this process, if any."""
        client: PushedItems | None
        client = STATE.pushed(("items", self._auth.base_url), self._auth.owner)
        return client

    @functools.cached_property
    def _session(self) -> requests.Session:
        search = f"{self._auth.base_url}/stac/search"
        return api_session(self._auth, retry_posts_to=[search], limits=self._limits)


class Batches(Generic[T]):
    """Handles together what was added at about the same time, in threads of its own.

    Args:
        handle: Handles a batch; must not raise. With an error no thread could be started for it;
            then it must not block either.
        most: Maximum size of a batch.
        threads: Maximum number of batches under way.
    """

    def __init__(
        self,
        handle: Callable[[list[T], Exception | None], None],
        *,
        most: int = MOST_ITEMS,
        threads: int = 8,
    ) -> None:
        self._handle = handle
        self._most = most
        self._threads = threads
        self._news = threading.Condition()
        self._added: list[T] = []
        self._gathering = False
        self._under_way = 0

    def add(self, parts: Iterable[T]) -> None:
        """Add parts; does not block."""
        with self._news:
            self._added += parts
            self._start()

    def _start(self) -> None:
        """Start a thread, if one is needed; with the lock held."""
        self._news.notify_all()
        if self._added and not self._gathering and self._under_way < self._threads:
            self._gathering = True
            try:
                threading.Thread(target=self._run, daemon=True).start()
            except Exception as error:  # noqa: BLE001 - those who wait get it
                self._gathering = False
                lost, self._added = self._added, []
                self._handle(lost, error)

    def _run(self) -> None:
        began = time.monotonic()
        with self._news:
            while len(self._added) < self._most:
                longest = _GATHER_MORE if self._under_way else _GATHER
                if (left := began + longest - time.monotonic()) <= 0:
                    break
                self._news.wait(left)
            batch, self._added = self._added[: self._most], self._added[self._most :]
            self._gathering = False
            self._under_way += 1
            self._start()
        try:
            self._handle(batch, None)
        finally:
            with self._news:
                self._under_way -= 1
                self._start()
