"""pystac-client searches the API as it is documented, and asks nobody else."""

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
def running() -> Iterator[Sandbox]:
    """A sandbox for all tests that leave it as it was."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, with nothing in its ledger, and the environment that leads there."""
    running.clear_requests()
    running.clear_faults()
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    return running


def decoded(sandbox: Sandbox, **options: Any) -> ConstellrClient:
    """Open the sandbox, and forget what that took."""
    client = open_client(**options)
    sandbox.clear_requests()
    return client


def asked(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return methods and paths of what the API was asked for, but for tokens."""
    return [
        (one.method, one.path)
        for one in sandbox.requests
        if one.server == "api" and one.path != "/token"
    ]


def bodies(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the searches that arrived."""
    return [json.loads(one.body) for one in sandbox.requests if one.path == "/stac/search"]


def queries(sandbox: Sandbox) -> list[dict[str, list[str]]]:
    """Return the queries for collections that arrived."""
    return [parse_qs(one.query) for one in sandbox.requests if one.path == "/stac/collections"]


def ids(sandbox: Sandbox) -> list[str]:
    """Return the ids of the scenes, the oldest first."""
    return sorted((item["id"] for item in sandbox.items), key=lambda name: name[-16:])


def found(client: ConstellrClient, **search: Any) -> list[str]:
    """Return the ids that a search finds."""
    return [item.id for item in client.search(collections=[PRODUCT], **search).items()]


def page(*links: dict[str, Any], features: int = 1) -> bytes:
    """Return an answer to a search that links to the next one."""
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


def test_opens_what_the_environment_names(sandbox: Sandbox) -> None:
    """Without an argument the environment's API is decoded, in two reads and without a warning."""
    client = open_client()
    assert isinstance(client, pystac_client.Client)
    assert asked(sandbox) == [("GET", "/stac"), ("GET", "/stac/conformance")]
    for name in ("ITEM_SEARCH", "COLLECTIONS", "FEATURES", "FILTER", "SORT", "COLLECTION_SEARCH"):
        assert client.conforms_to(name), name
    assert not client.conforms_to("QUERY")
    assert "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text" in client.get_conforms_to()


@pytest.mark.parametrize(
    "form", ["{url}", "{url}/", "{url}/stac", "{url}/stac/", " {url}\n", "HTTP://LOCALHOST:{port}"]
)
def test_url_with_and_without_stac(sandbox: Sandbox, form: str) -> None:
    """The API's URL is understood with and without the landing page's path, and as it is typed."""
    port = urlsplit(sandbox.api_url).port
    credential = Password(sandbox.username, sandbox.password)
    client = open_client(form.format(url=sandbox.api_url, port=port), auth=credential)
    host = "localhost" if "LOCALHOST" in form else "127.0.0.1"
    assert client.get_self_href() == f"http://{host}:{port}/stac"
    assert found(client, ids=ids(sandbox)[:1]) == ids(sandbox)[:1]


@pytest.mark.parametrize(
    ("url", "said"),
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
def test_url_that_is_none(url: str, said: str) -> None:
    """What is no URL of an API is an error that says why, and repeats no secret."""
    with pytest.raises(ValueError, match=said) as caught:
        open_client(url)
    assert "hunter2" not in str(caught.value)


def test_auth_brings_its_url(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An auth object is for one API: that is decoded, and no other with its credential."""
    monkeypatch.delenv("CONSTELLR_API_URL")
    auth = ConstellrAuth(base_url=sandbox.api_url)
    assert found(open_client(auth=auth), ids=ids(sandbox)[:1]) == ids(sandbox)[:1]
    assert open_client(f"{sandbox.api_url}/stac/", auth=auth)
    for other in ("https://api.constellr.com", f"{sandbox.api_url}/staging"):
        with pytest.raises(ValueError, match="is not sent to"):
            open_client(other, auth=auth)


def test_http_is_for_this_machine(sandbox: Sandbox) -> None:
    """A plain http API elsewhere is refused before anything is sent."""
    with pytest.raises(InsecureURLError):
        open_client("http://api.constellr.com")
    assert not sandbox.requests


def test_no_credential(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a credential nothing is sent, and the error lists where one was looked for."""
    monkeypatch.delenv("CONSTELLR_PASSWORD")
    with pytest.raises(CredentialsNotFoundError, match="CONSTELLR_API_KEY"):
        open_client()
    assert not sandbox.requests


def test_wrong_password(sandbox: Sandbox) -> None:
    """A wrong password is tried once, and the error does not repeat it."""
    with pytest.raises(AuthenticationError) as caught:
        open_client(auth=Password(sandbox.username, "wrong"))
    assert not isinstance(caught.value, PystacAPIError)
    assert "wrong" not in str(caught.value)
    assert [one.path for one in sandbox.requests] == ["/token"]


def test_no_tokens_any_more(sandbox: Sandbox) -> None:
    """Where there are no tokens any more, nobody knows whether there is such a thing."""
    client = decoded(sandbox)
    collection = client.get_collection(PRODUCT)
    assert collection
    sandbox.revoke_tokens()
    sandbox.fail(Fault("/token", status=404, times=2))
    with pytest.raises(NotFoundError, match="/token"):
        client.get_collection("another")
    with pytest.raises(NotFoundError, match="/token"):
        collection.get_item(ids(sandbox)[0])
    assert client.get_collection("another") is None


def test_nobody_there() -> None:
    """An API that does not answer is a connection error, also to pystac-client."""
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
    assert "X-Api-Key: " not in "".join(trace.format())  # as it was about to be sent


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>Welcome</html>", "invalid JSON"),
        (b"[]", "JSON that is not an object"),
        (b"\xff{}", "invalid JSON"),
        (b"1" * 10_000, "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
    ],
)
def test_not_the_api(sandbox: Sandbox, body: bytes, said: str) -> None:
    """An answer that is no STAC document says so, instead of failing somewhere below."""
    sandbox.fail(Fault("/stac$", status=200, body=body))
    with pytest.raises(APIError, match=f"{said}. Is this the API's URL"):
        open_client()


def test_kwargs_that_would_go_wrong(sandbox: Sandbox) -> None:
    """What would take the credential out of our hands is refused, and so is what nobody knows."""
    with pytest.raises(TypeError, match="uses its own stac_io"):
        open_client(stac_io=pystac_client.stac_api_io.StacApiIO())
    for header in ("Authorization", "x-api-key"):
        with pytest.raises(ValueError, match="auth="):
            open_client(headers={header: "secret"})
    with pytest.raises(TypeError, match="colour"):
        open_client(colour="red")


def test_kwargs_of_pystac_client(sandbox: Sandbox) -> None:
    """Headers, parameters and a request modifier reach each request, beside the credential."""
    seen: list[str] = []

    def modify(request: Any) -> None:
        seen.append(request.url)
        request.headers["X-Added"] = "yes"

    client = open_client(
        headers={"X-Team": "heat"}, parameters={"trace": "1"}, request_modifier=modify, timeout=9
    )
    assert found(client, limit=10)
    asked_for = [one for one in sandbox.requests if one.path != "/token"]
    assert len(asked_for) == len(seen) == 4
    for one in asked_for:
        assert one.headers["x-team"] == "heat"
        assert one.headers["x-added"] == "yes"
        assert one.headers["authorization"].startswith("Bearer ")
        assert one.query == "trace=1"
    assert client._stac_io is not None
    assert client._stac_io.timeout == 9


def test_what_is_not_given_anew_is_kept(sandbox: Sandbox) -> None:
    """Opening a client with this stac_io forgets neither its modifier nor its patience."""
    seen: list[str] = []
    stac_io = ConstellrIO(
        ConstellrAuth(), request_modifier=lambda request: seen.append(request.url), timeout=9
    )
    client = pystac_client.Client.open(f"{sandbox.api_url}/stac", stac_io=stac_io)
    assert client.search(max_items=1).matched() == 15
    assert len(seen) == 3
    assert stac_io.timeout == 9


def test_request_modifier_of_our_own(sandbox: Sandbox) -> None:
    """The modifier that vanilla pystac-client needs does no harm here."""
    assert found(open_client(request_modifier=request_modifier), ids=ids(sandbox)[:1])


# Searching items


def test_search_brings_every_page(sandbox: Sandbox) -> None:
    """A search follows the next links with their bodies, and brings each item once."""
    client = decoded(sandbox)
    assert sorted(found(client, limit=4)) == sorted(ids(sandbox))
    assert asked(sandbox) == [("POST", "/stac/search")] * 4
    assert [body.get("token") for body in bodies(sandbox)] == [None, "next:4", "next:8", "next:12"]
    assert all(body["collections"] == [PRODUCT] for body in bodies(sandbox))


def test_search_stops_when_it_has_enough(sandbox: Sandbox) -> None:
    """``max_items`` items are brought with as few pages as they need."""
    assert len(found(decoded(sandbox), limit=4, max_items=6)) == 6
    assert len(asked(sandbox)) == 2


def test_matched(sandbox: Sandbox) -> None:
    """The server counts, in one request."""
    assert decoded(sandbox).search(collections=[PRODUCT], datetime="2023-07").matched() == 9
    assert len(asked(sandbox)) == 1


def test_search_by_everything(sandbox: Sandbox) -> None:
    """Boxes, times, shapes, ids and collections find what they should, and nothing else."""
    client = decoded(sandbox)
    everything = set(ids(sandbox))
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
        assert set(found(client, **search)) == expected, search
    assert list(client.search(collections=["lstfusion"]).items()) == []


def test_filter_and_sort(sandbox: Sandbox) -> None:
    """CQL2 filters and sort orders are the server's work, and warn of nothing."""
    client = decoded(sandbox)
    after = {"op": ">=", "args": [{"property": "datetime"}, {"timestamp": "2023-08-01T00:00:00Z"}]}
    august = [name for name in ids(sandbox) if "_202308" in name]
    assert found(client, filter=after, sortby="datetime") == august
    assert found(client, filter=after, sortby=["-datetime"]) == august[::-1]
    assert found(client, filter=f"id = '{august[0]}'") == august[:1]


def test_operator_eq_is_sent_by_its_standard_name(sandbox: Sandbox) -> None:
    """The provider's own example writes ``eq``; CQL2 writes ``=``, and so does the request."""
    name = ids(sandbox)[0]
    by_name = {"op": "eq", "args": [{"property": "id"}, name]}
    both = {"op": "and", "args": [by_name, {"op": "eq", "args": [{"property": "gsd"}, 30]}]}
    assert found(decoded(sandbox), filter=both) == [name]
    assert '"eq"' not in json.dumps(bodies(sandbox))
    assert by_name["op"] == "eq", "the user's own dict stays as it is"


def test_search_by_get_is_refused(sandbox: Sandbox) -> None:
    """The API has no search by GET: that is said at once, and nothing is sent."""
    client = decoded(sandbox)
    with pytest.raises(ValueError, match="POST searches only"):
        client.search(method="GET", collections=[PRODUCT])
    by_get = pystac_client.ItemSearch(
        client._search_href(), method="GET", client=client, bbox=HARBOUR
    )
    with pytest.raises(ValueError, match="bbox="):
        list(by_get.items())
    assert not sandbox.requests
    assert client.search(method=None, ids=ids(sandbox)[:1]).matched() == 1


@pytest.mark.parametrize("body", [b'{"detail": "busy"}', b'{"features": null}'])
def test_search_answer_without_features(sandbox: Sandbox, body: bytes) -> None:
    """A success without features is a failure, not an empty search."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/search", status=200, body=body))
    with pytest.raises(APIError, match="JSON without features"):
        found(client)


def test_page_that_follows_itself(sandbox: Sandbox) -> None:
    """A page whose next page is itself is an error, not a loop."""
    client = decoded(sandbox)
    itself = {"rel": "next", "href": "https://example.com/stac/search", "body": {"token": "1"}}
    sandbox.fail(Fault("/search", status=200, body=page(itself), times=5))
    with pytest.raises(APIError, match="next link is the page itself"):
        list(client.search().items())
    assert len(asked(sandbox)) == 2
    again = {"rel": "next", "href": "https://example.com/stac/collections?offset=1"}
    body = json.dumps({"collections": [{"id": "a"}], "links": [again]}).encode()
    sandbox.fail(Fault("/collections", status=200, body=body, times=5))
    with pytest.raises(APIError, match="next link is the page itself"):
        list(client.collection_search(limit=1).pages_as_dicts())
    assert len(asked(sandbox)) == 4


# Collections and single items


def test_collections_come_page_by_page(sandbox: Sandbox) -> None:
    """All collections come, though their pages are not linked: by limit, offset and count."""
    client = decoded(sandbox)
    names = {"lstprecision", "lstzoom", "lstfusion"}
    assert {collection.id for collection in client.get_collections()} == names
    assert len(asked(sandbox)) == 1
    sandbox.clear_requests()
    by_one = client.collection_search(limit=1)
    assert {collection.id for collection in by_one.collections()} == names
    assert [query.get("offset") for query in queries(sandbox)] == [None, ["1"], ["2"]]
    assert all(query["limit"] == ["1"] for query in queries(sandbox))


def test_every_page_of_collections_keeps_the_question(sandbox: Sandbox) -> None:
    """The pages that are asked for one by one all belong to the same search."""
    client = decoded(sandbox)
    search = client.collection_search(limit=1, bbox=[-180, -90, 180, 90], sortby="-id")
    assert [collection.id for collection in search.collections()] == [
        "lstzoom",
        "lstprecision",
        "lstfusion",
    ]
    assert {str(query["bbox"]) for query in queries(sandbox)} == {"['-180.0,-90.0,180.0,90.0']"}


def test_collection_search_is_the_servers(sandbox: Sandbox) -> None:
    """Box, time, filter and order of a collection search go to the server, without a warning."""
    client = decoded(sandbox)
    search = client.collection_search(bbox=HARBOUR, datetime="2023-07", limit=1)
    assert search.matched() == 2
    (query,) = queries(sandbox)
    assert query["bbox"] == ["-118.3,33.7,-118.1,33.9"]
    assert query["datetime"] == ["2023-07-01T00:00:00Z/2023-07-31T23:59:59Z"]
    assert {collection.id for collection in search.collections()} == {PRODUCT, "lstfusion"}
    by_name = client.collection_search(filter={"op": "eq", "args": [{"property": "id"}, "lstzoom"]})
    assert [collection.id for collection in by_name.collections()] == ["lstzoom"]


def test_text_is_looked_for_here(sandbox: Sandbox) -> None:
    """The API does not look for text: pystac-client does, and says so."""
    client = decoded(sandbox)
    with pytest.warns(UserWarning, match="FREE_TEXT"):
        search = client.collection_search(q="Fusion")
    assert [collection.id for collection in search.collections()] == ["lstfusion"]


def test_single_collection(sandbox: Sandbox) -> None:
    """A collection comes from its own endpoint; one that is not there is None."""
    client = decoded(sandbox)
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    assert collection.id == PRODUCT
    assert client.get_collection("lstnothing") is None
    assert asked(sandbox) == [
        ("GET", f"/stac/collections/{PRODUCT}"),
        ("GET", "/stac/collections/lstnothing"),
    ]


def test_single_item(sandbox: Sandbox) -> None:
    """An item comes from its own endpoint; one that is not there is None."""
    name = ids(sandbox)[0]
    collection = decoded(sandbox).get_collection(PRODUCT)
    assert collection is not None
    item = collection.get_item(name)
    assert item is not None
    assert item.id == name
    assert collection.get_item("nothing") is None
    assert asked(sandbox)[1:] == [
        ("GET", f"/stac/collections/{PRODUCT}/items/{name}"),
        ("GET", f"/stac/collections/{PRODUCT}/items/nothing"),
    ]


def test_items_of_a_collection(sandbox: Sandbox) -> None:
    """No list of items is documented: a collection's items come from a search."""
    client = decoded(sandbox)
    some = ids(sandbox)[:2]
    listed = next(one for one in client.get_collections() if one.id == PRODUCT)
    for collection in (listed, client.get_collection(PRODUCT)):
        assert collection is not None
        assert sorted(item.id for item in collection.get_items()) == sorted(ids(sandbox))
        assert sorted(item.id for item in collection.get_items(*some)) == sorted(some)
    assert sorted(item.id for item in client.get_items(*some)) == sorted(some)
    assert {method for method, path in asked(sandbox) if "items" in path or "search" in path} == {
        "POST"
    }


# Links


def links_of(obj: Any) -> list[str]:
    """Return where the links of a STAC object lead."""
    return [link.get_href() or "" for link in obj.links]


def test_links_lead_to_the_api(sandbox: Sandbox) -> None:
    """The documented links name another host; what the client returns leads to the API."""
    client = decoded(sandbox)
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
def stranger() -> Iterator[tuple[str, list[bytes]]]:
    """A server that is not the API: its address, and what was said to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        heard: list[bytes] = []
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        try:
            connection, _ = server.accept()
        except TimeoutError:
            return
        with connection:
            heard.append(connection.recv(1000))


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
def test_next_link_to_elsewhere_is_not_followed(sandbox: Sandbox, where: str) -> None:
    """A next link that leaves the API is an error; nobody hears of the search or the credential."""
    client = decoded(sandbox)
    with stranger() as (address, heard):
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
    assert heard == []
    assert asked(sandbox) == [("POST", "/stac/search")]


@pytest.mark.parametrize(
    "href", ["https://example.com/stac/search", "search", "/stac/search", "{api}/stac/search"]
)
@pytest.mark.parametrize("method", ["POST", "post", None])
def test_next_link_below_the_advertised_address(
    sandbox: Sandbox, href: str, method: str | None
) -> None:
    """A next link below the address that the landing page gives as its own leads to the API."""
    client = decoded(sandbox)
    link = {**NEXT, "href": href.format(api=sandbox.api_url), "method": method}
    if method is None:
        del link["method"]  # it has a body, and so it is a POST
    body = page(link)
    sandbox.fail(Fault("/search", status=200, body=body))
    names = [item.id for item in client.search().items()]
    assert names[0] == "scene"
    assert len(names) == 1 + len(ids(sandbox)) - 1
    assert bodies(sandbox)[1] == {"token": "next:1"}


def test_landing_page_that_says_it_all() -> None:
    """Its other links and classes stay, and the conformance page is not asked."""
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
def test_landing_page_that_leads_astray(
    sandbox: Sandbox, links: list[dict[str, str]] | None
) -> None:
    """Search and collections are where the API documents them, whatever its links say."""
    landing = {"type": "Catalog", "id": "api", "description": "", "stac_version": "1.0.0"}
    body = json.dumps({**landing, "conformsTo": None, "links": links}).encode()
    sandbox.fail(Fault("/stac$", status=200, body=body))
    sandbox.fail(Fault("/conformance$", status=200, body=b'{"conformsTo": null}'))
    empty = json.dumps({"type": "FeatureCollection", "features": [], "links": None}).encode()
    sandbox.fail(Fault("/search$", status=200, body=empty))
    client = decoded(sandbox)
    assert list(client.search().items()) == []
    assert len(list(client.get_collections())) == 3


def test_landing_page_that_says_nothing() -> None:
    """The bare minimum of a landing page gets what a search and the collections need."""
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
    """Links of a server that does not know its own address are led home, without ``/stac`` too."""
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


def test_conformance_page_that_is_missing(sandbox: Sandbox) -> None:
    """An API without a conformance page is decoded; one that fails there is not."""
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
        (500, ServerError),
    ],
)
def test_status_is_a_typed_error(sandbox: Sandbox, status: int, kind: type[APIError]) -> None:
    """A refusal is the error of this package that fits, and pystac-client's own error as well."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/search", status=status, body=b'{"detail": "Not like this."}'))
    with pytest.raises(kind, match="Not like this") as caught:
        found(client)
    assert type(caught.value).__name__ == kind.__name__
    assert isinstance(caught.value, PystacAPIError)
    assert caught.value.status_code == status
    assert caught.value.request_url == f"{sandbox.api_url}/stac/search"
    assert len(asked(sandbox)) == 1


@pytest.mark.parametrize("body", [b"Bad\n\ngateway", b'{"detail": "Bad\\n\\ngateway"}'])
def test_detail_is_one_line(sandbox: Sandbox, body: bytes) -> None:
    """What the server says in several lines is told in one."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/search", status=500, body=body))
    with pytest.raises(ServerError, match=r": Bad gateway\. Try") as caught:
        found(client)
    assert caught.value.detail == "Bad gateway"


def test_wrong_search(sandbox: Sandbox) -> None:
    """What the API says about a wrong search reaches the user."""
    with pytest.raises(BadRequestError, match="bbox and intersects"):
        found(decoded(sandbox), bbox=HARBOUR, intersects=box(*HARBOUR))
    with pytest.raises(ValidationError, match="limit"):
        found(decoded(sandbox), limit=10_000)


def test_failures_of_a_modifier_are_its_own(sandbox: Sandbox) -> None:
    """What somebody's own request modifier raises is not taken for an answer of the API."""

    def modify(request: requests.Request) -> requests.Request:
        raise ValueError(f"no session was chosen for {request.method}")

    with pytest.raises(ValueError, match="no session was chosen for GET") as caught:
        open_client(request_modifier=modify)
    assert not isinstance(caught.value, ConstellrError)
    assert not asked(sandbox)


def test_redirect_to_nowhere(sandbox: Sandbox) -> None:
    """A redirect that no URL can be made of is a failure to answer."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/collections/", status=302, headers={"Location": "http://["}))
    with pytest.raises(APIConnectionError, match="was not answered"):
        client.get_collection(PRODUCT)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_server_is_asked_again(sandbox: Sandbox, status: int) -> None:
    """A search only reads: when the server is busy, it is sent again, and so is a GET."""
    client = decoded(sandbox)
    for path in ("/search", "/collections/"):
        sandbox.fail(Fault(path, status=status, headers={"Retry-After": "0"}))
    assert found(client, ids=ids(sandbox)[:1])
    assert client.get_collection(PRODUCT)
    assert (
        asked(sandbox)
        == [("POST", "/stac/search")] * 2 + [("GET", f"/stac/collections/{PRODUCT}")] * 2
    )


@pytest.mark.parametrize("wait", ["0.2", "soon", ""])
def test_wait_that_is_no_number_of_seconds(sandbox: Sandbox, wait: str) -> None:
    """A busy server that says how long in a way of its own is asked again as any other."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/search", status=503, headers={"Retry-After": wait}))
    assert found(client, ids=ids(sandbox)[:1])
    assert len(asked(sandbox)) == 2


def test_dropped_connection_is_made_again(sandbox: Sandbox) -> None:
    """A search whose connection drops is sent again."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/search", kind="reset"))
    assert found(client, ids=ids(sandbox)[:1])
    assert len(asked(sandbox)) == 2


def test_busy_for_good(sandbox: Sandbox) -> None:
    """A server that stays busy is an error after some tries, with its status."""
    client = decoded(sandbox)
    sandbox.fail(Fault("/search", status=429, headers={"Retry-After": "0"}, times=None))
    with pytest.raises(RateLimitError) as caught:
        found(client)
    assert caught.value.status_code == 429
    assert 2 < len(asked(sandbox)) < 8


def test_token_ends_between_pages(sandbox: Sandbox) -> None:
    """A token that is revoked half-way costs a new token, and no item."""
    search = decoded(sandbox).search(collections=[PRODUCT], limit=5)
    names = []
    for number, page_ in enumerate(search.pages()):
        names += [item.id for item in page_]
        if number == 0:
            sandbox.revoke_tokens()
    assert sorted(names) == sorted(ids(sandbox))
    assert [one.path for one in sandbox.requests].count("/token") == 1


@pytest.mark.parametrize("kind", [NotFoundError, APIConnectionError, ConstellrError])
def test_errors_travel(kind: type[ConstellrError]) -> None:
    """An error keeps its types, message and facts on its way to another process."""
    error = for_pystac(kind("no", status_code=404, request_url="https://api.example/stac"))
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled right here
    assert isinstance(arrived, kind)
    assert isinstance(arrived, PystacAPIError)
    assert str(arrived) == "no"
    assert (arrived.status_code, arrived.request_url) == (404, "https://api.example/stac")


# Signing and describing


def hrefs(obj: Any) -> list[str]:
    """Return the hrefs of an item's or collection's assets."""
    return [asset.href for asset in obj.assets.values()]


def signed(obj: Any) -> bool:
    """Say whether all hrefs are signed."""
    return bool(hrefs(obj)) and all("X-Amz-Signature=" in href for href in hrefs(obj))


def test_hrefs_are_left_alone(sandbox: Sandbox) -> None:
    """Without being asked the client signs nothing."""
    (item,) = decoded(sandbox).search(max_items=1).items()
    assert all(href.startswith("s3://") for href in hrefs(item))


def test_signed_client(sandbox: Sandbox) -> None:
    """A signing client returns items whose hrefs a plain HTTP client can read."""
    client = decoded(sandbox, sign=True)
    search = client.search(max_items=2)
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    for item in [
        *search.items(),
        *search.item_collection(),
        *collection.get_items(ids(sandbox)[0]),
        collection.get_item(ids(sandbox)[0]),
    ]:
        assert signed(item)
    assert client.collection_search(limit=1).matched() == 3
    assert len(list(client.get_collections())) == 3
    for href in hrefs(item):
        assert urllib3.request("GET", href, retries=False).status == 200


def test_client_with_a_signer(sandbox: Sandbox) -> None:
    """A signer of one's own signs with its own lifetime."""
    client = decoded(sandbox, sign=Signer(expires_in=timedelta(minutes=7)))
    (item,) = client.search(max_items=1).items()
    assert all("X-Amz-Expires=420" in href for href in hrefs(item))


def test_client_that_cannot_sign(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing AWS credentials are an error that lists the places, before anything is read."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SigningError, match="AWS_ACCESS_KEY_ID: not set"):
        found(decoded(sandbox, sign=True))


def test_search_and_collection_are_signed(sandbox: Sandbox) -> None:
    """``sign`` takes what the client returns: a search, a collection, an item."""
    client = decoded(sandbox)
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
    assert copied.get_item(ids(sandbox)[0]) is not None


def test_modifiers_are_called_in_order(sandbox: Sandbox) -> None:
    """An own modifier sees described items, and what it adds is signed."""
    seen: list[bool] = []

    def modify(obj: Any) -> None:
        for item in obj.get("features", ()):
            lst = item["assets"]["lst"]
            seen.append("bands" in lst and lst["href"].startswith("s3://"))
            item["assets"]["copy"] = {"href": lst["href"]}

    client = decoded(sandbox, sign=True, describe=True, modifier=modify)
    items = client.search(max_items=2, limit=2).item_collection()
    assert seen == [True, True]
    assert all(map(signed, items))
    assert all("copy" in item.assets for item in items)


def test_collections_are_modified_too(sandbox: Sandbox) -> None:
    """A modifier is called for single collections, listed ones and those of a search."""
    seen: list[str] = []

    def modify(obj: Any) -> None:
        found = obj["collections"] if isinstance(obj, dict) else [obj.to_dict()]
        seen.extend(collection["id"] for collection in found)

    client = decoded(sandbox, modifier=modify)
    client.get_collection(PRODUCT)
    assert seen.count(PRODUCT) == 1
    list(client.get_collections())
    assert seen.count(PRODUCT) == 2
    client.collection_search(limit=10).collection_list()
    assert seen.count(PRODUCT) == 3


def test_described_client(sandbox: Sandbox) -> None:
    """A describing client returns items that say what their layers mean, without a request more."""
    client = decoded(sandbox, describe=True)
    (item,) = client.search(max_items=1).items()
    assert item.assets["lst"].extra_fields["bands"][0]["raster:scale"] == 0.01
    assert len(asked(sandbox)) == 1
    collection = client.get_collection(PRODUCT)
    assert collection is not None
    single = collection.get_item(item.id)
    assert single is not None
    assert "bands" in single.assets["lst"].extra_fields
    assert len(list(client.collection_search(limit=2).collections())) == 3


# Secrets


def secrets_of(sandbox: Sandbox) -> set[str]:
    """Return what nobody may read: password, key, and each token that was sent."""
    sent = {
        one.headers.get("authorization", "").removeprefix("Bearer ") for one in sandbox.requests
    }
    aws = {sandbox.aws["secret_access_key"], sandbox.aws["token"]}
    return (sent | aws | {sandbox.password, sandbox.api_key}) - {""}


@pytest.mark.parametrize("api_key_mode", [False, True])
def test_no_secret_in_logs(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    api_key_mode: bool,  # noqa: FBT001 - a parameter of the law
) -> None:
    """Everybody's DEBUG logs and all errors together show no credential and no signature."""
    caplog.set_level(logging.DEBUG)
    with Sandbox(api_key_mode=api_key_mode) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        client = open_client(sign=True)
        items = client.search(limit=5).item_collection()
        sandbox.fail(Fault("/collections", status=500))
        with pytest.raises(ServerError) as caught:
            list(client.get_collections())
        shown = f"{caplog.text} {caught.value!r} {client!r} {client._stac_io!r}"
        secrets = secrets_of(sandbox)
    assert "/stac/search" in caplog.text
    assert len(secrets) > (3 if api_key_mode else 4)
    secrets |= {parse_qs(urlsplit(href).query)["X-Amz-Signature"][0] for href in hrefs(items[0])}
    assert not [secret for secret in secrets if secret in shown]


def test_pickles_hold_no_secret(sandbox: Sandbox) -> None:
    """A client travels with its items: without a secret, and able to search where it arrives."""
    client = open_client(headers={"X-Team": "heat"}, parameters={"trace": "1"})
    items = client.search(collections=[PRODUCT], limit=5).item_collection()
    packed = pickle.dumps((client, items))
    assert not [secret for secret in secrets_of(sandbox) if secret.encode() in packed]
    sandbox.clear_requests()
    arrived, its_items = pickle.loads(packed)  # noqa: S301 - pickled right here
    assert [item.id for item in its_items] == [item.id for item in items]
    assert len(found(arrived)) == 15
    assert all(one.headers["x-team"] == "heat" for one in sandbox.requests if one.path != "/token")


def test_items_are_the_servers(sandbox: Sandbox) -> None:
    """Nothing but links is changed in an item."""
    by_id = {item["id"]: item for item in sandbox.items}
    for item in decoded(sandbox).search(collections=[PRODUCT]).items_as_dicts():
        original = dict(by_id[item["id"]])
        assert {**item, "links": None} == {**original, "links": None}
