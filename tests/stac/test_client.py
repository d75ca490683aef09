"""The client searches the documented API, and sends requests to no other host."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import traceback
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pystac
import pystac_client
import pytest
import urllib3
from pystac_client.exceptions import APIError as PystacAPIError
from shapely.geometry import box

from constellr_stac import (
    APIConnectionError,
    APIError,
    ApiKey,
    AuthenticationError,
    BadRequestError,
    ConstellrAuth,
    ConstellrError,
    CredentialsNotFoundError,
    ForbiddenError,
    InsecureURLError,
    NotFoundError,
    Password,
    RateLimitError,
    ServerError,
    Signer,
    SigningError,
    ValidationError,
    open_client,
    request_modifier,
    sign,
)
from constellr_stac.sandbox import Fault, Sandbox
from constellr_stac.stac.fixups import Fixups
from constellr_stac.stac.io import ConstellrIO, for_pystac

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from constellr_stac.stac.client import ConstellrClient

PRODUCT = "lstprecision"
HARBOUR = [-118.3, 33.7, -118.1, 33.9]
NEXT = {"rel": "next", "method": "POST", "body": {"token": "next:1"}}


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The shared sandbox without recorded requests, and the environment set to use it."""
    shared_sandbox.clear_requests()
    shared_sandbox.clear_faults()
    for name, value in shared_sandbox.environment().items():
        monkeypatch.setenv(name, value)
    return shared_sandbox


def opened(sandbox: Sandbox, **options: Any) -> ConstellrClient:
    """Open a client, and clear the recorded requests."""
    client = open_client(**options)
    sandbox.clear_requests()
    return client


def api_requests(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return method and path of each API request, except for tokens."""
    return [
        (one.method, one.path)
        for one in sandbox.requests
        if one.server == "api" and one.path != "/token"
    ]


def search_bodies(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the bodies of the search requests."""
    return [json.loads(one.body) for one in sandbox.requests if one.path == "/stac/search"]


def collection_queries(sandbox: Sandbox) -> list[dict[str, list[str]]]:
    """Return the query parameters of the collection requests."""
    return [parse_qs(one.query) for one in sandbox.requests if one.path == "/stac/collections"]


def scene_ids(sandbox: Sandbox) -> list[str]:
    """Return the ids of the scenes, oldest first."""
    return sorted((item["id"] for item in sandbox.items), key=lambda name: name[-16:])


def found_ids(client: ConstellrClient, **search: Any) -> list[str]:
    """Return the ids that a search finds."""
    return [item.id for item in client.search(collections=[PRODUCT], **search).items()]


def page(*links: dict[str, Any], features: int = 1) -> bytes:
    """Return a page of search results with these links."""
    item: dict[str, Any] = {
        "id": "scene",
        "type": "Feature",
        "geometry": None,
        "bbox": None,
        "links": [],
        "assets": {},
        "collection": PRODUCT,
        "properties": {"datetime": "2025-08-18T11:00:00Z"},
        "stac_version": "1.1.0",
    }
    features_ = [item] * features
    return json.dumps({"type": "FeatureCollection", "features": features_, "links": links}).encode()


# Opening


def test_open_client_uses_the_environment(sandbox: Sandbox) -> None:
    """Without arguments: two requests, and no warning."""
    client = open_client()
    assert isinstance(client, pystac_client.Client)
    assert api_requests(sandbox) == [("GET", "/stac"), ("GET", "/stac/conformance")]
    for name in ("ITEM_SEARCH", "COLLECTIONS", "FEATURES", "FILTER", "SORT", "COLLECTION_SEARCH"):
        assert client.conforms_to(name), name
    assert not client.conforms_to("QUERY")
    assert "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text" in client.get_conforms_to()


@pytest.mark.parametrize(
    "form", ["{url}", "{url}/", "{url}/stac", "{url}/stac/", " {url}\n", "HTTP://LOCALHOST:{port}"]
)
def test_url_forms(sandbox: Sandbox, form: str) -> None:
    """With and without ``/stac``, trailing slash and surrounding whitespace."""
    port = urlsplit(sandbox.api_url).port
    credential = Password(sandbox.username, sandbox.password)
    client = open_client(form.format(url=sandbox.api_url, port=port), auth=credential)
    host = "localhost" if "LOCALHOST" in form else "127.0.0.1"
    assert client.get_self_href() == f"http://{host}:{port}/stac"
    assert found_ids(client, ids=scene_ids(sandbox)[:1]) == scene_ids(sandbox)[:1]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("api.constellr.com", "start with https://"),
        ("ftp://api.constellr.com", "start with https://"),
        ("https:///stac", "name a host"),
        ("https://api.constellr.com:http", "not a valid URL"),
        ("https://api.constellr.com/stac?token=hunter2", "query"),
        ("https://api.constellr.com/#hunter2", "fragment"),
        ("https://me:hunter2@api.constellr.com", "credentials"),
        ("me:hunter2@api.constellr.com", "credentials"),
    ],
)
def test_invalid_url_is_refused(url: str, message: str) -> None:
    """The error gives the reason and repeats no secret."""
    with pytest.raises(ValueError, match=message) as caught:
        open_client(url)
    assert "hunter2" not in str(caught.value)


def test_auth_has_an_api_url(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Auth is for one API: its URL is the default, and another URL is refused."""
    monkeypatch.delenv("CONSTELLR_API_URL")
    auth = ConstellrAuth(base_url=sandbox.api_url)
    assert found_ids(open_client(auth=auth), ids=scene_ids(sandbox)[:1]) == scene_ids(sandbox)[:1]
    assert open_client(f"{sandbox.api_url}/stac/", auth=auth)
    for other in ("https://api.constellr.com", f"{sandbox.api_url}/staging"):
        with pytest.raises(ValueError, match="is not sent to"):
            open_client(other, auth=auth)


def test_plain_http_is_refused(sandbox: Sandbox) -> None:
    """Plain HTTP is allowed on loopback addresses only; nothing is sent."""
    with pytest.raises(InsecureURLError):
        open_client("http://api.constellr.com")
    assert not sandbox.requests


def test_missing_credential_sends_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error lists the sources searched."""
    monkeypatch.delenv("CONSTELLR_PASSWORD")
    with pytest.raises(CredentialsNotFoundError, match="CONSTELLR_API_KEY"):
        open_client()
    assert not sandbox.requests


def test_wrong_password_is_tried_once(sandbox: Sandbox) -> None:
    """The error does not repeat the password."""
    with pytest.raises(AuthenticationError) as caught:
        open_client(auth=Password(sandbox.username, "wrong"))
    assert not isinstance(caught.value, PystacAPIError)
    assert "wrong" not in str(caught.value)
    assert [one.path for one in sandbox.requests] == ["/token"]


def test_missing_token_endpoint_is_not_a_missing_item(sandbox: Sandbox) -> None:
    """A 404 from ``/token`` raises, instead of returning None for the collection or item."""
    client = opened(sandbox)
    collection = client.get_collection(PRODUCT)
    assert collection
    sandbox.revoke_tokens()
    sandbox.fail(Fault("/token", status=404, times=2))
    with pytest.raises(NotFoundError, match="/token"):
        client.get_collection("another")
    with pytest.raises(NotFoundError, match="/token"):
        collection.get_item(scene_ids(sandbox)[0])
    assert client.get_collection("another") is None


@pytest.mark.fails
def test_unreachable_api_is_a_connection_error() -> None:
    """It is a pystac-client error as well, and its frames do not show the key."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(APIConnectionError, match="/token was not answered") as caught:
            open_client(url, auth=Password("me", "sEcReT"))
        assert isinstance(caught.value, PystacAPIError)
        with pytest.raises(APIConnectionError, match="CONSTELLR_API_URL") as caught:
            open_client(url, auth=ApiKey("sEcReT"))
    assert isinstance(caught.value, PystacAPIError)
    assert caught.value.request_url == f"{url}/stac"
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "X-Api-Key: " not in "".join(trace.format())  # a header of the prepared request


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>Welcome</html>", "invalid JSON"),
        (b"[]", "JSON that is not an object"),
        (b"\xff{}", "invalid JSON"),
        (b"1" * 10_000, "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
    ],
)
def test_invalid_landing_page(sandbox: Sandbox, body: bytes, message: str) -> None:
    """A response that is not a STAC document raises APIError."""
    sandbox.fail(Fault("/stac$", status=200, body=body))
    with pytest.raises(APIError, match=f"{message}. Is this the API's URL"):
        open_client()


def test_conflicting_kwargs_are_refused(sandbox: Sandbox) -> None:
    """Arguments that replace the credential, and unknown ones, are refused."""
    with pytest.raises(TypeError, match="uses its own stac_io"):
        open_client(stac_io=pystac_client.stac_api_io.StacApiIO())
    for header in ("Authorization", "x-api-key"):
        with pytest.raises(ValueError, match="auth="):
            open_client(headers={header: "secret"})
    with pytest.raises(TypeError, match="colour"):
        open_client(colour="red")


def test_kwargs_are_passed_to_pystac_client(sandbox: Sandbox) -> None:
    """Headers, parameters and request modifier apply to each request."""
    seen: list[str] = []

    def modify(request: Any) -> None:
        seen.append(request.url)
        request.headers["X-Added"] = "yes"

    client = open_client(
        headers={"X-Team": "heat"}, parameters={"trace": "1"}, request_modifier=modify, timeout=9
    )
    assert found_ids(client, limit=10)
    asked_for = [one for one in sandbox.requests if one.path != "/token"]
    assert len(asked_for) == len(seen) == 4
    for one in asked_for:
        assert one.headers["x-team"] == "heat"
        assert one.headers["x-added"] == "yes"
        assert one.headers["authorization"].startswith("Bearer ")
        assert one.query == "trace=1"
    assert client._stac_io is not None
    assert client._stac_io.timeout == 9


def test_stac_io_keeps_its_settings(sandbox: Sandbox) -> None:
    """``Client.open(stac_io=)`` keeps the modifier and the timeout."""
    seen: list[str] = []
    stac_io = ConstellrIO(
        ConstellrAuth(), request_modifier=lambda request: seen.append(request.url), timeout=9
    )
    client = pystac_client.Client.open(f"{sandbox.api_url}/stac", stac_io=stac_io)
    assert client.search(max_items=1).matched() == 15
    assert len(seen) == 3
    assert stac_io.timeout == 9


def test_own_request_modifier_is_harmless(sandbox: Sandbox) -> None:
    """``open_client`` accepts the package's own ``request_modifier``."""
    assert found_ids(open_client(request_modifier=request_modifier), ids=scene_ids(sandbox)[:1])


# Item search


def test_search_returns_every_page(sandbox: Sandbox) -> None:
    """A search follows next links with their bodies, and returns each item once."""
    client = opened(sandbox)
    assert sorted(found_ids(client, limit=4)) == sorted(scene_ids(sandbox))
    assert api_requests(sandbox) == [("POST", "/stac/search")] * 4
    assert [body.get("token") for body in search_bodies(sandbox)] == [
        None,
        "next:4",
        "next:8",
        "next:12",
    ]
    assert all(body["collections"] == [PRODUCT] for body in search_bodies(sandbox))


def test_search_stops_at_max_items(sandbox: Sandbox) -> None:
    """No more pages than needed are requested."""
    assert len(found_ids(opened(sandbox), limit=4, max_items=6)) == 6
    assert len(api_requests(sandbox)) == 2


def test_matched(sandbox: Sandbox) -> None:
    """One request returns the count."""
    assert opened(sandbox).search(collections=[PRODUCT], datetime="2023-07").matched() == 9
    assert len(api_requests(sandbox)) == 1


def test_search_parameters(sandbox: Sandbox) -> None:
    """Search by bbox, datetime, intersects, ids and collections."""
    client = opened(sandbox)
    everything = set(scene_ids(sandbox))
    west, south, east, north = HARBOUR
    july = {name for name in everything if "_202307" in name}
    searches: list[tuple[dict[str, Any], set[str]]] = [
        ({"bbox": HARBOUR}, everything),
        ({"bbox": [0, 0, 1, 1]}, set()),
        ({"intersects": box(west, south, east, north)}, everything),
        ({"datetime": "2023-07"}, july),
        ({"datetime": "2023-07-01/2023-07-31"}, july),
        ({"ids": sorted(july)[:2]}, set(sorted(july)[:2])),
    ]
    for search, expected in searches:
        assert set(found_ids(client, **search)) == expected, search
    assert list(client.search(collections=["lstfusion"]).items()) == []


def test_filter_and_sort(sandbox: Sandbox) -> None:
    """CQL2 filters and ``sortby`` are sent to the server without a warning."""
    client = opened(sandbox)
    after = {"op": ">=", "args": [{"property": "datetime"}, {"timestamp": "2023-08-01T00:00:00Z"}]}
    august = [name for name in scene_ids(sandbox) if "_202308" in name]
    assert found_ids(client, filter=after, sortby="datetime") == august
    assert found_ids(client, filter=after, sortby=["-datetime"]) == august[::-1]
    assert found_ids(client, filter=f"id = '{august[0]}'") == august[:1]


def test_operator_eq_is_sent_as_equals_sign(sandbox: Sandbox) -> None:
    """The provider's example uses ``eq``; CQL2 uses ``=``."""
    name = scene_ids(sandbox)[0]
    by_name = {"op": "eq", "args": [{"property": "id"}, name]}
    both = {"op": "and", "args": [by_name, {"op": "eq", "args": [{"property": "gsd"}, 30]}]}
    assert found_ids(opened(sandbox), filter=both) == [name]
    assert '"eq"' not in json.dumps(search_bodies(sandbox))
    assert by_name["op"] == "eq", "the user's own dict stays as it is"


def test_get_search_is_refused(sandbox: Sandbox) -> None:
    """The API searches by POST only; nothing is sent."""
    client = opened(sandbox)
    with pytest.raises(ValueError, match="POST searches only"):
        client.search(method="GET", collections=[PRODUCT])
    by_get = pystac_client.ItemSearch(
        client._search_href(), method="GET", client=client, bbox=HARBOUR
    )
    with pytest.raises(ValueError, match="bbox="):
        list(by_get.items())
    assert not sandbox.requests
    assert client.search(method=None, ids=scene_ids(sandbox)[:1]).matched() == 1


@pytest.mark.parametrize("body", [b'{"detail": "busy"}', b'{"features": null}'])
def test_search_response_without_features_is_an_error(sandbox: Sandbox, body: bytes) -> None:
    """A 200 without features is not an empty search."""
    client = opened(sandbox)
    sandbox.fail(Fault("/search", status=200, body=body))
    with pytest.raises(APIError, match="JSON without features"):
        found_ids(client)


def test_next_link_to_the_same_page_is_an_error(sandbox: Sandbox) -> None:
    """It does not loop."""
    client = opened(sandbox)
    itself = {"rel": "next", "href": "https://example.com/stac/search", "body": {"token": "1"}}
    sandbox.fail(Fault("/search", status=200, body=page(itself), times=5))
    with pytest.raises(APIError, match="next link is the page itself"):
        list(client.search().items())
    assert len(api_requests(sandbox)) == 2
    again = {"rel": "next", "href": "https://example.com/stac/collections?offset=1"}
    extent = {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}}
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "a",
        "description": "",
        "license": "other",
        "extent": extent,
    }
    body = json.dumps({"collections": [collection], "links": [again]}).encode()
    sandbox.fail(Fault("/collections", status=200, body=body, times=5))
    with pytest.raises(APIError, match="next link is the page itself"):
        list(client.collection_search(limit=1).pages_as_dicts())
    assert len(api_requests(sandbox)) == 4


# Collections and single items


def test_collections_are_paged_by_offset(sandbox: Sandbox) -> None:
    """Collection pages have no next link; limit, offset and count are used instead."""
    client = opened(sandbox)
    names = {"lstprecision", "lstzoom", "lstfusion"}
    assert {collection.id for collection in client.get_collections()} == names
    assert len(api_requests(sandbox)) == 1
    sandbox.clear_requests()
    by_one = client.collection_search(limit=1)
    assert {collection.id for collection in by_one.collections()} == names
    assert [query.get("offset") for query in collection_queries(sandbox)] == [None, ["1"], ["2"]]
    assert all(query["limit"] == ["1"] for query in collection_queries(sandbox))


def test_collection_pages_keep_the_search_parameters(sandbox: Sandbox) -> None:
    """Each page repeats the parameters of the search."""
    client = opened(sandbox)
    search = client.collection_search(limit=1, bbox=[-180, -90, 180, 90], sortby="-id")
    assert [collection.id for collection in search.collections()] == [
        "lstzoom",
        "lstprecision",
        "lstfusion",
    ]
    assert {str(query["bbox"]) for query in collection_queries(sandbox)} == {
        "['-180.0,-90.0,180.0,90.0']"
    }


def test_collection_search_is_sent_to_the_server(sandbox: Sandbox) -> None:
    """Including bbox, datetime, filter and sortby, without a warning."""
    client = opened(sandbox)
    search = client.collection_search(bbox=HARBOUR, datetime="2023-07", limit=1)
    assert search.matched() == 2
    (query,) = collection_queries(sandbox)
    assert query["bbox"] == ["-118.3,33.7,-118.1,33.9"]
    assert query["datetime"] == ["2023-07-01T00:00:00Z/2023-07-31T23:59:59Z"]
    assert {collection.id for collection in search.collections()} == {PRODUCT, "lstfusion"}
    by_name = client.collection_search(filter={"op": "eq", "args": [{"property": "id"}, "lstzoom"]})
    assert [collection.id for collection in by_name.collections()] == ["lstzoom"]


def test_free_text_is_searched_locally(sandbox: Sandbox) -> None:
    """The API has no free-text search; pystac-client searches and warns."""
    client = opened(sandbox)
    with pytest.warns(UserWarning, match="FREE_TEXT"):
        search = client.collection_search(q="Fusion")
    assert [collection.id for collection in search.collections()] == ["lstfusion"]


def test_get_collection(sandbox: Sandbox) -> None:
    """From its own endpoint; None if it does not exist."""
    client = opened(sandbox)
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    assert collection.id == PRODUCT
    assert client.get_collection("lstnothing") is None
    assert api_requests(sandbox) == [
        ("GET", f"/stac/collections/{PRODUCT}"),
        ("GET", "/stac/collections/lstnothing"),
    ]


def test_get_item(sandbox: Sandbox) -> None:
    """From its own endpoint; None if it does not exist."""
    name = scene_ids(sandbox)[0]
    collection = opened(sandbox).get_collection(PRODUCT)
    assert collection is not None
    item = collection.get_item(name)
    assert item is not None
    assert item.id == name
    assert collection.get_item("nothing") is None
    assert api_requests(sandbox)[1:] == [
        ("GET", f"/stac/collections/{PRODUCT}/items/{name}"),
        ("GET", f"/stac/collections/{PRODUCT}/items/nothing"),
    ]


def test_collection_items_come_from_a_search(sandbox: Sandbox) -> None:
    """The API documents no item listing for collections."""
    client = opened(sandbox)
    some = scene_ids(sandbox)[:2]
    listed = next(one for one in client.get_collections() if one.id == PRODUCT)
    for collection in (listed, client.get_collection(PRODUCT)):
        assert collection is not None
        assert sorted(item.id for item in collection.get_items()) == sorted(scene_ids(sandbox))
        assert sorted(item.id for item in collection.get_items(*some)) == sorted(some)
    assert sorted(item.id for item in client.get_items(*some)) == sorted(some)
    assert {
        method for method, path in api_requests(sandbox) if "items" in path or "search" in path
    } == {"POST"}


# Links


def links_of(obj: Any) -> list[str]:
    """Return the hrefs of an object's links."""
    return [link.get_href() or "" for link in obj.links]


def test_links_point_to_the_api(sandbox: Sandbox) -> None:
    """The documented links name another host; returned objects link to the API."""
    client = opened(sandbox)
    collection = client.get_collection(PRODUCT)
    items = client.search(limit=2, max_items=2).item_collection()
    assert collection is not None
    listed = list(client.get_collections())
    for obj in (client, collection, collection.get_item(items[0].id), *listed, *items):
        assert links_of(obj)
        assert all(href.startswith(f"{sandbox.api_url}/stac") for href in links_of(obj)), obj
    assert items[0].get_self_href() == (
        f"{sandbox.api_url}/stac/collections/{PRODUCT}/items/{items[0].id}"
    )
    of_the_item = items[0].get_collection()
    assert of_the_item is not None
    assert of_the_item.id == PRODUCT
    assert client.get_root() is client
    for one in listed:
        assert one.get_self_href() == f"{sandbox.api_url}/stac/collections/{one.id}"


@contextmanager
def other_server() -> Iterator[tuple[str, list[bytes]]]:
    """A server that is not the API: yields its URL and the bytes it receives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        received: list[bytes] = []
        yield f"http://127.0.0.1:{server.getsockname()[1]}", received
        try:
            connection, _ = server.accept()
        except TimeoutError:
            return
        with connection:
            received.append(connection.recv(1000))


@pytest.mark.parametrize(
    "where",
    [
        "{stranger}/stac/search",
        "{stranger}/search",
        "//{stranger_host}/stac/search",
        "http://{api_host}@{stranger_host}/stac/search",
        "https://example.com/elsewhere/search",
        "https://example.com/stac.evil/search",
        "https://example.com/stac/../orders/batch",
        "https://example.com/stac/%2e%2e/orders/batch",
        "{api}/orders/batch",
        "{api}/stac/../orders/batch",
    ],
)
def test_next_link_to_another_host_is_refused(sandbox: Sandbox, where: str) -> None:
    """Neither the search nor the credential is sent there."""
    client = opened(sandbox)
    with other_server() as (address, received):
        href = where.format(
            stranger=address,
            stranger_host=urlsplit(address).netloc,
            api=sandbox.api_url,
            api_host=urlsplit(sandbox.api_url).netloc,
        )
        sandbox.fail(Fault("/search", status=200, body=page({**NEXT, "href": href})))
        with pytest.raises(ConstellrError, match="only sends requests to the API") as caught:
            list(client.search().items())
    assert isinstance(caught.value, PystacAPIError)
    assert received == []
    assert api_requests(sandbox) == [("POST", "/stac/search")]


@pytest.mark.parametrize(
    "href", ["https://example.com/stac/search", "search", "/stac/search", "{api}/stac/search"]
)
@pytest.mark.parametrize("method", ["POST", "post", None])
def test_next_link_below_the_advertised_url(
    sandbox: Sandbox, href: str, method: str | None
) -> None:
    """A next link below the landing page's self link is resolved to the API."""
    client = opened(sandbox)
    link = {**NEXT, "href": href.format(api=sandbox.api_url), "method": method}
    if method is None:
        del link["method"]  # a link with a body is a POST
    body = page(link)
    sandbox.fail(Fault("/search", status=200, body=body))
    names = [item.id for item in client.search().items()]
    assert names[0] == "scene"
    assert len(names) == 1 + len(scene_ids(sandbox)) - 1
    assert search_bodies(sandbox)[1] == {"token": "next:1"}


def test_complete_landing_page_is_kept() -> None:
    """Other links and conformance classes stay; ``/conformance`` is not requested."""
    own = {
        "conformsTo": ["https://api.stacspec.org/v1.0.0/item-search#filter"],
        "links": [
            {"rel": "self", "href": "https://api.example/stac"},
            {"rel": "data", "href": "https://api.example/stac/collections"},
            {"rel": "search", "href": "https://api.example/stac/search", "method": "POST"},
            {"rel": "license", "href": "https://example.com/terms"},
        ],
    }
    before = json.loads(json.dumps(own))
    landing = Fixups("https://api.example/stac").completed(
        own, "https://api.example/stac", lambda: pytest.fail("asked")
    )
    assert landing["links"][:2] == [before["links"][0], before["links"][3]]
    assert [(link["rel"], link["href"]) for link in landing["links"][2:]] == [
        ("data", "https://api.example/stac/collections"),
        ("search", "https://api.example/stac/search"),
    ]
    assert landing["conformsTo"][:1] == before["conformsTo"]
    assert len(landing["conformsTo"]) == len(set(landing["conformsTo"]))


@pytest.mark.parametrize(
    "links",
    [
        [{"rel": "search", "href": "https://example.com/stac/search", "method": "POST"}],
        [{"rel": "search", "href": "https://elsewhere.example/search", "type": "application/json"}],
        [{"rel": "data", "href": "./collections"}, {"rel": "self", "href": "/stac"}],
        None,
    ],
    ids=["no media type", "elsewhere", "relative", "null"],
)
def test_landing_page_with_wrong_links(
    sandbox: Sandbox, links: list[dict[str, str]] | None
) -> None:
    """Search and collections use the documented paths, whatever the links say."""
    landing = {"type": "Catalog", "id": "api", "description": "", "stac_version": "1.0.0"}
    body = json.dumps({**landing, "conformsTo": None, "links": links}).encode()
    sandbox.fail(Fault("/stac$", status=200, body=body))
    sandbox.fail(Fault("/conformance$", status=200, body=b'{"conformsTo": null}'))
    empty = json.dumps({"type": "FeatureCollection", "features": [], "links": None}).encode()
    sandbox.fail(Fault("/search$", status=200, body=empty))
    client = opened(sandbox)
    assert list(client.search().items()) == []
    assert len(list(client.get_collections())) == 3


def test_empty_landing_page_is_completed() -> None:
    """Links and conformance classes for search and collections are added."""
    url = "https://api.example/stac"
    landing = Fixups(url).completed({}, url, lambda: ["https://example.com/own"])
    assert [(link["rel"], link["href"]) for link in landing["links"]] == [
        ("data", f"{url}/collections"),
        ("search", f"{url}/search"),
    ]
    assert landing["conformsTo"][0] == "https://example.com/own"


@pytest.mark.parametrize(
    ("rel", "href"),
    [("self", "http://internal:8000/"), ("data", "http://internal:8000/collections")],
)
def test_landing_page_behind_a_proxy(rel: str, href: str) -> None:
    """Links to an internal address are rewritten to the API's URL, also without ``/stac``."""
    documents = Fixups("https://api.example/stac")
    landing = {"links": [{"rel": rel, "href": href}]}
    documents.completed(landing, "https://api.example/stac", list)
    found_at = "https://api.example/stac/search"
    for inside, home in [
        ("http://internal:8000/collections/a/items/b", "/collections/a/items/b"),
        ("http://internal:8000", ""),
        ("http://internal:8000/", ""),
        ("http://internal:8000/search?token=1", "/search?token=1"),
    ]:
        assert documents.own_url(inside, found_at) == f"https://api.example/stac{home}"
    assert documents.own_url("http://internal:80/search", found_at) == "http://internal:80/search"


def test_missing_conformance_page(sandbox: Sandbox) -> None:
    """A 404 from ``/conformance`` is accepted; other failures raise."""
    sandbox.fail(Fault("/conformance", status=404))
    assert open_client().conforms_to("ITEM_SEARCH")
    sandbox.fail(Fault("/conformance", status=403))
    with pytest.raises(ForbiddenError):
        open_client()


# Failures


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (418, APIError),
        (422, ValidationError),
        (501, ServerError),
    ],
)
def test_status_maps_to_error_type(sandbox: Sandbox, status: int, kind: type[APIError]) -> None:
    """The error is ours and a pystac-client APIError."""
    client = opened(sandbox)
    sandbox.fail(Fault("/search", status=status, body=b'{"detail": "Not like this."}'))
    with pytest.raises(kind, match="Not like this") as caught:
        found_ids(client)
    assert type(caught.value).__name__ == kind.__name__
    assert isinstance(caught.value, PystacAPIError)
    assert caught.value.status_code == status
    assert caught.value.request_url == f"{sandbox.api_url}/stac/search"
    assert len(api_requests(sandbox)) == 1


@pytest.mark.parametrize("body", [b"Bad\n\ngateway", b'{"detail": "Bad\\n\\ngateway"}'])
def test_detail_is_one_line(sandbox: Sandbox, body: bytes) -> None:
    """A multi-line server message is joined into one line."""
    client = opened(sandbox)
    sandbox.fail(Fault("/search", status=501, body=body))
    with pytest.raises(ServerError, match=r": Bad gateway\. Try") as caught:
        found_ids(client)
    assert caught.value.detail == "Bad gateway"


def test_invalid_search(sandbox: Sandbox) -> None:
    """The API's message reaches the user."""
    with pytest.raises(BadRequestError, match="bbox and intersects"):
        found_ids(opened(sandbox), bbox=HARBOUR, intersects=box(*HARBOUR))
    with pytest.raises(ValidationError, match="limit"):
        found_ids(opened(sandbox), limit=10_000)


def test_request_modifier_errors_propagate(sandbox: Sandbox) -> None:
    """An exception from the user's request modifier is not wrapped."""

    def modify(request: requests.Request) -> requests.Request:
        raise ValueError(f"no session was chosen for {request.method}")

    with pytest.raises(ValueError, match="no session was chosen for GET") as caught:
        open_client(request_modifier=modify)
    assert not isinstance(caught.value, ConstellrError)
    assert not api_requests(sandbox)


def test_redirect_to_an_invalid_url(sandbox: Sandbox) -> None:
    """It raises APIConnectionError."""
    client = opened(sandbox)
    sandbox.fail(Fault("/collections/", status=302, headers={"Location": "http://["}))
    with pytest.raises(APIConnectionError, match="was not answered"):
        client.get_collection(PRODUCT)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_server_is_retried(sandbox: Sandbox, status: int) -> None:
    """Both searches by POST and GETs are retried."""
    client = opened(sandbox)
    for path in ("/search", "/collections/"):
        sandbox.fail(Fault(path, status=status, headers={"Retry-After": "0"}))
    assert found_ids(client, ids=scene_ids(sandbox)[:1])
    assert client.get_collection(PRODUCT)
    assert (
        api_requests(sandbox)
        == [("POST", "/stac/search")] * 2 + [("GET", f"/stac/collections/{PRODUCT}")] * 2
    )


@pytest.mark.parametrize("wait", ["0.2", "soon", ""])
def test_nonstandard_retry_after_is_retried(sandbox: Sandbox, wait: str) -> None:
    """A Retry-After that is not an integer does not prevent the retry."""
    client = opened(sandbox)
    sandbox.fail(Fault("/search", status=503, headers={"Retry-After": wait}))
    assert found_ids(client, ids=scene_ids(sandbox)[:1])
    assert len(api_requests(sandbox)) == 2


def test_dropped_connection_is_retried(sandbox: Sandbox) -> None:
    """A search is sent again when its connection drops."""
    client = opened(sandbox)
    sandbox.fail(Fault("/search", kind="reset"))
    assert found_ids(client, ids=scene_ids(sandbox)[:1])
    assert len(api_requests(sandbox)) == 2


@pytest.mark.fails
def test_retries_are_bounded(sandbox: Sandbox) -> None:
    """A server that stays busy raises after a few attempts."""
    client = opened(sandbox)
    sandbox.fail(Fault("/search", status=429, headers={"Retry-After": "0"}, times=None))
    with pytest.raises(RateLimitError) as caught:
        found_ids(client)
    assert caught.value.status_code == 429
    assert 1 < len(api_requests(sandbox)) < 8


def test_token_revoked_between_pages(sandbox: Sandbox) -> None:
    """It costs one new token, and no item is lost."""
    search = opened(sandbox).search(collections=[PRODUCT], limit=5)
    names = []
    for number, page_ in enumerate(search.pages()):
        names += [item.id for item in page_]
        if number == 0:
            sandbox.revoke_tokens()
    assert sorted(names) == sorted(scene_ids(sandbox))
    assert [one.path for one in sandbox.requests].count("/token") == 1


@pytest.mark.parametrize("kind", [NotFoundError, APIConnectionError, ConstellrError])
def test_error_pickle_round_trip(kind: type[ConstellrError]) -> None:
    """An unpickled error keeps its types, message and attributes."""
    error = for_pystac(kind("no", status_code=404, request_url="https://api.example/stac"))
    unpickled = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled on this line
    assert isinstance(unpickled, kind)
    assert isinstance(unpickled, PystacAPIError)
    assert str(unpickled) == "no"
    assert (unpickled.status_code, unpickled.request_url) == (404, "https://api.example/stac")


# Signing and describing


def hrefs(obj: Any) -> list[str]:
    """Return the hrefs of an item's or collection's assets."""
    return [asset.href for asset in obj.assets.values()]


def signed(obj: Any) -> bool:
    """Return whether all hrefs are signed."""
    return bool(hrefs(obj)) and all("X-Amz-Signature=" in href for href in hrefs(obj))


def test_hrefs_are_unsigned_by_default(sandbox: Sandbox) -> None:
    """Without ``sign=`` the hrefs stay ``s3://``."""
    (item,) = opened(sandbox).search(max_items=1).items()
    assert all(href.startswith("s3://") for href in hrefs(item))


def test_signed_client(sandbox: Sandbox) -> None:
    """A plain HTTP client can read the hrefs of a signing client's items."""
    client = opened(sandbox, sign=True)
    search = client.search(max_items=2)
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    for item in [
        *search.items(),
        *search.item_collection(),
        *collection.get_items(scene_ids(sandbox)[0]),
        collection.get_item(scene_ids(sandbox)[0]),
    ]:
        assert signed(item)
    assert client.collection_search(limit=1).matched() == 3
    assert len(list(client.get_collections())) == 3
    for href in hrefs(item):
        assert urllib3.request("GET", href, retries=False).status == 200


def test_client_with_explicit_signer(sandbox: Sandbox) -> None:
    """The signer's lifetime is used."""
    client = opened(sandbox, sign=Signer(expires_in=timedelta(minutes=7)))
    (item,) = client.search(max_items=1).items()
    assert all("X-Amz-Expires=420" in href for href in hrefs(item))


def test_signing_client_without_credentials(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing AWS credentials raise and list the sources searched."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SigningError, match="AWS_ACCESS_KEY_ID: not set"):
        found_ids(opened(sandbox, sign=True))


def test_sign_accepts_searches_and_collections(sandbox: Sandbox) -> None:
    """``sign`` takes a search, a collection or an item of the client."""
    client = opened(sandbox)
    search = client.search(max_items=3, collections=[PRODUCT])
    items = sign(search)
    assert isinstance(items, pystac.ItemCollection)
    assert len(items) == 3
    assert all(map(signed, items))
    assert not any(map(signed, search.item_collection()))
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    copied = sign(collection)
    assert copied is not collection
    assert copied.to_dict() == collection.to_dict()
    assert copied.get_item(scene_ids(sandbox)[0]) is not None


def test_modifiers_run_in_order(sandbox: Sandbox) -> None:
    """A user's modifier sees described items, and the hrefs it adds are signed."""
    seen: list[bool] = []

    def modify(obj: Any) -> None:
        for item in obj.get("features", ()):
            lst = item["assets"]["lst"]
            seen.append("bands" in lst and lst["href"].startswith("s3://"))
            item["assets"]["copy"] = {"href": lst["href"]}

    client = opened(sandbox, sign=True, describe=True, modifier=modify)
    items = client.search(max_items=2, limit=2).item_collection()
    assert seen == [True, True]
    assert all(map(signed, items))
    assert all("copy" in item.assets for item in items)


def test_modifier_is_called_for_collections(sandbox: Sandbox) -> None:
    """For single collections, listed ones and search results."""
    seen: list[str] = []

    def modify(obj: Any) -> None:
        listed = obj["collections"] if isinstance(obj, dict) else [obj.to_dict()]
        seen.extend(collection["id"] for collection in listed)

    client = opened(sandbox, modifier=modify)
    client.get_collection(PRODUCT)
    assert seen.count(PRODUCT) == 1
    list(client.get_collections())
    assert seen.count(PRODUCT) == 2
    client.collection_search(limit=10).collection_list()
    assert seen.count(PRODUCT) == 3


def test_described_client(sandbox: Sandbox) -> None:
    """Items state what their layers mean, without an extra request."""
    client = opened(sandbox, describe=True)
    (item,) = client.search(max_items=1).items()
    assert item.assets["lst"].extra_fields["bands"][0]["raster:scale"] == 0.01
    assert len(api_requests(sandbox)) == 1
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    single = collection.get_item(item.id)
    assert single is not None
    assert "bands" in single.assets["lst"].extra_fields
    assert len(list(client.collection_search(limit=2).collections())) == 3


# Secrets


def secrets_of(sandbox: Sandbox) -> set[str]:
    """Return the password, the key, and each token sent."""
    sent = {
        one.headers.get("authorization", "").removeprefix("Bearer ") for one in sandbox.requests
    }
    aws = {sandbox.aws["secret_access_key"], sandbox.aws["token"]}
    return (sent | aws | {sandbox.password, sandbox.api_key}) - {""}


@pytest.mark.parametrize("api_key_mode", [False, True])
def test_no_secret_in_logs_and_errors(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    api_key_mode: bool,  # noqa: FBT001 - parametrized
) -> None:
    """DEBUG logs and errors contain no credential and no signature."""
    caplog.set_level(logging.DEBUG)
    with Sandbox(api_key_mode=api_key_mode) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        client = open_client(sign=True)
        items = client.search(limit=5).item_collection()
        sandbox.fail(Fault("/collections", status=501))
        with pytest.raises(ServerError) as caught:
            list(client.get_collections())
        shown = f"{caplog.text} {caught.value!r} {client!r} {client._stac_io!r}"
        secrets = secrets_of(sandbox)
    assert "/stac/search" in caplog.text
    assert len(secrets) > (3 if api_key_mode else 4)
    secrets |= {parse_qs(urlsplit(href).query)["X-Amz-Signature"][0] for href in hrefs(items[0])}
    assert not [secret for secret in secrets if secret in shown]


def test_pickled_client_has_no_secret(sandbox: Sandbox) -> None:
    """An unpickled client can search."""
    client = open_client(headers={"X-Team": "heat"}, parameters={"trace": "1"})
    items = client.search(collections=[PRODUCT], limit=5).item_collection()
    packed = pickle.dumps((client, items))
    assert not [secret for secret in secrets_of(sandbox) if secret.encode() in packed]
    sandbox.clear_requests()
    unpickled, its_items = pickle.loads(packed)  # noqa: S301 - pickled on this line
    assert [item.id for item in its_items] == [item.id for item in items]
    assert len(found_ids(unpickled)) == 15
    assert all(one.headers["x-team"] == "heat" for one in sandbox.requests if one.path != "/token")


def test_items_equal_the_servers_except_links(sandbox: Sandbox) -> None:
    """Only links are changed."""
    by_id = {item["id"]: item for item in sandbox.items}
    for item in opened(sandbox).search(collections=[PRODUCT]).items_as_dicts():
        original = dict(by_id[item["id"]])
        assert {**item, "links": None} == {**original, "links": None}
