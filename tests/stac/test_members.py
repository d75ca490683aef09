"""Items of a client never ask the API without its credential."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pystac
import pytest

import constellr_stac
from constellr_stac._local import catalog_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox
    from constellr_stac.stac.client import ConstellrClient

COLLECTION = "lstprecision"
SOURCES: dict[str, Callable[[ConstellrClient], pystac.Item]] = {
    "items": lambda client: next(iter(client.search(max_items=1).items())),
    "item_collection": lambda client: client.search(max_items=1).item_collection()[0],
    "pages": lambda client: next(iter(client.search(max_items=1).pages()))[0],
    "get_items": lambda client: next(iter(client.get_items())),
    "collection's items": lambda client: next(iter(collection(client).get_items())),
    "collections' items": lambda client: next(
        item for each in client.get_collections() for item in each.get_items()
    ),
    "get_item": lambda client: collection(client).get_item(SOURCES["items"](client).id),
}
COPIES: dict[str, Callable[[pystac.Item], pystac.Item]] = {
    "itself": lambda item: item,
    "clone": lambda item: item.clone(),
    "full_copy": lambda item: item.full_copy(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda item: pickle.loads(pickle.dumps(item)),  # noqa: S301 - its own pickle
}


def collection(client: ConstellrClient) -> Any:
    """Return the collection of the scenes."""
    return client.get_collection(COLLECTION)


def in_catalog(item: pystac.Item) -> pystac.Item:
    """Return a copy that belongs to another catalog."""
    catalog = pystac.Catalog("mine", "Mine.")
    catalog.add_item(item.clone())
    catalog.normalize_hrefs("/nowhere")
    return next(catalog.full_copy().get_items())


@pytest.mark.parametrize("source", SOURCES)
def test_links_are_followed_with_the_credential(sandbox: Sandbox, source: str) -> None:
    """Of an item from any method, and of each copy of it."""
    item = SOURCES[source](constellr_stac.open_client())
    for make in (*COPIES.values(), in_catalog):
        copied = make(item)
        found = copied.get_collection()
        assert found is not None
        assert found.to_dict()["id"] == found.id == COLLECTION
        assert next(iter(found.get_items())).to_dict()["collection"] == COLLECTION
        assert copied.to_dict()["id"] == item.id
    assert isinstance(item.get_root(), pystac.Catalog)
    assert not [each for each in sandbox.requests if (each.status or 500) >= 400]


def test_saved_item_is_written_again_without_a_request(sandbox: Sandbox, tmp_path: Path) -> None:
    """Also one that the API links to its root, read by pystac, or out of a search's dicts."""
    for each in sandbox.items:
        root = {"rel": "root", "href": f"{sandbox.api_url}/stac"}
        sandbox.add_item({**each, "links": [*each.get("links", []), root]})
    client = constellr_stac.open_client()
    search = client.search(max_items=2)
    search.item_collection().save_object(str(tmp_path / "items.json"))
    dicts = list(search.items_as_dicts())
    copied = json.loads(json.dumps(copy.deepcopy(search.item_collection()[0]).to_dict()))
    sandbox.clear_requests()
    for items in (
        pystac.ItemCollection.from_file(str(tmp_path / "items.json")),
        map(pystac.Item.from_dict, dicts),
        [pystac.Item.from_dict(copied)],
    ):
        for item in items:
            assert item.to_dict()["id"] == item.clone().id
    assert not sandbox.requests


def test_saved_item_follows_its_links_with_its_client_again(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Once pystac has read it and ``set_root`` has given it one."""
    client = constellr_stac.open_client()
    client.search(max_items=1).item_collection().save_object(str(tmp_path / "items.json"))
    [item] = pystac.ItemCollection.from_file(str(tmp_path / "items.json"))
    item.set_root(client)
    found = item.get_collection()
    assert found is not None
    assert found.id == COLLECTION
    assert next(iter(found.get_items())).to_dict()["collection"] == COLLECTION
    assert not [each for each in sandbox.requests if (each.status or 500) >= 400]


def test_item_without_its_own_link_keeps_its_root(sandbox: Sandbox) -> None:
    """It says that the item is from a server, and so may not name local files."""
    item = next(constellr_stac.open_client().search(max_items=1).items())
    item.remove_links("self")
    assert catalog_of(item.to_dict()) == sandbox.api_url


def test_pickled_item_is_small(sandbox: Sandbox) -> None:
    """It takes its client along, but none of the other items that the client found."""
    found = constellr_stac.open_client().search().item_collection()
    assert len(pickle.dumps(found[0])) < 2 * len(json.dumps(found[0].to_dict())) + 3000
