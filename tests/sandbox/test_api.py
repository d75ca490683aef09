"""The sandbox's API answers as documented, including every documented status."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4
from zipfile import ZipFile

import pytest
import requests
from shapely.geometry import shape

from constellr_stac.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = date(2023, 6, 1)
HARBOR = {
    "type": "Polygon",
    "coordinates": [
        [
            [-118.28, 33.75],
            [-118.16, 33.75],
            [-118.16, 33.85],
            [-118.28, 33.85],
            [-118.28, 33.75],
        ]
    ],
}
DOCUMENTED_AREA = {
    "type": "Polygon",
    "coordinates": [
        [
            [11.053963, 51.690862],
            [11.976814, 51.690862],
            [11.976814, 51.059955],
            [10.944099, 51.073763],
            [11.053963, 51.690862],
        ]
    ],
}
ITEM = "LSTPRECISION_ECO01_9Q5B8K2T_20230624T112358Z"


class Caller:
    """A client of the API."""

    def __init__(self, sandbox: Sandbox, headers: dict[str, str]) -> None:
        self.sandbox = sandbox
        self.headers = headers

    def __call__(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        url = self.sandbox.api_url + path
        return requests.request(method, url, headers=headers, timeout=60, **kwargs)

    def area(self, geometry: Any = HARBOR, name: str = "Harbor", field: str = "geometry") -> str:
        """Register an area and return its id."""
        answer = self("POST", "/areas-of-interest", json={"name": name, field: geometry})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def order(self, *orders: dict[str, Any], **batch: Any) -> requests.Response:
        """Place a batch."""
        return self("POST", "/orders/batch", json={**batch, "orders": list(orders)})

    def search(self, **body: Any) -> requests.Response:
        """Search items."""
        named = {name.replace("filter_lang", "filter-lang"): value for name, value in body.items()}
        return self("POST", "/stac/search", json=named)

    def found(self, **body: Any) -> list[str]:
        """Return the ids of a search, up to 100."""
        answer = self.search(**{"limit": 100, **body})
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["features"]]


def log_in(sandbox: Sandbox, role: str = "owner") -> requests.Response:
    """Request a token."""
    account = sandbox.accounts[role]
    form = {"username": account.username, "password": account.password}
    return requests.post(f"{sandbox.api_url}/token", data=form, timeout=60)


def caller(sandbox: Sandbox, role: str = "owner") -> Caller:
    """Log in."""
    token = log_in(sandbox, role).json()["access_token"]
    return Caller(sandbox, {"Authorization": f"Bearer {token}"})


@pytest.fixture
def older() -> Iterator[Caller]:
    """The owner, on the older API."""
    with Sandbox(today=TODAY) as sandbox:
        yield caller(sandbox)


@pytest.fixture
def newer() -> Iterator[Caller]:
    """The owner, on the newer API."""
    with Sandbox(today=TODAY, newer=True) as sandbox:
        yield caller(sandbox)


def an_order(area: str, **changes: Any) -> dict[str, Any]:
    """Return a valid order."""
    return {
        "area_of_interest_id": area,
        "start_date": "2023-06-20T10:30:08.004000Z",
        "end_date": "2023-08-30T10:30:08.004000Z",
        "frequency": "max_frequency",
        "product_name": "LSTprecision",
        "comment": "Order for field 42",
        "tags": ["field42"],
        "illumination_constraint": None,
        **changes,
    }


def places(answer: requests.Response) -> list[list[Any]]:
    """Return the locations of a 422 answer in FastAPI's format."""
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert all({"loc", "msg", "type"} <= problem.keys() for problem in detail)
    return [problem["loc"] for problem in detail]


def square(metres: float) -> dict[str, Any]:
    """Return a square of about this many metres, on the equator in the middle of its UTM zone."""
    half = metres / 2 / 111_277.6
    west, east, south, north = 9 - half, 9 + half, 1 - half, 1 + half
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


# Authentication and permissions

NOBODYS = "f1c53eaa-9b26-4c3d-8998-bfc8e9ac1770"
UNKNOWN = "3d3327b1-2181-46a5-b9ba-f70fe01be3a4"
"""An id that nothing has; always the same, as tests bear it in their names."""

PERMITTED = [
    ("GET", "/orders"),
    ("POST", "/orders/batch"),
    ("GET", f"/orders/{UNKNOWN}"),
    ("PATCH", f"/orders/{UNKNOWN}"),
    ("GET", "/orders/meta/use-cases"),
    ("POST", "/areas-of-interest"),
    ("GET", "/areas-of-interest"),
    ("GET", f"/areas-of-interest/{UNKNOWN}"),
    ("POST", "/areas-of-interest/geometry-info"),
    ("GET", "/products"),
    ("GET", "/stac"),
    ("GET", "/stac/conformance"),
    ("GET", "/stac/collections"),
    ("GET", "/stac/collections/lstfusion"),
    ("GET", f"/stac/collections/lstprecision/items/{ITEM}"),
    ("POST", "/stac/search"),
]


@pytest.mark.parametrize(("method", "path"), PERMITTED)
def test_every_endpoint_requires_a_valid_token(sandbox: Sandbox, method: str, path: str) -> None:
    """Without a token, or with a forged or expired one, the answer is 401."""
    token = log_in(sandbox).json()["access_token"]
    for value in (None, token, f"Basic {token}", f"Bearer {token}x", "Bearer a.b.c", "Bearer "):
        headers = {} if value is None else {"Authorization": value}
        answer = Caller(sandbox, headers)(method, path)
        assert (answer.status_code, list(answer.json())) == (401, ["detail"])
    sandbox.advance(timedelta(hours=24))
    assert caller(sandbox)(method, path).status_code != 401
    assert Caller(sandbox, {"Authorization": f"Bearer {token}"})(method, path).status_code == 401


@pytest.mark.parametrize(("method", "path"), PERMITTED)
def test_every_endpoint_requires_permission(sandbox: Sandbox, method: str, path: str) -> None:
    """An account without permissions gets 403 everywhere."""
    answer = caller(sandbox, "viewer")(method, path)
    assert (answer.status_code, list(answer.json())) == (403, ["detail"])


@pytest.mark.parametrize("path", ["/stac", "/products", "/token", "/nowhere", "/areas-of-interest"])
def test_every_answer_has_a_date(sandbox: Sandbox, path: str) -> None:
    """Clients measure their clock skew with ``Date``, whatever the status."""
    sandbox.advance(timedelta(days=2))
    answer = requests.get(sandbox.api_url + path, timeout=60)
    ahead = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
    assert timedelta(days=2, seconds=-5) < ahead <= timedelta(days=2)


def test_unknown_paths_and_methods_are_refused(older: Caller) -> None:
    """Undocumented paths get 404, wrong methods 405."""
    for method, path, status in [
        ("GET", "/nowhere", 404),
        ("GET", "/stac/search", 405),
        ("GET", "/stac/collections/lstprecision/items", 404),
        ("GET", "/token", 405),
        ("DELETE", f"/orders/{UNKNOWN}", 405),
        ("DELETE", f"/areas-of-interest/{UNKNOWN}", 405),
        ("POST", "/areas-of-interest/convert", 405),
    ]:
        answer = older(method, path)
        assert (path, answer.status_code) == (path, status)
        assert list(answer.json()) == ["detail"]


# POST /token


def test_token_is_a_jwt(sandbox: Sandbox) -> None:
    """The answer holds only a JWT, whose ``exp`` is 24 hours away."""
    answer = log_in(sandbox)
    assert (answer.status_code, list(answer.json())) == (200, ["access_token"])
    head, claims, signature = (
        base64.urlsafe_b64decode(part + "==") for part in answer.json()["access_token"].split(".")
    )
    assert json.loads(head) == {"alg": "HS256", "typ": "JWT"}
    payload = json.loads(claims)
    assert payload["exp"] - payload["iat"] == pytest.approx(24 * 3600)
    assert payload["iat"] == pytest.approx(datetime.now(UTC).timestamp(), abs=5)
    assert len(signature) == 32


@pytest.mark.parametrize("role", ["unconfirmed", "reset_required"])
def test_unready_accounts_get_no_token(sandbox: Sandbox, role: str) -> None:
    """An unconfirmed user, or one who must reset the password, gets 401."""
    assert log_in(sandbox, role).status_code == 401


def test_wrong_password_gets_no_token(sandbox: Sandbox) -> None:
    """A wrong password and an unknown user get the same 401."""
    details = set()
    for username, password in [(sandbox.username, "wrong"), ("nobody@example.com", "x")]:
        form = {"username": username, "password": password}
        answer = requests.post(f"{sandbox.api_url}/token", data=form, timeout=60)
        assert answer.status_code == 401
        details.add(answer.json()["detail"])
    assert len(details) == 1


def test_token_requires_a_form(sandbox: Sandbox) -> None:
    """JSON, multipart and incomplete forms get 422, without repeating the password."""
    url = f"{sandbox.api_url}/token"
    form = {"username": sandbox.username, "password": sandbox.password}
    both = [["body", "username"], ["body", "password"]]
    for kwargs, missing in [
        ({"json": form}, both),
        ({"files": {name: (None, value) for name, value in form.items()}}, both),
        ({}, both),
        ({"data": {"username": "x"}}, [["body", "password"]]),
        ({"data": {**form, "username": ""}}, [["body", "username"]]),
        ({"data": urlencode(form), "headers": {"Content-Type": "text/plain"}}, both),
    ]:
        answer = requests.post(url, timeout=60, **kwargs)  # type: ignore[arg-type]  # a table
        assert places(answer) == missing
        assert sandbox.password not in answer.text


def test_tokens_expire_and_are_revoked() -> None:
    """A token works until it expires or all are revoked."""
    with Sandbox(token_lifetime=timedelta(seconds=120)) as sandbox:
        old = caller(sandbox)
        sandbox.advance(timedelta(seconds=60))
        assert old("GET", "/products").status_code == 200
        sandbox.advance(timedelta(seconds=61))
        assert old("GET", "/products").status_code == 401
        new = caller(sandbox)
        assert new("GET", "/products").status_code == 200
        sandbox.revoke_tokens()
        assert new("GET", "/products").status_code == 401
        assert caller(sandbox)("GET", "/products").status_code == 200


def test_api_key_mode() -> None:
    """The API key of an account in two workspaces is accepted; its password and tokens are not."""
    with Sandbox(api_key_mode=True) as sandbox:
        by_key = Caller(sandbox, {"X-Api-Key": sandbox.api_key})
        assert by_key("GET", "/products").status_code == 200
        assert log_in(sandbox).status_code == 401
        assert caller(sandbox, "legacy")("GET", "/products").status_code == 200
        new = sandbox.revoke_api_key()
        assert new == sandbox.api_key
        assert by_key("GET", "/products").status_code == 401
        assert Caller(sandbox, {"X-Api-Key": new})("GET", "/products").status_code == 200
        viewer = Caller(sandbox, {"X-Api-Key": sandbox.api_key_of("viewer")})
        assert viewer("GET", "/products").status_code == 403


# Areas of interest


def test_area_is_created_listed_and_fetched(older: Caller) -> None:
    """An area has measures in metres and a time without a zone, as documented."""
    body = {"name": "Test AOI", "description": "Test area", "geometry": HARBOR}
    answer = older("POST", "/areas-of-interest", json=body)
    area = answer.json()
    assert answer.status_code == 201
    assert list(area) == [
        *("name", "geometry", "description", "bbox_width", "bbox_height", "id", "created")
    ]
    assert {name: area[name] for name in body} == body
    assert datetime.fromisoformat(area["created"]).tzinfo is None
    assert older("GET", f"/areas-of-interest/{area['id']}").json() == area
    assert older("GET", "/areas-of-interest").json() == {"count": 1, "items": [area]}
    assert older.sandbox.areas == [area]


def test_geometry_info_matches_the_documentation(older: Caller) -> None:
    """The contract's example matches to 0.1 m and 0.1 m2."""
    for body in (DOCUMENTED_AREA, {"type": "Feature", "geometry": DOCUMENTED_AREA}):
        answer = older("POST", "/areas-of-interest/geometry-info", json=body)
        assert answer.status_code == 200
        assert answer.json() == {
            "bbox_width": pytest.approx(74218.0, abs=0.1),
            "bbox_height": pytest.approx(72561.2, abs=0.11),
            "area": pytest.approx(4728768008.0, abs=0.1),
        }


def ring(*positions: list[float]) -> dict[str, Any]:
    """Return a polygon of one ring."""
    return {"type": "Polygon", "coordinates": [list(positions)]}


UNSOUND = {
    "empty": {"type": "Polygon", "coordinates": []},
    "short": ring([0, 0], [1, 0], [0, 0]),
    "open": ring([0, 0], [1, 0], [1, 1], [0, 1]),
    "crossed": ring([0, 0], [2, 2], [2, 0], [0, 1], [0, 0]),
    "flat": ring([0, 0], [1, 0], [2, 0], [0, 0]),
    "off the globe": ring([0, 0], [181, 0], [181, 1], [0, 0]),
    "swapped": ring([33, -118], [34, -118], [34, -119], [33, -118]),
}


@pytest.mark.parametrize("invalid", UNSOUND.values(), ids=UNSOUND.keys())
def test_invalid_polygon_is_refused(older: Caller, invalid: dict[str, Any]) -> None:
    """An invalid polygon gets 400 when creating and measuring; nothing is stored."""
    body = {"name": "x", "geometry": invalid}
    assert older("POST", "/areas-of-interest", json=body).status_code == 400
    assert older("POST", "/areas-of-interest/geometry-info", json=invalid).status_code == 400
    assert older.sandbox.areas == []


def test_malformed_area_is_refused(older: Caller) -> None:
    """A body of another form gets 422 with the location."""
    for body, where in [
        ({}, [["body", "name"], ["body", "geometry"]]),
        ({"name": "", "geometry": HARBOR}, [["body", "name"]]),
        ({"name": "x", "geojson": HARBOR}, [["body", "geometry"]]),
        ({"name": "x", "geometry": {**HARBOR, "type": "Point"}}, [["body", "geometry", "type"]]),
        (
            {"name": "x", "geometry": ring([0, 0], [1, "east"])},  # type: ignore[list-item]
            [["body", "geometry", "coordinates", 0, 1, 1]],
        ),
    ]:
        assert places(older("POST", "/areas-of-interest", json=body)) == where
    answer = older("POST", "/areas-of-interest/geometry-info", json={"type": "Point"})
    assert places(answer) == [["body"]]


def test_bodies_must_be_json(older: Caller) -> None:
    """A broken body, no body, or another media type gets 422."""
    path = "/areas-of-interest"
    headers = {"Content-Type": "application/json"}
    assert places(older("POST", path, data=b'{"name": ', headers=headers)) == [["body", 9]]
    assert places(older("POST", path, data=b"NaN", headers=headers)) == [["body", 0]]
    assert places(older("POST", path)) == [["body"]]
    as_text = {"Content-Type": "text/plain"}
    assert places(older("POST", path, data=json.dumps(HARBOR), headers=as_text)) == [["body"]]


def test_area_names_are_unique(older: Caller) -> None:
    """A duplicate name gets 409."""
    older.area(name="one")
    answer = older("POST", "/areas-of-interest", json={"name": "one", "geometry": HARBOR})
    assert answer.status_code == 409
    assert answer.json() == {"detail": "An Area of Interest with this name already exists."}


@pytest.mark.parametrize("path", ["/orders", "/areas-of-interest", "/stac/collections"])
def test_paging_is_checked(older: Caller, path: str) -> None:
    """An invalid limit, offset or sort gets 422."""
    sort = "sortby" if "stac" in path else "sort"
    for query in ("limit=0", "limit=ten", "limit=1001", "offset=-1", f"{sort}=-size"):
        name = query.partition("=")[0]
        assert places(older("GET", f"{path}?{query}")) == [["query", name]]


@pytest.mark.parametrize("path", ["/orders", "/areas-of-interest"])
def test_ids_are_checked(older: Caller, path: str) -> None:
    """An invalid id gets 422, an unknown one 404."""
    name = "order_id" if path == "/orders" else "area_of_interest_id"
    assert places(older("GET", f"{path}/42")) == [["path", name]]
    assert older("GET", f"{path}/{UNKNOWN}").status_code == 404


@pytest.mark.parametrize("path", ["/orders", "/areas-of-interest"])
def test_listings_page(older: Caller, path: str) -> None:
    """Ten per page by default; the count is of all pages; ``-created`` is newest first."""
    ids = [older.area(name=f"area {number}") for number in range(12)]
    if path == "/orders":
        ids = [older.order(an_order(area)).json()[0]["id"] for area in ids]

    def page(query: str) -> list[str]:
        answer = older("GET", f"{path}?{query}").json()
        assert answer["count"] == 12
        return [entry["id"] for entry in answer["items"]]

    assert page("") == ids[:10]
    assert page("limit=5&offset=10") == ids[10:]
    assert page("offset=99") == []
    assert page("sort=-created&limit=3") == ids[:-4:-1]
    for ascending in ("created", "+created", "%2Bcreated"):
        assert page(f"sort={ascending}&limit=3") == ids[:3]
    assert page("sort=-created&limit=5&offset=5") == ids[-6:-11:-1]


# Orders


def test_order_is_placed_listed_and_fetched(older: Caller) -> None:
    """An order has the documented form and is stored."""
    area = older.area()
    asked = an_order(area, frequency="single-image", illumination_constraint="day")
    answer = older.order(asked, use_case="Yield Prediction", comment="Urgent")
    assert answer.status_code == 201
    (order,) = answer.json()
    assert set(order) == {*asked, "id", "created", "state"}
    assert {name: order[name] for name in asked if name != "tags"} == {
        name: value for name, value in asked.items() if name != "tags"
    }
    assert [list(tag) for tag in order["tags"]] == [["name", "id", "created"]]
    assert order["state"] == "initial_state"
    assert datetime.fromisoformat(order["created"]).tzinfo == UTC
    assert older("GET", f"/orders/{order['id']}").json() == order
    assert older("GET", "/orders").json() == {"count": 1, "items": [order]}
    assert older.sandbox.orders == [order]


def test_use_cases_are_listed(older: Caller) -> None:
    """Orders accept only the listed use cases."""
    cases = older("GET", "/orders/meta/use-cases").json()
    assert cases[0] == "Unknown"
    assert len(cases) == 6
    area = older.area()
    assert older.order(an_order(area), use_case=cases[1]).status_code == 201
    assert older.order(an_order(area), use_case="Fun").status_code == 400


DAY = timedelta(days=1)


def on(day: date) -> str:
    """Return noon of a day."""
    return f"{day}T12:00:00Z"


BROKEN: list[dict[str, Any]] = [
    {"start_date": on(TODAY + 7 * DAY)},
    {"end_date": "2023-06-20T10:30:08Z"},
    {"end_date": "2023-06-01T10:30:08Z"},
    {"end_date": "2023-06-27T10:30:08.003Z"},
    {"end_date": "2024-06-20T10:30:08.005Z"},
    {"end_date": "9999-12-31T23:59:59Z"},
    {"frequency": "daily"},
    {"tags": [str(number) for number in range(11)]},
    {"tags": ["x" * 51]},
    {"tags": ["twice", "twice"]},
    {"product_name": "LSTfusion", "frequency": "monthly"},
    {"product_name": "LSTfusion", "frequency": "daily", "end_date": "2023-06-01T00:00:00Z"},
]
KEPT: list[dict[str, Any]] = [
    {"start_date": on(TODAY + 8 * DAY)},
    {"end_date": "2023-06-27T10:30:08.004Z"},
    {"end_date": "2024-06-20T10:30:08.004Z"},
    {"start_date": "2024-02-29", "end_date": "2025-03-01"},
    {"start_date": "9999-12-01", "end_date": "9999-12-31"},
    {"frequency": "once_every_two_weeks"},
    {"frequency": "monthly", "product_name": "LSTzoom"},
    {"frequency": "single_image"},
    {"tags": [str(number) for number in range(10)]},
    {"tags": ["x" * 50]},
    {"tags": None},
    {"product_name": "LSTfusion", "frequency": "daily", "start_date": "2015-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("changes", BROKEN, ids=str)
def test_broken_rule_is_refused(older: Caller, changes: dict[str, Any]) -> None:
    """Each broken rule gets 400 with the order's number."""
    area = older.area()
    answer = older.order(an_order(area), an_order(area, **changes))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("orders[1]: ")
    assert older.sandbox.orders == []


@pytest.mark.parametrize("changes", KEPT, ids=str)
def test_order_at_the_limit_is_accepted(older: Caller, changes: dict[str, Any]) -> None:
    """Values at a rule's limit are allowed."""
    answer = older.order(an_order(older.area(), **changes))
    assert answer.status_code == 201, answer.text


def test_area_size_is_limited(older: Caller) -> None:
    """15,000 m each way for scenes, as the API measures; no limit for LSTfusion."""
    small, large = older.area(square(14_990), "small"), older.area(square(15_010), "large")
    sizes = [area["bbox_width"] for area in older.sandbox.areas]
    assert sizes[0] < 15_000 < sizes[1]
    assert older.order(an_order(small)).status_code == 201
    assert older.order(an_order(large)).status_code == 400
    fusion = an_order(large, product_name="LSTfusion", frequency="daily")
    assert older.order(fusion).status_code == 201


def test_area_and_product_must_exist(older: Caller) -> None:
    """An unknown area or product gets 404, and no order of the batch is placed."""
    area = older.area()
    for changes in ({"area_of_interest_id": str(uuid4())}, {"product_name": "LSTmagic"}):
        assert older.order(an_order(area), an_order(area, **changes)).status_code == 404
    assert older.sandbox.orders == []


def test_malformed_order_is_refused(older: Caller) -> None:
    """A body of another form gets 422 with one location per problem."""
    area = older.area()
    for field, value in [
        ("start_date", "soon"),
        ("area_of_interest_id", "1c53eaa"),
        ("frequency", "hourly"),
        ("frequency", "weekly"),
        ("illumination_constraint", "dusk"),
        ("tags", "field42"),
        ("product_name", None),
    ]:
        answer = older.order(an_order(area), an_order(area, **{field: value}))
        assert places(answer) == [["body", "orders", 1, field]]
    assert places(older("POST", "/orders/batch", json={})) == [["body", "orders"]]
    assert places(older.order()) == [["body", "orders"]]
    required = {"area_of_interest_id", "start_date", "end_date", "frequency", "product_name"}
    assert {place[-1] for place in places(older.order({}))} == required


def test_times_without_a_zone_are_utc(older: Caller) -> None:
    """Times are accepted in any zone and returned in UTC."""
    area = older.area()
    (order,) = older.order(
        an_order(area, start_date="2023-06-20T02:00:00+02:00", end_date="2023-07-20T00:00:00")
    ).json()
    assert order["start_date"] == "2023-06-20T00:00:00.000000Z"
    assert order["end_date"] == "2023-07-20T00:00:00.000000Z"


def test_tags_of_an_order_can_be_changed(older: Caller) -> None:
    """PATCH replaces the tags; known tags keep their id, other fields their values."""
    (order,) = older.order(an_order(older.area())).json()
    path = f"/orders/{order['id']}"
    changed = older("PATCH", path, json={"tags": ["new", "field42"]}).json()
    assert [tag["name"] for tag in changed["tags"]] == ["new", "field42"]
    assert changed["tags"][1] == order["tags"][0]
    assert {**changed, "tags": order["tags"]} == order
    assert older("PATCH", path, json={}).json() == changed
    assert places(older("PATCH", path, json={"tags": 3})) == [["body", "tags"]]
    assert places(older("PATCH", path, json={"tags": ["a", "a"]})) == [["body", "tags"]]
    assert places(older("PATCH", "/orders/42", json={})) == [["path", "order_id"]]
    assert older("PATCH", f"/orders/{UNKNOWN}", json={}).status_code == 404
    assert older("GET", path).json() == changed


def test_products_are_listed(older: Caller) -> None:
    """The documented list."""
    answer = older("GET", "/products")
    assert (answer.status_code, answer.json()) == (
        200,
        [{"name": "LSTprecision"}, {"name": "LSTfusion"}],
    )


# Deliveries


def delivering(*, newer: bool = False) -> Sandbox:
    """A sandbox whose orders take 100 seconds."""
    return Sandbox(today=TODAY, newer=newer, delivery=timedelta(seconds=100))


def test_scenes_arrive_one_by_one() -> None:
    """The catalogue starts empty and fills in time order; then the order is closed."""
    with delivering() as sandbox:
        owner = caller(sandbox)
        assert owner.found() == []
        (order,) = owner.order(an_order(owner.area())).json()
        counts, states = [0], [order["state"]]
        for _ in range(20):
            sandbox.advance(timedelta(seconds=5))
            counts.append(len(owner.found()))
            states.append(owner("GET", f"/orders/{order['id']}").json()["state"])
        assert counts == sorted(counts)
        assert len(set(counts)) > 10
        assert (counts[-1], len(sandbox.items)) == (15, 15)
        assert list(dict.fromkeys(states)) == [
            *("initial_state", "in_progress", "closing", "closed")
        ]
        assert counts[states.index("closing")] == 15


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 15),
        ({"frequency": "single_image"}, 1),
        ({"frequency": "monthly"}, 3),
        ({"frequency": "once_every_two_weeks"}, 4),
        ({"start_date": "2023-07-01T00:00:00Z", "end_date": "2023-07-31T23:00:00Z"}, 9),
        ({"illumination_constraint": "day"}, 7),
        ({"illumination_constraint": "night"}, 8),
        ({"product_name": "LSTzoom"}, 0),
    ],
    ids=str,
)
def test_deliveries_match_the_order(changes: dict[str, Any], expected: int) -> None:
    """Scenes are selected by product, time, light and frequency."""
    with Sandbox(today=TODAY, delivery=timedelta(0)) as sandbox:
        owner = caller(sandbox)
        (order,) = owner.order(an_order(owner.area(), **changes)).json()
        assert order["state"] == "closed"
        assert len(owner.found()) == expected


def test_deliveries_match_the_area() -> None:
    """Scenes elsewhere are not delivered."""
    with Sandbox(today=TODAY, delivery=timedelta(0)) as sandbox:
        owner = caller(sandbox)
        owner.order(an_order(owner.area(square(1000))))
        assert owner.found() == []


def test_settled_orders_keep_their_state(older: Caller) -> None:
    """A test can fix an order's state."""
    (order,) = older.order(an_order(older.area())).json()
    older.sandbox.settle_order(order["id"], "closed")
    assert older("GET", f"/orders/{order['id']}").json()["state"] == "closed"


# STAC except the search


def test_landing_page_matches_the_documentation(older: Caller) -> None:
    """No ``conformsTo``, no search link, links to another host; with and without the slash."""
    page = older("GET", "/stac").json()
    assert page == older("GET", "/stac/").json()
    assert set(page) == {
        *("type", "id", "title", "description", "stac_version", "links", "stac_extensions")
    }
    assert {link["rel"]: link["href"] for link in page["links"]} == {
        "self": "https://example.com/stac/",
        "data": "https://example.com/stac/collections",
    }


def test_conformance_matches_the_documentation(older: Caller) -> None:
    """Filters and sorting, but no item search."""
    classes = older("GET", "/stac/conformance").json()["conformsTo"]
    assert len(classes) == 4
    assert "https://api.stacspec.org/v1.0.0/ogcapi-features#sort" in classes
    assert not any("item-search" in name for name in classes)


def collections(who: Caller, **query: Any) -> list[str]:
    """Return the ids of the collections matching a query."""
    answer = who("GET", "/stac/collections", params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["numberReturned"] == len(body["collections"])
    assert body["links"] == [{"rel": "root", "href": "https://example.com/stac/"}]
    return [collection["id"] for collection in body["collections"]]


def test_collections_page_without_links(older: Caller) -> None:
    """Pages use limit and offset; ``numberMatched`` is of all pages."""
    assert collections(older) == ["lstprecision", "lstzoom", "lstfusion"]
    assert collections(older, limit=2) == ["lstprecision", "lstzoom"]
    assert collections(older, limit=2, offset=2) == ["lstfusion"]
    assert older("GET", "/stac/collections?limit=1").json()["numberMatched"] == 3


def test_collections_can_be_searched(older: Caller) -> None:
    """By bbox, time, filter in both languages, and sorted."""
    assert collections(older, bbox="-118.3,33.7,-118.2,33.8") == ["lstprecision", "lstfusion"]
    assert collections(older, bbox="-118.3,33.7,0,-118.2,33.8,9") == ["lstprecision", "lstfusion"]
    assert collections(older, datetime="2016-01-01T00:00:00Z") == ["lstfusion"]
    assert collections(older, datetime="2024-01-01T00:00:00Z/..") == ["lstzoom", "lstfusion"]
    by_text = {"filter": "id = 'lstzoom'", "filter-lang": "cql2-text"}
    assert collections(older, **by_text) == ["lstzoom"]
    by_json = {"op": "like", "args": [{"property": "title"}, "LSTf%"]}
    assert collections(older, filter=json.dumps(by_json)) == ["lstfusion"]
    assert collections(older, sortby="-id") == ["lstzoom", "lstprecision", "lstfusion"]
    assert collections(older, sortby="+license,+title")[0] == "lstfusion"


@pytest.mark.parametrize(
    "query",
    [
        {"bbox": "1,2,3"},
        {"bbox": "a,b,c,d"},
        {"bbox": "0,50,1,40"},
        {"datetime": "yesterday"},
        {"filter": "id =", "filter-lang": "cql2-text"},
        {"filter": "{}"},
        {"filter": "id = 'x'", "filter-lang": "sql"},
        {"sortby": "extent"},
    ],
    ids=str,
)
def test_invalid_collection_search_is_refused(older: Caller, query: dict[str, str]) -> None:
    """An invalid query gets 422 with the parameter's name."""
    answer = older("GET", "/stac/collections", params=query)
    assert places(answer) == [["query", next(iter(query))]]


def test_single_collection(older: Caller) -> None:
    """A collection has a self link; an unknown one gets 404, an invalid id 422."""
    found = older("GET", "/stac/collections/lstfusion").json()
    assert found["extent"]["spatial"]["bbox"] == [[-122.1, 5.1, 35.4, 53.6]]
    assert found["stac_version"] == "1.1.0"
    assert [link["rel"] for link in found["links"]] == ["items", "self"]
    assert older("GET", "/stac/collections/other").status_code == 404
    impossible = older("GET", "/stac/collections/a%00b")
    assert places(impossible) == [["path", "collection_id"]]


def test_collection_extent_covers_its_items(older: Caller) -> None:
    """The extent is computed from the items, if there are any."""
    extent = older("GET", "/stac/collections/lstprecision").json()["extent"]
    west, south, east, north = extent["spatial"]["bbox"][0]
    assert -118.3 < west < east < -118.1
    assert 33.7 < south < north < 33.9
    start, end = extent["temporal"]["interval"][0]
    assert (start[:10], end[:10]) == ("2023-06-24", "2023-08-26")


def test_single_item_matches_the_documentation(older: Caller) -> None:
    """An item has exactly the fields of the contract's example."""
    path = f"/stac/collections/lstprecision/items/{ITEM}"
    answer = older("GET", path)
    item = answer.json()
    assert answer.status_code == 200
    assert set(item) == {
        *("id", "type", "bbox", "geometry", "links", "assets", "collection", "properties"),
        *("stac_version", "stac_extensions"),
    }
    assert item["properties"] == {"gsd": 30, "datetime": "2023-06-24T11:23:58Z"}
    assert (item["stac_version"], item["stac_extensions"]) == ("1.1.0", [])
    prefix = f"s3://constellr-sandbox/LA harbor+port/{ITEM}"
    assert item["assets"] == {
        "lst": {"href": f"{prefix}/lst.tiff", "type": "image/tiff"},
        "metadata": {"href": f"{prefix}/metadata.json", "type": "application/json"},
        "scl_mask_30m": {"href": f"{prefix}/scl_mask_30m.tiff", "type": "image/tiff"},
    }
    assert {link["rel"]: link["href"] for link in item["links"]} == {
        "collection": "https://example.com/stac/collections/lstprecision",
        "self": f"https://example.com{path}",
    }
    assert item in older.sandbox.items


def test_missing_item_is_refused(older: Caller) -> None:
    """An unknown item, or one of another collection, gets 404; an invalid id 422."""
    for path in ("lstprecision/items/x", f"lstzoom/items/{ITEM}", f"other/items/{ITEM}"):
        assert older("GET", f"/stac/collections/{path}").status_code == 404
    answer = older("GET", f"/stac/collections/lstprecision/items/{'x' * 256}")
    assert places(answer) == [["path", "item_id"]]
    older.sandbox.remove_item("lstprecision", ITEM)
    assert older("GET", f"/stac/collections/lstprecision/items/{ITEM}").status_code == 404


# POST /stac/search


def test_search_pages_by_body(older: Caller) -> None:
    """``next`` is a POST with the complete next request; no item is lost or repeated."""
    body: dict[str, Any] = {
        "limit": 4,
        "collections": ["lstprecision"],
        "bbox": [-119, 33, -118, 34],
    }
    pages = []
    while True:
        answer = older("POST", "/stac/search", json=body).json()
        assert answer["type"] == "FeatureCollection"
        assert (answer["numberMatched"], answer["numberReturned"]) == (15, len(answer["features"]))
        pages.append([item["id"] for item in answer["features"]])
        links = {link["rel"]: link for link in answer["links"]}
        assert links["root"]["href"] == "https://example.com/stac/"
        assert links["self"]["href"] == "https://example.com/stac/search"
        if "next" not in links:
            break
        following = links["next"]
        assert (following["method"], following["href"]) == (
            "POST",
            "https://example.com/stac/search",
        )
        assert "merge" not in following
        assert {**following["body"], "token": None} == {**body, "token": None}
        body = following["body"]
    assert [len(page) for page in pages] == [4, 4, 4, 3]
    assert sorted(chain.from_iterable(pages)) == sorted(item["id"] for item in older.sandbox.items)


def test_search_defaults(older: Caller) -> None:
    """An empty search finds everything, ten per page, newest first."""
    answer = older.search().json()
    times = [item["properties"]["datetime"] for item in answer["features"]]
    assert (len(times), answer["numberMatched"]) == (10, 15)
    assert times == sorted(times, reverse=True)


def test_search_by_id_and_collection(older: Caller) -> None:
    """Unknown ids and collections match nothing."""
    assert older.found(ids=[ITEM, "x"]) == [ITEM]
    assert len(older.found(collections=["lstprecision", "other"])) == 15
    assert older.found(collections=["lstfusion"]) == []
    assert older.found(collections=[]) == []


def test_search_by_place(older: Caller) -> None:
    """Boxes in two and three dimensions and across the antimeridian, and any geometry."""
    everything = 15
    harbor = {"type": "Point", "coordinates": [-118.22, 33.8]}
    assert len(older.found(bbox=[-119, 33, -118, 34])) == everything
    assert len(older.found(bbox=[-119, 33, 0, -118, 34, 100])) == everything
    assert len(older.found(bbox=[170, 33, -118, 34])) == everything
    assert older.found(bbox=[-118, 33, -117, 34]) == []
    assert len(older.found(intersects=harbor)) == everything
    assert len(older.found(intersects=HARBOR)) == everything
    assert older.found(intersects={"type": "Point", "coordinates": [0, 0]}) == []
    assert older.found(bbox=[-118.284, 33.7452, -118.2839, 33.7453]) != []


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2023-06-24T11:23:58Z", 1),
        ("2023-06-24T11:23:59Z", 0),
        ("2023-06-24T13:23:58+02:00", 1),
        ("2023-06-24T11:23:58.000Z", 1),
        ("2023-07-01T00:00:00Z/2023-07-31T23:59:59Z", 9),
        ("2023-08-01T00:00:00Z/..", 4),
        ("2023-08-01T00:00:00Z/", 4),
        ("../2023-06-30T00:00:00Z", 2),
        ("2023-06-24T11:23:58Z/2023-06-24T11:23:58Z", 1),
    ],
)
def test_search_by_time(older: Caller, when: str, expected: int) -> None:
    """Instants and intervals, open or closed, ends included."""
    assert len(older.found(datetime=when)) == expected


LATE = "2023-08-01T00:00:00Z"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"op": "=", "args": [{"property": "id"}, ITEM]}, 1),
        ({"op": "eq", "args": [{"property": "id"}, ITEM]}, 1),
        ({"op": "not", "args": [{"op": "eq", "args": [{"property": "id"}, ITEM]}]}, 14),
        ({"op": ">=", "args": [{"property": "datetime"}, {"timestamp": LATE}]}, 4),
        ({"op": "s_intersects", "args": [{"property": "geometry"}, HARBOR]}, 15),
        ({"op": "=", "args": [{"property": "unknown"}, 1]}, 0),
        ({"op": "isNull", "args": [{"property": "unknown"}]}, 15),
        (f"datetime >= TIMESTAMP('{LATE}') AND gsd = 30", 4),
        ("id LIKE '%20230624%'", 1),
        ("gsd > 30", 0),
    ],
    ids=str,
)
def test_search_by_filter(older: Caller, expression: Any, expected: int) -> None:
    """CQL2 in both languages; a missing field is unknown, and unknown is no match."""
    language = {"filter_lang": "cql2-text"} if isinstance(expression, str) else {}
    assert len(older.found(filter=expression, **language)) == expected


def test_search_sorts(older: Caller) -> None:
    """By any field in either direction, or by several; items without the field come last."""
    ids = sorted(item["id"] for item in older.sandbox.items)
    assert older.found(sortby=[{"field": "id", "direction": "asc"}]) == ids
    assert older.found(sortby=[{"field": "datetime", "direction": "desc"}]) == ids[::-1]
    assert older.found(sortby=[{"field": "properties.datetime"}]) == ids
    item = older.sandbox.items[0]
    for number, share in enumerate((20, 5.5, 100)):
        changed = {**item["properties"], "share": share}
        older.sandbox.add_item({**item, "id": f"extra {number}", "properties": changed})
    by_share = [{"field": "share", "direction": "desc"}, {"field": "id", "direction": "asc"}]
    assert older.found(sortby=by_share) == ["extra 2", "extra 0", "extra 1", *ids]


def test_search_sorts_times_as_times(older: Caller) -> None:
    """Fractions of a second and time zones are compared as instants, not as strings."""
    item = older.sandbox.items[0]
    times = ["2030-01-01T00:00:00Z", "2030-01-01T00:00:00.5Z", "2030-01-01T02:00:00+03:00"]
    for number, when in enumerate(times):
        changed = {**item["properties"], "datetime": when}
        older.sandbox.add_item({**item, "id": f"time {number}", "properties": changed})
    late = "2029-01-01T00:00:00Z/.."
    assert older.found(datetime=late) == ["time 1", "time 0", "time 2"]


@pytest.mark.parametrize(
    "body",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [0, 50, 1, 40]},
        {"bbox": [0, 0, 9, 1, 1, 8]},
        {"bbox": [0, 0, 200, 1]},
        {"bbox": [0, 0, 1, 1], "intersects": HARBOR},
        {"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
        {"intersects": {"type": "Polygon", "coordinates": []}},
        {"intersects": {"type": "Polygon"}},
        {"datetime": "2023"},
        {"datetime": "2023-13-01T00:00:00Z"},
        {"datetime": "2023-06-24T11:23:58"},
        {"datetime": "../.."},
        {"datetime": "2024-01-01T00:00:00Z/2023-01-01T00:00:00Z"},
        {"filter": {"op": "nonsense", "args": [1, 2]}},
        {"filter": {"op": "="}},
        {"filter": {"op": "=", "args": [1]}},
        {"filter": "id = 'x'"},
        {"filter": "id =", "filter-lang": "cql2-text"},
        {"filter": "f(id) = 1", "filter-lang": "cql2-text"},
        {"filter": {"op": "=", "args": [1, 1]}, "filter-lang": "cql2-text"},
        {"filter": {"op": "=", "args": [1, 1]}, "filter-lang": "sql"},
        {"token": "elsewhere"},
        {"query": {"gsd": {"eq": 30}}},
    ],
    ids=str,
)
def test_invalid_search_is_refused(older: Caller, body: dict[str, Any]) -> None:
    """Invalid values get 400."""
    answer = older("POST", "/stac/search", json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])


def test_text_filter_error_names_position_and_expectation(older: Caller) -> None:
    """The message says where, and what was expected."""
    body = {"filter": "gsd == 30", "filter-lang": "cql2-text"}
    detail = older("POST", "/stac/search", json=body).json()["detail"]
    assert detail.startswith("invalid filter: ")
    assert "-->" not in detail  # cql2's position marker
    assert len(detail) > len("invalid filter: line 1, column 6: ")


@pytest.mark.parametrize(
    "body",
    [
        {"collections": "lstfusion"},
        {"ids": [1]},
        {"bbox": "0,0,1,1"},
        {"datetime": 2023},
        {"intersects": {"type": "Ball"}},
        {"filter": 3},
        {"sortby": "datetime"},
        {"sortby": [{"field": "id", "direction": "up"}]},
        {"limit": 0},
        {"limit": 1001},
        {"limit": "many"},
    ],
    ids=str,
)
def test_malformed_search_is_refused(older: Caller, body: dict[str, Any]) -> None:
    """Values of the wrong type get 422 with the location."""
    assert places(older("POST", "/stac/search", json=body))[0][:2] == ["body", next(iter(body))]


def test_presigned_search_keeps_foreign_hrefs(older: Caller) -> None:
    """Only hrefs in the sandbox's bucket are signed; stored items keep ``s3://``."""
    with Sandbox(presigned=True) as sandbox:
        item = {**sandbox.items[0], "id": "foreign"}
        item["assets"] = {"lst": {"href": "https://elsewhere.example/lst.tiff"}}
        sandbox.add_item(item)
        answer = caller(sandbox).search(limit=100).json()
        hrefs = {item["id"]: item["assets"]["lst"]["href"] for item in answer["features"]}
        assert hrefs.pop("foreign") == "https://elsewhere.example/lst.tiff"
        assert all("X-Amz-Signature=" in href for href in hrefs.values())
        assert sandbox.items[0]["assets"]["lst"]["href"].startswith("s3://")


# The newer API


@pytest.mark.parametrize(
    "wrapped",
    [
        HARBOR,
        {"type": "Feature", "geometry": HARBOR, "properties": {}},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": HARBOR}]},
        {"type": "MultiPolygon", "coordinates": [HARBOR["coordinates"]]},
    ],
    ids=lambda wrapped: str(wrapped["type"]),
)
def test_newer_area_is_geojson(newer: Caller, wrapped: dict[str, Any]) -> None:
    """Four kinds of GeoJSON are accepted, measured alike and returned unchanged."""
    newer.area(wrapped, field="geojson")
    (area,) = newer.sandbox.areas
    assert area["geojson"] == wrapped
    assert "geometry" not in area
    assert area["bbox_width"] == pytest.approx(11240, abs=1)
    info = newer("POST", "/areas-of-interest/geometry-info", json=wrapped).json()
    assert info["bbox_width"] == area["bbox_width"]


def test_newer_area_requires_exactly_one_polygon(newer: Caller) -> None:
    """None or two get 400; the older field gets 422; nothing is created."""
    feature = {"type": "Feature", "geometry": HARBOR}
    for count in (0, 2):
        for several in (
            {"type": "FeatureCollection", "features": [feature] * count},
            {"type": "MultiPolygon", "coordinates": [HARBOR["coordinates"]] * count},
        ):
            body = {"name": "x", "geojson": several}
            assert newer("POST", "/areas-of-interest", json=body).status_code == 400
    answer = newer("POST", "/areas-of-interest", json={"name": "x", "geometry": HARBOR})
    assert places(answer) == [["body", "geojson"]]
    assert newer.sandbox.areas == []


def test_newer_batch_is_limited(newer: Caller) -> None:
    """25 orders are accepted, 26 get 422."""
    area = newer.area(field="geojson")
    assert places(newer.order(*[an_order(area)] * 26)) == [["body", "orders"]]
    assert newer.sandbox.orders == []
    assert newer.order(*[an_order(area)] * 25).status_code == 201


NEWER_BROKEN: list[dict[str, Any]] = [
    {"start_date": on(TODAY - DAY)},
    {"frequency": "daily"},
    {"frequency": "single_image", "maximum_number_of_images": 2},
    {"product_name": "LSTfusion", "frequency": "weekly"},
    {"product_name": "LSTfusion", "frequency": "daily", "maximum_number_of_images": 2},
]
NEWER_KEPT: list[dict[str, Any]] = [
    {"start_date": on(TODAY)},
    {"frequency": "weekly"},
    {"frequency": "single_image", "maximum_number_of_images": 1},
    {"maximum_number_of_images": 5, "product_options": {"sharpened_10m": True}},
    {"product_name": "LSTfusion", "frequency": "daily", "start_date": "2015-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("changes", NEWER_BROKEN, ids=str)
def test_newer_rules_are_kept(newer: Caller, changes: dict[str, Any]) -> None:
    """Each broken rule gets 400."""
    answer = newer.order(an_order(newer.area(field="geojson"), **changes))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("changes", NEWER_KEPT, ids=str)
def test_newer_rules_allow(newer: Caller, changes: dict[str, Any]) -> None:
    """Valid newer fields are accepted and returned."""
    answer = newer.order(an_order(newer.area(field="geojson"), **changes))
    assert answer.status_code == 201, answer.text
    (order,) = answer.json()
    assert order["product_options"] == changes.get("product_options")
    most = 1 if changes.get("frequency") == "single_image" else None
    assert order["maximum_number_of_images"] == changes.get("maximum_number_of_images", most)
    assert order["rejection_reason"] is None


def test_newer_order_fields_are_checked(newer: Caller) -> None:
    """The old spelling of ``single_image`` and options of the wrong type get 422."""
    area = newer.area(field="geojson")
    for changes in (
        {"frequency": "single-image"},
        {"maximum_number_of_images": 0},
        {"product_options": {"sharpened_10m": "maybe"}},
    ):
        answer = newer.order(an_order(area, **changes))
        field = next(iter(changes))
        assert [place[:4] for place in places(answer)] == [["body", "orders", 0, field]]


def test_newer_fusion_area_is_limited(newer: Caller) -> None:
    """LSTfusion takes areas of 60 m to 110,000 m."""
    for metres, status in [(55, 400), (65, 201), (109_000, 201), (111_000, 400)]:
        area = newer.area(square(metres), f"{metres}", "geojson")
        order = an_order(area, product_name="LSTfusion", frequency="daily")
        assert (metres, newer.order(order).status_code) == (metres, status)


def test_newer_api_has_no_use_cases(newer: Caller) -> None:
    """The endpoint is gone, and ``use_case`` is ignored."""
    assert newer("GET", "/orders/meta/use-cases").status_code == 404
    area = newer.area(field="geojson")
    assert newer.order(an_order(area), use_case="Fun").status_code == 201


def test_newer_order_can_be_deleted_until_accepted() -> None:
    """204 while pending or rejected, 409 while in progress or closed."""
    with delivering(newer=True) as sandbox:
        owner = caller(sandbox)
        area = owner.area(field="geojson")
        placed = owner.order(*[an_order(area)] * 4).json()
        first, second, third, _ = (f"/orders/{order['id']}" for order in placed)
        assert owner("DELETE", first).status_code == 204
        assert owner("GET", first).status_code == 404
        assert owner("DELETE", first).status_code == 404
        sandbox.settle_order(placed[1]["id"], "rejected", reason="outside the mission")
        assert owner("GET", second).json()["rejection_reason"] == "outside the mission"
        assert owner("DELETE", second).status_code == 204
        for seconds, state in [(50, "in_progress"), (42, "closing"), (10, "closed")]:
            sandbox.advance(timedelta(seconds=seconds))
            assert owner("GET", third).json()["state"] == state
            assert owner("DELETE", third).status_code == 409
        assert places(owner("DELETE", "/orders/42")) == [["path", "order_id"]]
        assert len(sandbox.orders) == 2


def test_newer_area_can_be_deleted_when_unused() -> None:
    """204 without active orders, 409 with one, 404 once deleted."""
    with delivering(newer=True) as sandbox:
        owner = caller(sandbox)
        area = owner.area(field="geojson")
        path = f"/areas-of-interest/{area}"
        owner.order(an_order(area))
        assert owner("DELETE", path).status_code == 409
        sandbox.advance(timedelta(seconds=101))
        assert owner("DELETE", path).status_code == 204
        assert owner("DELETE", path).status_code == 404
        assert places(owner("DELETE", "/areas-of-interest/42"))[0][0] == "path"
        assert (sandbox.areas, len(sandbox.orders)) == ([], 1)


def test_newer_items_have_an_order_id() -> None:
    """A search by order finds its scenes, even if another order got the same ones."""
    with Sandbox(today=TODAY, newer=True, delivery=timedelta(0)) as sandbox:
        owner = caller(sandbox)
        area = owner.area(field="geojson")
        placed = owner.order(an_order(area), an_order(area, frequency="monthly")).json()
        for order, count in zip(placed, (15, 3), strict=True):
            for operator in ("eq", "="):
                by_order = {"op": operator, "args": [{"property": "order:id"}, order["id"]]}
                found = owner.found(filter=by_order)
                assert len(found) == count
            item = owner("GET", f"/stac/collections/lstprecision/items/{found[0]}").json()
            assert item["properties"]["order:id"] == order["id"]
            assert item["links"][1]["href"].endswith(f"/items/{found[0]}")
        assert len(owner.found()) == 18


def test_newer_files_are_named_by_their_scene(newer: Caller) -> None:
    """``<item id>_lst.tiff``, under the plain asset key; all items have an order id."""
    (item,) = newer.search(ids=[ITEM]).json()["features"]
    href = item["assets"]["lst"]["href"]
    assert href.endswith(f"/{ITEM}/{ITEM}_lst.tiff")
    assert "order:id" in item["properties"]


# POST /areas-of-interest/convert

KML = """<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>"""
PLACEMARK = """<Placemark><name>Harbor</name><Polygon><outerBoundaryIs><LinearRing><coordinates>
-118.28,33.75,0 -118.16,33.75,0 -118.16,33.85,0 -118.28,33.85,0 -118.28,33.75,0
</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"""
POINT = "<Placemark><Point><coordinates>1,2</coordinates></Point></Placemark>"


def convert(who: Caller, content: bytes, file_format: str, name: str) -> requests.Response:
    """Upload a file."""
    return who(
        "POST",
        "/areas-of-interest/convert",
        data={"file_format": file_format},
        files={"file": (name, content)},
    )


def test_kml_is_converted(newer: Caller) -> None:
    """A KML with one polygon becomes GeoJSON; nothing is stored."""
    answer = convert(newer, KML.format(PLACEMARK).encode(), "kml", "LA harbor.kml")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["name"] == "LA harbor"
    assert body["geojson"]["geometry"] == HARBOR
    assert newer.sandbox.areas == []
    newer.area(body["geojson"], body["name"], "geojson")


def test_shapefile_is_converted(newer: Caller, tmp_path: Path) -> None:
    """A zipped Shapefile in any CRS becomes longitude and latitude."""
    geopandas = pytest.importorskip("geopandas")
    polygon = geopandas.GeoSeries([shape(HARBOR)], crs=4326).to_crs(32611)
    polygon.to_file(tmp_path / "harbor.shp")
    parts = list(tmp_path.iterdir())
    with ZipFile(tmp_path / "harbor.zip", "w") as archive:
        for part in parts:
            archive.write(part, part.name)
    answer = convert(newer, (tmp_path / "harbor.zip").read_bytes(), "shapefile", "harbor.zip")
    assert answer.status_code == 200, answer.text
    found = shape(answer.json()["geojson"]["geometry"])
    assert found.symmetric_difference(shape(HARBOR)).area < 1e-9


@pytest.mark.parametrize(
    ("content", "file_format"),
    [
        (b"nonsense", "kml"),
        (b"", "kml"),
        (KML.format("").encode(), "kml"),
        (KML.format(PLACEMARK * 2).encode(), "kml"),
        (KML.format(POINT).encode(), "kml"),
        (KML.format(PLACEMARK).encode(), "shapefile"),
        (b"PK\x03\x04nonsense", "shapefile"),
        (b"x" * 10_000_001, "kml"),
    ],
    ids=["nonsense", "empty", "none", "two", "point", "other", "broken", "large"],
)
def test_bad_content_is_not_converted(newer: Caller, content: bytes, file_format: str) -> None:
    """A file without exactly one polygon, or larger than 10 MB, gets 400."""
    answer = convert(newer, content, file_format, "area")
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])


def test_conversion_form_is_checked(newer: Caller) -> None:
    """A missing or invalid field gets 422."""
    path = "/areas-of-interest/convert"
    assert places(newer("POST", path)) == [["body", "file_format"], ["body", "file"]]
    assert places(convert(newer, b"", "gpx", "x")) == [["body", "file_format"]]
    as_text = {"file_format": "kml", "file": "text"}
    assert places(newer("POST", path, data=as_text)) == [["body", "file"]]


def test_conversion_service_can_be_down(newer: Caller) -> None:
    """An unavailable service gets 502."""
    newer.sandbox.fail(Fault("/convert$", status=502))
    assert convert(newer, b"", "kml", "x").status_code == 502
