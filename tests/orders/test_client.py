"""OrdersClient against the sandbox: every endpoint, both API versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import requests
import shapely
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from area_files import KINDS
from constellr_stac import (
    APIConnectionError,
    APIError,
    ApiKey,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConstellrAuth,
    ForbiddenError,
    NotFoundError,
    OrderValidationError,
    Password,
    RateLimitError,
    ServerError,
    ValidationError,
)
from constellr_stac.errors import InsecureURLError
from constellr_stac.orders import (
    CONTRACT_RULES,
    NEWER_RULES,
    AreaOfInterest,
    AreaOfInterestExistsError,
    InvalidAreaError,
    Order,
    OrdersClient,
    Product,
    measure,
    same_area,
)
from constellr_stac.orders.geometry import geojson_of
from constellr_stac.sandbox import Fault
from ordering import FIELD, TODAY, batches_sent, client_of, new_name, open_sandbox, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox

AGES = ("older", "newer")


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    """Both API versions."""
    with open_sandbox() as older, open_sandbox(newer=True) as newer:
        yield {"older": older, "newer": newer}


@pytest.fixture(params=AGES)
def age(request: pytest.FixtureRequest) -> str:
    """The API version."""
    return str(request.param)


@pytest.fixture
def sandbox(sandboxes: dict[str, Sandbox], age: str) -> Sandbox:
    """One API version, without faults and recorded requests."""
    chosen = sandboxes[age]
    chosen.clear_faults()
    chosen.clear_requests()
    return chosen


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[OrdersClient]:
    """A client that does not know the API version yet."""
    with client_of(sandbox) as client:
        yield client


@pytest.fixture
def area(client: OrdersClient) -> AreaOfInterest:
    """An area for orders."""
    return client.create_aoi(new_name(), FIELD)


# Areas of interest


def test_created_area_can_be_fetched_and_listed(client: OrdersClient) -> None:
    """The same value comes back from create, get and list."""
    name = new_name()
    created = client.create_aoi(name, FIELD, "by the river")
    assert (created.name, created.description) == (name, "by the river")
    assert same_area(created.geometry, FIELD)
    size = measure(FIELD)
    assert created.bbox_width == pytest.approx(size.bbox_width, abs=0.06)
    assert created.bbox_height == pytest.approx(size.bbox_height, abs=0.06)
    assert created.created is not None
    assert created.created.tzinfo is UTC
    assert client.get_aoi(str(created.id)) == created
    assert created in list(client.list_aois())
    assert next(client.list_aois(limit=1)) == created


def test_polygon_field_is_detected_once(sandbox: Sandbox, age: str) -> None:
    """A new client tries one field, then the other, and remembers it."""
    client = client_of(sandbox)
    client.create_aoi(new_name(), FIELD)
    client.create_aoi(new_name(), FIELD)
    sent = [each for each in sandbox.requests if each.path == "/areas-of-interest"]
    assert [each.status for each in sent] == [201, 201] if age == "older" else [422, 201, 201]
    form = "geometry" if age == "older" else "geojson"
    assert {"name", form} == set(json.loads(sent[-1].body))


def test_polygon_field_is_learnt_from_any_response(sandbox: Sandbox, age: str) -> None:
    """A client that has seen an area posts the right field at once."""
    client_of(sandbox).create_aoi(new_name(), FIELD)
    client = client_of(sandbox)
    assert next(client.list_aois())
    sandbox.clear_requests()
    client.create_aoi(new_name(), FIELD)
    assert [each.status for each in sandbox.requests] == [201]
    assert client.rules is (CONTRACT_RULES if age == "older" else NEWER_RULES)


def test_refused_polygon_field_is_switched_once(sandbox: Sandbox, age: str) -> None:
    """A known field that is refused later, such as after an upgrade, is replaced."""
    form, other = ("geometry", "geojson") if age == "older" else ("geojson", "geometry")
    shown = {"name": "n", other: geojson_of(FIELD), "id": "1"}
    body = json.dumps({"count": 1, "items": [shown]}).encode()
    sandbox.fail(Fault("/areas-of-interest$", method="GET", status=200, body=body))
    client = client_of(sandbox)
    assert next(client.list_aois())
    sandbox.clear_requests()
    client.create_aoi(new_name(), FIELD)
    client.create_aoi(new_name(), FIELD)
    with pytest.raises(ValidationError, match="name: "):
        client.create_aoi("", FIELD)
    assert [each.status for each in sandbox.requests] == [422, 201, 201, 422]
    assert form in json.loads(sandbox.requests[-1].body)


def test_invalid_name_is_reported_with_the_right_polygon_field(sandbox: Sandbox) -> None:
    """A 422 about another field names that field, and nothing is created."""
    client = client_of(sandbox)
    before = len(sandbox.areas)
    with pytest.raises(ValidationError, match="name: ") as refused:
        client.create_aoi("", FIELD)
    assert "geometry" not in refused.value.detail
    assert "geojson" not in refused.value.detail
    assert len(sandbox.areas) == before


def test_taken_name_error_carries_the_existing_area(
    client: OrdersClient, area: AreaOfInterest
) -> None:
    """409 is an AreaOfInterestExistsError with ``existing``."""
    with pytest.raises(AreaOfInterestExistsError, match="exist_ok=True") as refused:
        client.create_aoi(area.name, FIELD)
    assert isinstance(refused.value, ConflictError)
    assert refused.value.existing == area
    assert refused.value.status_code == 409
    assert (refused.value.method, refused.value.path) == ("POST", "/areas-of-interest")
    assert refused.value.hint in str(refused.value)


def test_exist_ok_requires_the_same_geometry(client: OrdersClient, area: AreaOfInterest) -> None:
    """With ``exist_ok`` an existing area is returned only if its geometry is the same."""
    ring = list(FIELD.exterior.coords)[:-1]
    turned = [*ring[2:], *ring[:2], ring[2]][::-1]
    assert client.create_aoi(area.name, shapely.Polygon(turned), exist_ok=True) == area
    with pytest.raises(AreaOfInterestExistsError, match="geometry") as refused:
        client.create_aoi(area.name, FIELD.buffer(0.001), exist_ok=True)
    assert refused.value.existing == area


def test_taken_name_is_found_on_any_page(
    sandboxes: dict[str, Sandbox],
) -> None:
    """The existing area may be on any page of the list."""
    with client_of(sandboxes["older"]) as client:
        first = client.create_aoi(new_name(), FIELD)
        for _ in range(101):
            client.create_aoi(new_name(), FIELD)
        assert client.create_aoi(first.name, FIELD, exist_ok=True) == first


def test_concurrent_create_with_exist_ok_creates_one_area(sandbox: Sandbox) -> None:
    """Clients that register the same field concurrently all get the one area."""
    name = new_name()
    start = threading.Barrier(6)

    def register(_number: int) -> AreaOfInterest:
        with client_of(sandbox) as client:
            assert client.products()  # logged in
            start.wait(timeout=60)
            return client.create_aoi(name, FIELD, exist_ok=True)

    with ThreadPoolExecutor(6) as pool:
        ids = {area.id for area in pool.map(register, range(6))}
    assert [each["id"] for each in sandbox.areas if each["name"] == name] == list(ids)


def test_concurrent_create_of_different_areas_reports_the_first(sandbox: Sandbox) -> None:
    """Without ``exist_ok``, or with another geometry, the error has the first client's area."""
    name = new_name()
    start = threading.Barrier(2)

    def register(geometry: shapely.Polygon) -> AreaOfInterest | AreaOfInterestExistsError:
        with client_of(sandbox) as client:
            assert client.products()
            start.wait(timeout=60)
            try:
                return client.create_aoi(name, geometry, exist_ok=geometry is not FIELD)
            except AreaOfInterestExistsError as refused:
                return refused

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(register, [FIELD, FIELD.buffer(0.001)]))
    [created] = [each for each in results if isinstance(each, AreaOfInterest)]
    [refused] = [each for each in results if isinstance(each, AreaOfInterestExistsError)]
    assert refused.existing == created


def test_taken_name_is_reported_without_list_permission(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """The 409 is still reported if the existing area cannot be listed."""
    sandbox.fail(Fault("/areas-of-interest$", method="GET", status=403))
    with pytest.raises(AreaOfInterestExistsError, match="another name") as refused:
        client.create_aoi(area.name, FIELD, exist_ok=True)
    assert refused.value.existing is None


def test_invalid_geometry_sends_no_request(sandbox: Sandbox, client: OrdersClient) -> None:
    """An invalid geometry is refused locally."""
    with pytest.raises(InvalidAreaError):
        client.create_aoi(new_name(), shapely.Point(8, 49))
    with pytest.raises(InvalidAreaError):
        client.geometry_info({"type": "Polygon", "coordinates": []})
    assert sandbox.requests == []


@pytest.mark.parametrize("name", ["field.geojson", "field.gpkg", "field.kmz", "field shape.zip"])
def test_area_is_created_from_a_file(client: OrdersClient, tmp_path: Path, name: str) -> None:
    """A path is accepted in place of a geometry."""
    path = tmp_path / name
    KINDS[name](path)
    created = client.create_aoi(new_name(), path)
    assert same_area(created.geometry, shapely.box(8.6, 49.8, 8.7, 49.9))


def test_geometry_info_equals_local_measure(client: OrdersClient) -> None:
    """The server's numbers equal ours, to their last digit."""
    reported, ours = client.geometry_info(FIELD), measure(FIELD)
    assert reported.bbox_width == pytest.approx(ours.bbox_width, abs=0.051)
    assert reported.bbox_height == pytest.approx(ours.bbox_height, abs=0.051)
    assert reported.area == pytest.approx(ours.area, abs=0.051)


def test_area_with_active_orders_cannot_be_deleted(
    client: OrdersClient, sandbox: Sandbox, age: str, area: AreaOfInterest
) -> None:
    """Newer API: 409 with active orders, then 204, then 404. Older API: 405."""
    if age == "older":
        with pytest.raises(APIError) as refused:
            client.delete_aoi(str(area.id))
        assert refused.value.status_code == 405
        return
    [order] = client.create(wish(area))
    with pytest.raises(ConflictError):
        client.delete_aoi(str(area.id))
    sandbox.settle_order(str(order.id), "rejected")
    client.delete_aoi(str(area.id))
    with pytest.raises(NotFoundError):
        client.delete_aoi(str(area.id))
    with pytest.raises(NotFoundError):
        client.get_aoi(str(area.id))


@pytest.mark.parametrize("name", ["field.kml", "field.kmz", "field shape.zip"])
def test_newer_api_converts_files(sandboxes: dict[str, Sandbox], tmp_path: Path, name: str) -> None:
    """KML, KMZ and Shapefiles are returned as areas, and nothing is stored."""
    sandbox = sandboxes["newer"]
    client, before = client_of(sandbox), len(sandbox.areas)
    path = tmp_path / name
    KINDS[name](path)
    area = client.convert_aoi(path)
    assert same_area(area.geometry, shapely.box(8.6, 49.8, 8.7, 49.9))
    assert area.id is None
    assert len(sandbox.areas) == before


def test_converter_reports_broken_file(sandboxes: dict[str, Sandbox], tmp_path: Path) -> None:
    """An unreadable file is a BadRequestError; the older API has no converter."""
    path = tmp_path / "broken.kml"
    path.write_text("<kml")
    with pytest.raises(BadRequestError):
        client_of(sandboxes["newer"]).convert_aoi(path)
    with pytest.raises(APIError, match=r"constellr-stac\[geo\]") as refused:
        client_of(sandboxes["older"]).convert_aoi(path)
    assert refused.value.status_code in (404, 405)


def test_converter_is_retried_after_502(sandboxes: dict[str, Sandbox], tmp_path: Path) -> None:
    """502 is retried; the final error names the extra to install."""
    sandbox, path = sandboxes["newer"], tmp_path / "field.kml"
    KINDS["field.kml"](path)
    sandbox.fail(Fault("/convert", status=502))
    assert client_of(sandbox).convert_aoi(path).name == "field"
    sandbox.fail(Fault("/convert", status=502, times=None))
    with (
        requests.Session() as session,  # one without retries
        pytest.raises(ServerError, match=r"constellr-stac\[geo\]"),
    ):
        client_of(sandbox, session=session).convert_aoi(path)
    sandbox.clear_faults()


WITHOUT_GEO = """
import sys
sys.modules["geopandas"] = sys.modules["pyogrio"] = None  # simulates that they are not installed
from constellr_stac.errors import MissingExtraError
from constellr_stac.orders import OrdersClient
with OrdersClient() as client:
    for path in sys.argv[1:]:
        try:
            print(client.create_aoi(path, path).id)
        except MissingExtraError as error:
            print(error)
"""


def test_without_geo_extra_the_api_converts_files(
    sandboxes: dict[str, Sandbox], tmp_path: Path
) -> None:
    """KML, KMZ and Shapefiles are sent to the converter; a GeoPackage needs the extra."""
    sandbox, paths = sandboxes["newer"], []
    for name in ("field.kml", "field.kmz", "field shape.zip", "field.geojson", "field.gpkg"):
        KINDS[name](tmp_path / name)
        paths.append(str(tmp_path / name))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GEO, *paths],
        env={**os.environ, **sandbox.environment()},
        check=True,
        capture_output=True,
        text=True,
    )
    *ids, missing = done.stdout.splitlines()
    assert "constellr-stac[geo]" in missing
    areas = [area for area in sandbox.areas if area["id"] in ids]
    assert [area["name"] for area in areas] == paths[:-1]
    square = shapely.box(8.6, 49.8, 8.7, 49.9)
    assert all(same_area(area["geojson"], square) for area in areas)


def test_products(client: OrdersClient) -> None:
    """The organization's products are returned."""
    assert Product(name="LSTprecision") in client.products()
    assert Product(name="LSTfusion") in client.products()


# Orders


def test_order_is_placed_fetched_updated_and_listed(
    client: OrdersClient, sandbox: Sandbox, age: str, area: AreaOfInterest
) -> None:
    """The same order comes back from create, get, update and list."""
    requested = Order.model_validate(
        wish(area, tags=["field42"], comment="for field 42", illumination_constraint="day")
    )
    [placed] = client.create(requested, comment="Urgent")
    assert placed.id is not None
    assert placed.state == ("initial_state" if age == "older" else "pending_validation")
    assert placed.draft().payload().items() >= requested.payload().items()
    assert client.get(placed.id) == placed
    updated = client.update(placed.id, tags=["field42", "checked"])
    assert updated.tag_names == ("field42", "checked")
    assert client.get(placed.id) == updated
    assert updated in list(client.list())
    assert [order["id"] for order in sandbox.orders].count(placed.id) == 1


def test_batch_keeps_its_order(client: OrdersClient, area: AreaOfInterest) -> None:
    """Orders are returned in the given order, from any iterable."""
    requested = [wish(area, comment=str(n)) for n in range(5)]
    assert [order.comment for order in client.create(iter(requested))] == list("01234")


def test_dry_run_returns_the_sent_payload(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """``dry_run`` returns exactly what is sent without it."""
    requested: list[Order | dict[str, Any]] = [
        wish(area, frequency="single-image", tags=["a"]),
        Order(**wish(area)),
    ]
    payload = client.create(requested, comment="c", dry_run=True)
    assert batches_sent(sandbox) == []
    assert payload["orders"][0]["frequency"] == "single_image"
    client.create(requested, comment="c")
    [sent] = batches_sent(sandbox)
    assert json.loads(sent.body) == payload
    assert sent.headers["content-type"] == "application/json"


def test_use_cases_exist_in_the_older_api_only(
    sandbox: Sandbox, client: OrdersClient, age: str
) -> None:
    """The older API lists and accepts them; the newer one reports that it has none."""
    if age == "newer":
        with pytest.raises(APIError, match="no use cases"):
            client.use_cases()
        return
    assert "Yield Prediction" in client.use_cases()
    area = client.create_aoi(new_name(), FIELD)
    client.create(wish(area), use_case="Yield Prediction")
    assert json.loads(batches_sent(sandbox)[-1].body)["use_case"] == "Yield Prediction"
    with pytest.raises(BadRequestError, match="use_case"):
        client.create(wish(area), use_case="Fishing", duplicate_ok=True)


def test_only_pending_orders_can_be_deleted(
    client: OrdersClient, sandbox: Sandbox, age: str, area: AreaOfInterest
) -> None:
    """Newer API: 204, or 409 once it is in progress. Older API: 405."""
    [first, second] = client.create([wish(area), wish(area)], duplicate_ok=True)
    if age == "older":
        with pytest.raises(APIError) as refused:
            client.delete(str(first.id))
        assert refused.value.status_code == 405
        return
    client.delete(str(first.id))
    with pytest.raises(NotFoundError):
        client.get(str(first.id))
    sandbox.settle_order(str(second.id), "in_progress")
    with pytest.raises(ConflictError, match="pending_validation or rejected"):
        client.delete(str(second.id))


def test_rejected_order_has_a_reason(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """``rejection_reason`` is parsed; the older API has none."""
    [order] = client.create(wish(area))
    sandbox.settle_order(str(order.id), "rejected", reason="clouds")
    rejected = client.get(str(order.id))
    assert rejected.is_final
    assert rejected.rejection_reason in ("clouds", None)


def test_check_reports_every_violation_and_posts_nothing(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """``check=True`` finds every violation of every order, including sizes."""
    large = client.create_aoi(new_name(), FIELD.buffer(1))
    before = sandbox.orders
    orders = [
        wish(large, start_date="2026-07-01", tags=["a", "a"]),
        wish(area),
        {"frequency": "daily"},
        wish(area, illumination_constraint="dusk", end_date="2026-09-03"),
    ]
    with pytest.raises(OrderValidationError) as refused:
        client.create(orders)
    assert [(each.index, each.field) for each in refused.value.violations] == [
        (0, "tags"),
        (0, "start_date"),
        (0, "area_of_interest_id"),
        (2, "area_of_interest_id"),
        (2, "start_date"),
        (2, "end_date"),
        (2, "product_name"),
        (3, "illumination_constraint"),
        (3, "end_date"),
    ]
    assert batches_sent(sandbox) == []
    assert sandbox.orders == before
    with pytest.raises(OrderValidationError) as checked:
        client.check_orders(orders)
    assert checked.value.violations == refused.value.violations
    client.check_order(wish(area))


def test_without_check_the_server_refuses(client: OrdersClient, area: AreaOfInterest) -> None:
    """With ``check=False`` the server's 400 is raised; nothing is placed."""
    with pytest.raises(BadRequestError, match="start_date"):
        client.create(wish(area, start_date="2026-07-01"), check=False)
    with pytest.raises(OrderValidationError, match="field required"):
        client.create({"frequency": "daily"}, check=False)


def test_unknown_area_or_product_is_reported_by_the_server(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """An unknown area or product is the server's 404, with and without the check."""
    before = len(sandbox.orders)
    for check in (True, False):
        with pytest.raises(NotFoundError, match="Area of Interest"):
            client.create(wish(str(uuid4())), check=check)
        with pytest.raises(NotFoundError, match="product"):
            client.create(wish(area, product_name="LSTnext"), check=check)
        with pytest.raises(ValidationError, match=r"orders\[0\]\.area_of_interest_id"):
            client.create(wish("no uuid"), check=check)
    assert len(sandbox.orders) == before


def test_more_than_25_orders_are_refused(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """A batch over the limit is an error and is not split."""
    with pytest.raises(OrderValidationError, match="25 at most"):
        client.create([wish(area)] * 26)
    assert batches_sent(sandbox) == []
    assert len(client.create([wish(area)] * 25, duplicate_ok=True)) == 25


def test_invalid_tags_are_not_sent(
    client: OrdersClient, sandbox: Sandbox, area: AreaOfInterest
) -> None:
    """``update`` checks the tags."""
    [order] = client.create(wish(area))
    sandbox.clear_requests()
    for tags in (["a"] * 2, [str(n) for n in range(11)], ["x" * 51]):
        with pytest.raises(OrderValidationError, match="tags"):
            client.update(str(order.id), tags=tags)
    assert sandbox.requests == []
    assert client.update(order, tags=[]).tag_names == ()


# Statuses


CALLS: dict[str, Callable[[OrdersClient], Any]] = {
    "POST /orders/batch": lambda client: client.create(
        wish(str(uuid4())), check=False, duplicate_ok=True
    ),
    "GET /orders": lambda client: next(client.list(), None),
    "GET /orders/{id}": lambda client: client.get(str(uuid4())),
    "PATCH /orders/{id}": lambda client: client.update(str(uuid4()), tags=["a"]),
    "GET /orders/meta/use-cases": lambda client: client.use_cases(),
    "POST /areas-of-interest": lambda client: client.create_aoi(new_name(), FIELD),
    "GET /areas-of-interest": lambda client: next(client.list_aois(), None),
    "GET /areas-of-interest/{id}": lambda client: client.get_aoi(str(uuid4())),
    "POST /areas-of-interest/geometry-info": lambda client: client.geometry_info(FIELD),
    "GET /products": lambda client: client.products(),
}


@pytest.mark.parametrize("call", CALLS)
def test_invalid_credential_is_401_on_every_endpoint(
    sandboxes: dict[str, Sandbox], call: str
) -> None:
    """Every endpoint raises AuthenticationError for an invalid credential."""
    url = sandboxes["older"].api_url
    with (
        OrdersClient(ApiKey("wrong"), base_url=url) as client,
        pytest.raises(AuthenticationError) as refused,
    ):
        CALLS[call](client)
    assert refused.value.status_code == 401


@pytest.mark.parametrize("call", CALLS)
def test_missing_permission_is_403_on_every_endpoint(
    sandboxes: dict[str, Sandbox], call: str
) -> None:
    """The error names method and path, with a hint."""
    with (
        client_of(sandboxes["older"], "viewer") as client,
        pytest.raises(ForbiddenError, match="administrator") as refused,
    ):
        CALLS[call](client)
    assert refused.value.status_code == 403
    method, _, path = call.partition(" ")
    assert refused.value.method == method
    assert path.partition("{")[0] in str(refused.value.request_url)


@pytest.mark.parametrize(
    "call", ["GET /orders/{id}", "PATCH /orders/{id}", "GET /areas-of-interest/{id}"]
)
def test_unknown_id_is_404(sandboxes: dict[str, Sandbox], call: str) -> None:
    """An unknown id is a NotFoundError."""
    with pytest.raises(NotFoundError):
        CALLS[call](client_of(sandboxes["older"]))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get("no uuid"),
        lambda client: client.get("../products"),
        lambda client: client.update("no uuid", tags=[]),
        lambda client: client.get_aoi("no uuid"),
        lambda client: next(client.list(sort="-state")),
        lambda client: next(client.list_aois(sort="-name")),
    ],
)
def test_malformed_request_is_422(
    sandboxes: dict[str, Sandbox], call: Callable[[OrdersClient], Any]
) -> None:
    """A parameter that the server cannot parse is a ValidationError that names it."""
    with pytest.raises((ValidationError, NotFoundError)) as refused:
        call(client_of(sandboxes["older"]))
    assert refused.value.detail


@pytest.mark.parametrize("bad", ["", ".", "..", None])
def test_empty_id_is_not_sent(sandboxes: dict[str, Sandbox], bad: Any) -> None:
    """An id that would change the path is refused, so that DELETE cannot hit the collection."""
    sandbox = sandboxes["newer"]
    client = client_of(sandbox)
    sandbox.clear_requests()
    for call in (client.get, client.delete, client.get_aoi, client.delete_aoi):
        with pytest.raises(ValueError, match="not an id"):
            call(bad)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (418, APIError),
        (422, ValidationError),
        (429, RateLimitError),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_every_status_has_its_error_class(
    sandboxes: dict[str, Sandbox], status: int, kind: type[APIError]
) -> None:
    """FastAPI details become ``orders[0].start_date: field required``, followed by a hint."""
    sandbox = sandboxes["older"]
    body = json.dumps(
        {"detail": [{"loc": ["body", "orders", 0, "start_date"], "msg": "field required"}]}
    ).encode()
    sandbox.clear_faults()
    sandbox.fail(Fault("/products", status=status, body=body, times=None))
    with requests.Session() as session, pytest.raises(kind) as refused:  # one without retries
        client_of(sandbox, session=session).products()
    sandbox.clear_faults()
    error = refused.value
    assert error.status_code == status
    assert error.detail == "orders[0].start_date: field required"
    assert error.method == "GET"
    assert error.request_url == f"{sandbox.api_url}/products"
    assert type(error).hint in str(error) or status == 401


DETAILS: dict[str, tuple[Any, str]] = {
    "a sentence": ("No such area.", "No such area"),
    "a path": (
        [{"loc": ["query", "limit"], "msg": "Input should be less than 1000."}],
        "limit: Input should be less than 1000",
    ),
    "several": (
        [
            {"loc": ["body", "orders", 0, "tags", 3], "msg": "too long"},
            {"loc": ["body", "orders", 1], "msg": "Field required"},
        ],
        "orders[0].tags[3]: too long; orders[1]: Field required",
    ),
    "of the whole": ([{"loc": ["body"], "msg": "Field required"}], "Field required"),
    "a field of such a name": ([{"loc": ["body", "file", "path"], "msg": "bad"}], "file.path: bad"),
    "nowhere": ([{"loc": None, "msg": "sorry"}, {"msg": "no"}], "sorry; no"),
    "something else": ({"code": 7}, '{"code": 7}'),
}


@pytest.mark.parametrize("case", DETAILS)
def test_server_details_are_one_line(sandboxes: dict[str, Sandbox], case: str) -> None:
    """FastAPI problems are shown with their location, anything else as sent."""
    said, reported = DETAILS[case]
    body = json.dumps({"detail": said}).encode()
    sandboxes["older"].fail(Fault("/products", status=422, body=body))
    with pytest.raises(ValidationError) as refused:
        client_of(sandboxes["older"]).products()
    assert refused.value.detail == reported
    assert reported in str(refused.value)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"id": 3}', b'"text"', b""])
def test_unexpected_response_is_an_api_error(sandboxes: dict[str, Sandbox], body: bytes) -> None:
    """A proxy's page or a changed API is an APIError, never a pydantic or JSON error."""
    sandbox = sandboxes["older"]
    client = client_of(sandbox)
    for call in ("GET /orders", "GET /orders/{id}", "GET /areas-of-interest/{id}", "GET /products"):
        if call == "GET /products" and body == b"[]":
            continue  # an empty list of products is valid
        sandbox.fail(Fault("/(orders|areas|products)", status=200, body=body))
        with pytest.raises(APIError):
            CALLS[call](client)
    sandbox.clear_faults()


# Sessions


def test_reads_are_retried(sandboxes: dict[str, Sandbox], area: AreaOfInterest) -> None:
    """GET, and POST that only reads, are retried after a dropped connection, 429 and 503."""
    sandbox = sandboxes["older"]
    client = client_of(sandbox)
    for fault in (
        Fault("/products", kind="reset"),
        Fault("/products", status=503, headers={"Retry-After": "0"}),
        Fault("/products", status=429, headers={"Retry-After": "0"}),
    ):
        sandbox.fail(fault)
        assert client.products()
    sandbox.fail(Fault("/geometry-info", kind="reset"))
    assert client.geometry_info(FIELD).area > 0


@pytest.mark.parametrize("kind", ["reset", "commit_then_reset"])
def test_writes_are_sent_once(sandboxes: dict[str, Sandbox], kind: Any) -> None:
    """PATCH, DELETE and POST of an area are not retried after a dropped connection."""
    sandbox = sandboxes["newer"]
    client = client_of(sandbox)
    area = client.create_aoi(new_name(), FIELD)
    [order] = client.create(wish(area))
    calls: dict[str, Callable[[], Any]] = {
        "POST": lambda: client.create_aoi(new_name(), FIELD),
        "PATCH": lambda: client.update(order, tags=["a"]),
        "DELETE": lambda: client.delete(order),
    }
    for method, call in calls.items():
        sandbox.clear_requests()
        sandbox.fail(Fault("/(orders|areas)", method=method, kind=kind))
        with pytest.raises(APIConnectionError) as failed:
            call()
        assert failed.value.request_url is not None
        assert len([each for each in sandbox.requests if each.method == method]) == 1


def test_create_aoi_can_be_repeated_with_exist_ok(
    sandboxes: dict[str, Sandbox],
) -> None:
    """Repeating ``create_aoi`` with ``exist_ok`` after a lost response gives one area."""
    sandbox = sandboxes["newer"]
    client, name = client_of(sandbox), new_name()
    assert next(client.list_aois(), None) is not None
    sandbox.fail(Fault("/areas-of-interest$", method="POST", kind="commit_then_reset"))
    with pytest.raises(APIConnectionError):
        client.create_aoi(name, FIELD)
    area = client.create_aoi(name, FIELD, exist_ok=True)
    assert [each["id"] for each in sandbox.areas if each["name"] == name] == [area.id]


def test_unreachable_host_is_a_connection_error() -> None:
    """The error is an APIConnectionError with the URL and without secrets."""
    with OrdersClient(ApiKey("secret"), base_url="http://127.0.0.1:9") as client:
        client.session.mount("http://", HTTPAdapter())
        with pytest.raises(APIConnectionError, match="/products") as failed:
            client.products()
    assert failed.value.status_code is None
    assert "secret" not in repr(failed.value)
    trace = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    assert "X-Api-Key: " not in "".join(trace.format())  # of the request in a frame


def test_passed_session_stays_open(sandboxes: dict[str, Sandbox]) -> None:
    """The client only closes its own session."""
    sandbox = sandboxes["older"]
    closed: list[str] = []

    class Own(requests.Session):
        def close(self) -> None:
            closed.append("own")
            super().close()

    own = Own()
    with client_of(sandbox, session=own) as client:
        assert client.products()
    assert closed == []
    own.close()


def test_retrying_session_is_refused(sandboxes: dict[str, Sandbox]) -> None:
    """A session that might place an order twice is refused."""
    with requests.Session() as retrying:
        for retries in (3, Retry(3), Retry(total=None, read=1, allowed_methods=None)):
            retrying.mount("http://", HTTPAdapter(max_retries=retries))
            with pytest.raises(ValueError, match="twice"):
                client_of(sandboxes["older"], session=retrying)
        url = sandboxes["older"].api_url
        retrying.mount(f"{url}/orders/batch", HTTPAdapter())
        assert client_of(sandboxes["older"], session=retrying).products()


def test_client_resolves_credential_and_url(
    sandboxes: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, credential or auth select the API; a mismatch is refused."""
    sandbox = sandboxes["older"]
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    with OrdersClient() as client:
        assert client.products()
        assert client.base_url == sandbox.api_url
        assert sandbox.password not in repr(client)
    auth = ConstellrAuth(Password(sandbox.username, sandbox.password))
    with OrdersClient(auth) as client:
        assert client.auth is auth
    with OrdersClient(auth, base_url=f"{sandbox.api_url}/stac/") as client:
        assert client.base_url == sandbox.api_url
    for other in ("https://api.constellr.com", f"{sandbox.api_url}/staging"):
        with pytest.raises(ValueError, match="not sent to"):
            OrdersClient(auth, base_url=other)
    with pytest.raises(InsecureURLError):
        OrdersClient(base_url="http://api.constellr.com")


def test_api_key_places_orders(area: AreaOfInterest, sandbox: Sandbox) -> None:
    """The recommended credential works everywhere."""
    key = ApiKey(sandbox.api_key)
    with OrdersClient(key, base_url=sandbox.api_url, today=lambda: TODAY) as client:
        [order] = client.create(wish(area))
        assert client.update(order, tags=["a"]).tag_names == ("a",)


def test_today_defaults_to_utc_date() -> None:
    """By default the rules use the current date in UTC."""
    client = OrdersClient(ApiKey("secret"))
    before = datetime.now(UTC).date()
    assert before <= client._today() <= datetime.now(UTC).date()
