"""Wrong types: every field of the documented STAC answers, changed one at a time."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests

import constellr_stac
from constellr_stac import ApiKey, open_client
from constellr_stac.errors import ConstellrError, SkippedContentWarning
from constellr_stac.sandbox import Sandbox
from mutations import mutations
from replaying import Replayed, replaying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pystac_client import Client

    from replaying import Replaying

ITEM = "/stac/collections/lstprecision/items/"
STRIDES = {"/stac": 29, "/stac/conformance": 29, "/stac/collections": 61, "/stac/search": 61}


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    """Return the documented answers by path, with one item a page."""
    with Sandbox(api_key_mode=True) as sandbox, requests.Session() as session:
        session.headers["X-Api-Key"] = sandbox.api_key
        paths = [
            "/stac",
            "/stac/conformance",
            "/stac/collections",
            "/stac/collections/lstprecision",
        ]
        found = {path: session.get(sandbox.api_url + path).json() for path in paths}
        page = session.post(f"{sandbox.api_url}/stac/search", json={"limit": 1}).json()
        item = page["features"][0]
        path = f"/stac/collections/{item['collection']}/items/{item['id']}"
        found[path] = session.get(sandbox.api_url + path).json()
    page["links"] = []
    return {**found, "/stac/search": page}


@pytest.fixture
def server(documents: dict[str, Any]) -> Iterator[Replaying]:
    """Return a server that gives the documented answers."""
    with replaying() as server:
        for path, document in documents.items():
            server.answers[path] = Replayed(json.dumps(document).encode())
        yield server


def _use(client: Client, path: str) -> None:
    """Use an answer as a user does."""
    if path == "/stac/search":
        search = client.search(max_items=5)
        search.matched()
        items = list(search.items())
        for item in items:
            repr(item)
            item.to_dict()
        constellr_stac.describe(items, headers=False, metadata=False)
        if items:
            grid: dict[str, Any] = {"crs": "EPSG:32611", "resolution": 30}
            constellr_stac.load(items, ["lst"], bbox=[-118.3, 33.7, -118.2, 33.8], **grid)
    elif path == "/stac/collections":
        for each in client.get_collections():
            repr(each)
        list(client.collection_search(limit=5).collections())
    elif path.startswith(ITEM):
        collection = client.get_collection("lstprecision")
        assert collection is not None
        repr(collection.get_item(path.removeprefix(ITEM)))
    else:
        client.get_collection("lstprecision")


@pytest.mark.parametrize(
    "kind", ["/stac", "/stac/conformance", "/stac/collections", "/stac/search", ITEM, "collection"]
)
def test_wrong_types_end_in_our_errors(
    kind: str,
    documents: dict[str, Any],
    server: Replaying,
    attack: bool,  # noqa: FBT001 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A changed field ends in one of our errors, or in a page without that feature."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    path = {
        ITEM: next(path for path in documents if path.startswith(ITEM)),
        "collection": "/stac/collections/lstprecision",
    }.get(kind, kind)
    stride = 1 if attack else STRIDES.get(kind, 41)
    auth = ApiKey("key")
    whole = open_client(server.url, auth=auth)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    for number, (what, text) in enumerate(mutations(documents[path])):
        if number % stride:
            continue
        server.answers[path] = Replayed(text.encode("utf-8", "surrogatepass"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                opens = path in ("/stac", "/stac/conformance") or not attack
                _use(open_client(server.url, auth=auth) if opens else whole, path)
                outcomes["used"] += 1
            except ConstellrError as error:
                outcomes[type(error).__name__] += 1
            except ValueError as error:  # what load() documents for items that make no cube
                outcomes["ValueError"] += 1
                if path != "/stac/search" or not any(w in str(error) for w in ("Item", "band")):
                    failures.append(f"{what}: {error!r}")
            except Exception as error:  # noqa: BLE001
                failures.append(f"{what}: {error!r}")
    print(f"{kind}: {dict(outcomes)}")  # noqa: T201 - for the long form
    assert not failures
    assert outcomes["used"]


def test_one_bad_feature_does_not_cost_the_page(
    documents: dict[str, Any], server: Replaying
) -> None:
    """The other items of the page arrive, and a warning names what is left out."""
    good = documents["/stac/search"]["features"][0]
    bad: list[Any] = [
        {**good, "id": "no geometry", "geometry": {"type": "Polygon", "coordinates": ["x"]}},
        {**good, "id": 5},
        {**good, "id": "deep", "x": json.loads("[" * 90 + "]" * 90)},
        None,
    ]
    page = {**documents["/stac/search"], "features": [bad[0], good, *bad[1:]]}
    server.answers["/stac/search"] = Replayed(json.dumps(page).encode())
    client = open_client(server.url, auth=ApiKey("key"))
    with pytest.warns(SkippedContentWarning, match="Skipped 4 of 5 features.*'no geometry'"):
        assert [item.id for item in client.search().items()] == [good["id"]]


def test_items_from_the_network_name_no_local_file(
    documents: dict[str, Any], server: Replaying
) -> None:
    """Assets that are neither http(s) nor s3:// are dropped as they arrive, with a warning."""
    good = documents["/stac/search"]["features"][0]
    local = [
        "/etc/passwd",
        "file:///etc/passwd",
        "../x",
        "x.tiff",
        "C:\\x",
        "\\\\host\\x",
        "/proc/self/environ",
        "/dev/zero",
        "/vsicurl/http://h/x",
        "ftp://h/x",
    ]
    assets = {f"a{number}": {"href": href} for number, href in enumerate(local)}
    item = {**good, "assets": {**assets, "lst": {"href": "s3://bucket/lst.tiff"}}}
    page = {**documents["/stac/search"], "features": [item]}
    server.answers["/stac/search"] = Replayed(json.dumps(page).encode())
    client = open_client(server.url, auth=ApiKey("key"))
    with pytest.warns(SkippedContentWarning, match="Skipped 10 assets"):
        [found] = client.search().items()
    assert set(found.assets) == {"lst"}


@pytest.mark.parametrize("last", ["/stac/search", "/stac/b"])
def test_pages_that_bring_nothing_new_end(
    last: str, documents: dict[str, Any], server: Replaying
) -> None:
    """A page that leads to itself is an error, and so is A -> B -> A; counts do not matter."""
    page = documents["/stac/search"]
    for path, following in (("/stac/search", last), ("/stac/b", "/stac/search")):
        link = {"rel": "next", "href": server.url + following, "method": "POST", "body": {}}
        items = [{**page["features"][0], "id": path}]
        text = json.dumps({"features": items, "links": [link], "numberMatched": 10**30})
        server.answers[path] = Replayed(text.encode())
    client = open_client(server.url, auth=ApiKey("key"))
    with pytest.raises(ConstellrError, match="page itself" if last != "/stac/b" else "nothing new"):
        list(client.search().items())
    assert len(server.seen) < 10
