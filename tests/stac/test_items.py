"""Items out of whatever holds some: every function accepts the same forms."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pystac
import pystac_client
import pytest

import constellr_stac
from constellr_stac.cube.arguments import CubeArguments, LoadArguments
from constellr_stac.stac.items import items_of
from real_scenes import found

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox


FORMS: dict[str, Callable[[pystac.ItemCollection], Any]] = {
    "ItemCollection": lambda items: items,
    "its dict": lambda items: items.to_dict(transform_hrefs=False),
    "list": list,
    "tuple": tuple,
    "generator": lambda items: (item for item in items),
    "list of dicts": lambda items: [item.to_dict(transform_hrefs=False) for item in items],
    "list of ItemCollections": lambda items: [
        pystac.ItemCollection(list(items)[:2]),
        pystac.ItemCollection(list(items)[2:]),
    ],
    "nested": lambda items: [[items[0]], (item for item in list(items)[1:])],
}
"""Each form holds the same items."""

NO_ITEMS: list[Any] = [
    "items.json",
    b"x",
    1,
    None,
    ["x"],
    {},
    {"type": "Catalog"},
    {"type": "Collection", "id": "x"},
    pystac.Asset("s3://b/k"),
]


def collection(sandbox: Sandbox) -> pystac.ItemCollection:
    """Return the sandbox's scenes as an ItemCollection."""
    return pystac.ItemCollection(found(sandbox)[:3])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", ["load", "describe", "sign", "download"])
def test_functions_accept_the_same_forms(
    function: str, form: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """load, describe, sign and download give the same for every form."""
    items = FORMS[form](collection(sandbox))
    if function == "load":
        cube = constellr_stac.load(items, ["lst"])
        assert cube.sizes["time"] == 3
    elif function == "describe":
        assert len(items_of(constellr_stac.describe(items).items)) == 3
    elif function == "sign":
        hrefs = [item.assets["lst"].href for item in items_of(constellr_stac.sign(items))]
        assert ["X-Amz-Signature=" in href for href in hrefs] == [True] * 3
    else:
        result = constellr_stac.download(items, tmp_path, assets="lst", progress=False)
        assert len(result.written) == 3


def test_search_and_catalog_hold_items(sandbox: Sandbox, tmp_path: Path) -> None:
    """A search is carried out, and a downloaded folder opens as a catalog."""
    client = constellr_stac.open_client()
    search = client.search(collections=["lstprecision"], max_items=2)
    assert isinstance(search, pystac_client.ItemSearch)
    constellr_stac.download(search, tmp_path, assets="lst", progress=False)
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    sandbox.clear_requests()
    assert constellr_stac.load(catalog, ["lst"]).sizes["time"] == 2
    assert not sandbox.requests


@pytest.mark.parametrize("other", NO_ITEMS, ids=repr)
@pytest.mark.parametrize("function", [constellr_stac.load, constellr_stac.describe, items_of])
def test_other_objects_are_a_type_error(function: Callable[[Any], Any], other: Any) -> None:
    """The message lists the accepted forms."""
    with pytest.raises(TypeError, match="Expected a search, an ItemCollection, a catalog, items"):
        function(other)


def test_keyword_arguments_of_load_are_typed_once() -> None:
    """``load_order`` takes the keyword arguments of ``load``, ``explain`` those but ``clip``."""
    parameters = inspect.signature(constellr_stac.load).parameters
    keywords = {name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}
    assert keywords - {"group_by_resolution"} == set(CubeArguments.__annotations__)
    assert set(LoadArguments.__annotations__) == set(CubeArguments.__annotations__) - {"clip"}
