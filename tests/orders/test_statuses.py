"""Every endpoint with every documented status, produced by the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests

from constellr_stac import (
    APIError,
    ApiKey,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OrderOutcomeUnknown,
    RateLimitError,
    ServerError,
    ValidationError,
)
from constellr_stac.orders import OrdersClient
from constellr_stac.orders.geometry import geojson_of
from constellr_stac.orders.wire import ignore_body
from constellr_stac.sandbox import Fault
from ordering import FIELD, client_of, new_name, open_sandbox, wish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from constellr_stac.orders import AreaOfInterest, Order
    from constellr_stac.sandbox import Sandbox

DOCUMENTED: dict[str, dict[str, set[int]]] = {
    # endpoint: documented statuses
    "older": {
        "POST /orders/batch": {201, 400, 401, 403, 404, 422},
        "GET /orders": {200, 401, 403, 422},
        "GET /orders/{id}": {200, 401, 403, 404, 422},
        "PATCH /orders/{id}": {200, 401, 403, 404, 422},
        "GET /orders/meta/use-cases": {200, 401, 403},
        "POST /areas-of-interest": {201, 400, 401, 403, 409, 422},
        "GET /areas-of-interest/{id}": {200, 401, 403, 404, 422},
        "GET /areas-of-interest": {200, 401, 403, 422},
        "POST /areas-of-interest/geometry-info": {200, 400, 401, 403, 422},
        "GET /products": {200, 401, 403},
    },
    "newer": {
        "POST /orders/batch": {201, 400, 401, 403, 404, 422},
        "GET /orders": {200, 401, 403, 422},
        "GET /orders/{id}": {200, 401, 403, 404, 422},
        "PATCH /orders/{id}": {200, 401, 403, 404, 422},
        "DELETE /orders/{id}": {204, 401, 403, 404, 409, 422},
        "POST /areas-of-interest": {201, 400, 401, 403, 409, 422},
        "GET /areas-of-interest/{id}": {200, 401, 403, 404, 422},
        "GET /areas-of-interest": {200, 401, 403, 422},
        "DELETE /areas-of-interest/{id}": {204, 401, 403, 404, 409, 422},
        "POST /areas-of-interest/geometry-info": {200, 400, 401, 403, 422},
        "POST /areas-of-interest/convert": {200, 400, 401, 403, 422, 502},
        "GET /products": {200, 401, 403},
    },
}
PAIRS = [
    (age, endpoint, status)
    for age, endpoints in DOCUMENTED.items()
    for endpoint, statuses in endpoints.items()
    for status in sorted(statuses)
]
KINDS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: ValidationError,
    429: RateLimitError,
    500: ServerError,
    502: ServerError,
}
NOWHERE = str(uuid4())
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
KML = """<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><name>f</name><Polygon>
<outerBoundaryIs><LinearRing><coordinates>8.6,49.8 8.7,49.8 8.7,49.9 8.6,49.8</coordinates>
</LinearRing></outerBoundaryIs></Polygon></Placemark></kml>"""


@dataclass
class Environment:
    """A server of one version, with an area, an order of it, and files."""

    sandbox: Sandbox
    field: str
    """The API's field for polygons."""
    area: AreaOfInterest
    order: Order
    free: Order
    """An order that can be deleted."""
    kml: Path
    broken: Path


@pytest.fixture(scope="module")
def envs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Environment]]:
    """Both API versions."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "field.kml").write_text(KML)
    (folder / "broken.kml").write_text("<kml")
    with open_sandbox() as older, open_sandbox(newer=True) as newer:
        environments = {}
        for age, sandbox in {"older": older, "newer": newer}.items():
            with client_of(sandbox) as client:
                area = client.create_aoi(new_name(), FIELD)
                order, free = client.create([wish(area), wish(area)], duplicate_ok=True)
            sandbox.settle_order(str(order.id), "in_progress")
            environments[age] = Environment(
                sandbox,
                "geometry" if age == "older" else "geojson",
                area,
                order,
                free,
                folder / "field.kml",
                folder / "broken.kml",
            )
        yield environments


Call = Callable[[OrdersClient, Environment], Any]

GOOD: dict[str, Call] = {
    "POST /orders/batch": lambda c, s: c.create(wish(s.area), duplicate_ok=True),
    "GET /orders": lambda c, _: next(c.list()),
    "GET /orders/{id}": lambda c, s: c.get(s.order),
    "PATCH /orders/{id}": lambda c, s: c.update(s.order, tags=["a"]),
    "DELETE /orders/{id}": lambda c, s: c.delete(s.free),
    "GET /orders/meta/use-cases": lambda c, _: c.use_cases(),
    "POST /areas-of-interest": lambda c, _: c.create_aoi(new_name(), FIELD),
    "GET /areas-of-interest/{id}": lambda c, s: c.get_aoi(s.area),
    "GET /areas-of-interest": lambda c, _: next(c.list_aois()),
    "DELETE /areas-of-interest/{id}": lambda c, _: c.delete_aoi(c.create_aoi(new_name(), FIELD)),
    "POST /areas-of-interest/geometry-info": lambda c, _: c.geometry_info(FIELD),
    "POST /areas-of-interest/convert": lambda c, s: c.convert_aoi(s.kml),
    "GET /products": lambda c, _: c.products(),
}


def raw_request(method: str, path: str, **body: Any) -> Call:
    """Return a call with a body that the client would not send."""
    return lambda client, _: client._api.call(ignore_body, method, path, **body)


def new_area(geometry: Any) -> Call:
    """Return a call that registers an unchecked area."""
    return lambda client, env: client._api.call(
        ignore_body, "POST", "/areas-of-interest", json={"name": new_name(), env.field: geometry}
    )


BAD: dict[tuple[str, int], Call] = {
    ("POST /orders/batch", 400): lambda c, s: c.create(
        wish(s.area, end_date="2026-09-02"), check=False
    ),
    # create() would notice an invalid key before it sends orders.
    ("POST /orders/batch", 401): raw_request("POST", "/orders/batch", json={}),
    ("POST /orders/batch", 403): lambda c, s: c.create(
        wish(s.area), check=False, duplicate_ok=True
    ),
    ("POST /orders/batch", 404): lambda c, _: c.create(wish(NOWHERE)),
    ("POST /orders/batch", 422): lambda c, s: c.create(
        wish(s.area, frequency="hourly"), check=False
    ),
    ("GET /orders", 422): lambda c, _: next(c.list(sort="-state")),
    ("GET /orders/{id}", 404): lambda c, _: c.get(NOWHERE),
    ("GET /orders/{id}", 422): lambda c, _: c.get("no uuid"),
    ("PATCH /orders/{id}", 404): lambda c, _: c.update(NOWHERE, tags=[]),
    ("PATCH /orders/{id}", 422): lambda c, _: c.update("no uuid", tags=[]),
    ("DELETE /orders/{id}", 404): lambda c, _: c.delete(NOWHERE),
    ("DELETE /orders/{id}", 409): lambda c, s: c.delete(s.order),
    ("DELETE /orders/{id}", 422): lambda c, _: c.delete("no uuid"),
    ("POST /areas-of-interest", 400): new_area(BOW_TIE),
    ("POST /areas-of-interest", 409): lambda c, s: c.create_aoi(s.area.name, FIELD),
    ("POST /areas-of-interest", 422): lambda c, _: c.create_aoi("", FIELD),
    ("GET /areas-of-interest/{id}", 404): lambda c, _: c.get_aoi(NOWHERE),
    ("GET /areas-of-interest/{id}", 422): lambda c, _: c.get_aoi("no uuid"),
    ("GET /areas-of-interest", 422): lambda c, _: next(c.list_aois(sort="-name")),
    ("DELETE /areas-of-interest/{id}", 401): lambda c, s: c.delete_aoi(s.area),
    ("DELETE /areas-of-interest/{id}", 403): lambda c, s: c.delete_aoi(s.area),
    ("DELETE /areas-of-interest/{id}", 404): lambda c, _: c.delete_aoi(NOWHERE),
    ("DELETE /areas-of-interest/{id}", 409): lambda c, s: c.delete_aoi(s.area),
    ("DELETE /areas-of-interest/{id}", 422): lambda c, _: c.delete_aoi("no uuid"),
    ("POST /areas-of-interest/geometry-info", 400): raw_request(
        "POST", "/areas-of-interest/geometry-info", json=BOW_TIE
    ),
    ("POST /areas-of-interest/geometry-info", 422): raw_request(
        "POST", "/areas-of-interest/geometry-info", json={"type": "Polygon"}
    ),
    ("POST /areas-of-interest/convert", 400): lambda c, s: c.convert_aoi(s.broken),
    ("POST /areas-of-interest/convert", 422): raw_request(
        "POST", "/areas-of-interest/convert", data={"file_format": "dxf"}
    ),
    ("POST /areas-of-interest/convert", 502): lambda c, s: c.convert_aoi(s.kml),
}


@pytest.mark.parametrize(("age", "endpoint", "status"), PAIRS)
def test_every_documented_status(
    envs: dict[str, Environment], age: str, endpoint: str, status: int
) -> None:
    """A success is a value; every error has its class, status, method, URL and detail."""
    env = envs[age]
    sandbox, call = env.sandbox, BAD.get((endpoint, status), GOOD[endpoint])
    if status == 502:  # the only status that needs a fault
        sandbox.fail(Fault("/convert", status=502, times=None, body=b'{"detail": "down"}'))
    role = "viewer" if status == 403 else "owner"
    error: APIError | None = None
    with requests.Session() as session:  # one without retries
        client = client_of(sandbox, role, session=session)
        if status == 401:
            client = OrdersClient(ApiKey("wrong"), base_url=sandbox.api_url, session=session)
        sandbox.clear_requests()
        try:
            call(client, env)
        except KINDS.get(status, ()) as refused:
            error = refused
    sandbox.clear_faults()

    method, _, template = endpoint.partition(" ")
    answers = [each for each in sandbox.requests if each.method == method]
    assert answers[-1].status == status
    assert answers[-1].path.startswith(template.partition("{")[0])
    if status >= 400:
        assert error is not None
        assert error.status_code == status
        assert error.method == method
        assert error.request_url == sandbox.api_url + quote(answers[-1].path)
        assert error.detail
        for reported in (f"{method} {error.request_url}", str(status), error.detail):
            assert reported in str(error)


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("endpoint", sorted({*GOOD} - {"GET /orders/meta/use-cases"}))
def test_429_and_5xx_on_every_endpoint(
    envs: dict[str, Environment], endpoint: str, status: int
) -> None:
    """429 and 5xx have their own errors; for an order they leave the outcome unknown."""
    env = envs["newer"]
    method, _, template = endpoint.partition(" ")
    path = template.replace("{id}", ".+") + "$"
    kind: type[Exception] = KINDS[status]
    if endpoint == "POST /orders/batch":
        kind = OrderOutcomeUnknown
    call = BAD.get((endpoint, 401), GOOD[endpoint]) if method == "DELETE" else GOOD[endpoint]
    with requests.Session() as session:
        client = client_of(env.sandbox, session=session)
        env.sandbox.fail(Fault(path, method=method, status=status, times=None))
        with pytest.raises(kind) as failed:
            call(client, env)
    env.sandbox.clear_faults()
    assert getattr(failed.value, "status_code", None) == status


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda c, s: c.delete(s.order), "cannot delete orders"),
        (lambda c, s: c.delete_aoi(s.area), "cannot delete areas"),
        (lambda c, s: c.convert_aoi(s.kml), r"constellr-stac\[geo\]"),
    ],
)
def test_missing_endpoints_of_the_older_api(
    envs: dict[str, Environment], call: Any, match: str
) -> None:
    """A newer endpoint is 404 or 405, and the error explains why."""
    env = envs["older"]
    with client_of(env.sandbox) as client, pytest.raises(APIError, match=match) as refused:
        call(client, env)
    assert refused.value.status_code in (404, 405)


def test_newer_server_limits_batches_to_25(
    envs: dict[str, Environment],
) -> None:
    """Without the check, 26 orders are the server's 422."""
    env = envs["newer"]
    with client_of(env.sandbox) as client:
        before = len(env.sandbox.orders)
        with pytest.raises(ValidationError, match=r"orders: .*25"):
            client.create([wish(env.area)] * 26, check=False, duplicate_ok=True)
        assert len(env.sandbox.orders) == before


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[3]", b'{"id": 3}', b'"text"', b""])
@pytest.mark.parametrize("endpoint", sorted(e for e in GOOD if not e.startswith(("POST /o", "D"))))
def test_unexpected_response_names_the_request(
    envs: dict[str, Environment], endpoint: str, body: bytes
) -> None:
    """An unreadable response is an APIError with method, URL and status."""
    age = "older" if "use-cases" in endpoint else "newer"
    env = envs[age]
    method, _, template = endpoint.partition(" ")
    path = template.replace("{id}", ".+") + "$"
    with client_of(env.sandbox) as client:
        env.sandbox.fail(Fault(path, method=method, status=200, body=body))
        with pytest.raises(APIError) as failed:
            GOOD[endpoint](client, env)
    env.sandbox.clear_faults()
    assert failed.value.method == method
    assert failed.value.status_code == 200
    assert str(failed.value.request_url).startswith(
        env.sandbox.api_url + template.partition("{")[0].rstrip("/")
    )


def test_geometry_info_sends_a_feature(envs: dict[str, Environment]) -> None:
    """``geometry-info`` gets a Feature, in both versions."""
    for env in envs.values():
        with client_of(env.sandbox) as client:
            reported = client.geometry_info(geojson_of(FIELD))
            assert reported.area > 0
