"""Wrong types: every field of the documented answers about orders, areas and tokens, changed."""

from __future__ import annotations

import warnings
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests

from constellr_stac import ApiKey, ConstellrAuth, Password
from constellr_stac._text import shown
from constellr_stac.auth.token import forget_token
from constellr_stac.errors import (
    APIError,
    ConstellrError,
    OrderOutcomeUnknown,
    SkippedContentWarning,
)
from constellr_stac.orders import (
    Order,
    OrderEndedError,
    OrdersClient,
    OrderWaitTimeout,
    aois_to_geodataframe,
    orders_to_geodataframe,
)
from mutations import mutations
from ordering import FIELD, client_of, open_sandbox, wish
from replaying import Replayed, replaying

if TYPE_CHECKING:
    from collections.abc import Callable

    from constellr_stac.orders.records import Record

WISH = wish("11111111-2222-4333-8444-555555555555", tags=["a", "b"], comment="c")
EMPTY = b'{"count": 0, "items": []}'
PATHS = {
    "batch": "/orders/batch",
    "orders": "/orders",
    "order": "/orders/a",
    "use cases": "/orders/meta/use-cases",
    "areas": "/areas-of-interest",
    "new area": "/areas-of-interest",
    "area": "/areas-of-interest/a",
    "size": "/areas-of-interest/geometry-info",
    "converted": "/areas-of-interest/convert",
    "products": "/products",
    "token": "/token",
    "refusal": "/orders/a",
    "refused batch": "/orders/batch",
}


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    """Return the documented answers, one order or area each."""
    refusal = {"detail": [{"loc": ["body", "orders", 0, "end_date"], "msg": "m", "type": "t"}]}
    found: dict[str, Any] = {"refusal": refusal, "refused batch": refusal}
    with open_sandbox(newer=True) as sandbox:
        client = client_of(sandbox)
        area = client.create_aoi("field", FIELD, "of wheat")
        [order] = client.create(WISH | {"area_of_interest_id": area.id}, check=False)

        def asked(path: str) -> Any:
            url = f"{sandbox.api_url}{path}"
            return requests.get(url, auth=client.auth, timeout=60).json()

        found["orders"], found["areas"] = asked("/orders"), asked("/areas-of-interest")
        found["order"], found["area"] = asked(f"/orders/{order.id}"), found["areas"]["items"][0]
        found["products"] = asked("/products")
        found["size"] = client.geometry_info(FIELD).to_dict()
    found["batch"] = [{**found["order"], **Order(**WISH).payload(), "id": "new"}]
    found["new area"] = found["converted"] = found["area"]
    with open_sandbox() as older:
        found["use cases"] = client_of(older).use_cases()
    found["token"] = {"access_token": "a.e30.b", "token_type": "bearer"}
    return found


def _used(records: list[Record]) -> None:
    """Show records as a user does."""
    for record in records:
        repr(record)
        record._repr_html_()
        assert type(record).model_validate(record.to_dict()) == record or "NaN" in repr(record)


@pytest.mark.parametrize("kind", PATHS)
def test_wrong_types_end_in_our_errors(
    kind: str,
    documents: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    attack: bool,  # noqa: FBT001 - a fixture
) -> None:
    """A changed field ends in one of our errors; a batch in its orders or an unknown outcome."""
    file = tmp_path_factory.mktemp("area") / "a.kml"
    file.write_text("<kml/>")
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    with replaying() as server:
        client = OrdersClient(ApiKey("k"), base_url=server.url, sleep=lambda _seconds: None)
        password = Password("u", "p")

        def place() -> list[Order]:
            server.answers["/orders"] = Replayed(EMPTY)
            orders = client.create(WISH, check=False)
            assert len({order.id for order in orders} - {None}) == 1
            return orders

        def orders() -> list[Order]:
            found = list(client.list())
            orders_to_geodataframe(found)
            return found

        def areas() -> list[Any]:
            found = list(client.list_aois())
            aois_to_geodataframe(found)
            return found

        def token() -> list[Record]:
            forget_token(server.url, password)
            ConstellrAuth(password, base_url=server.url).token()
            return []

        def order() -> list[Order]:
            with suppress(OrderWaitTimeout, OrderEndedError):
                client.wait("a", timeout=0)
            return [client.get("a"), client.update("a", tags=["b"])]

        uses: dict[str, Callable[[], list[Any]]] = {
            "batch": place,
            "refused batch": place,
            "orders": orders,
            "order": order,
            "refusal": order,
            "areas": areas,
            "new area": lambda: [client.create_aoi("field", FIELD)],
            "area": lambda: [client.get_aoi("a")],
            "size": lambda: [client.geometry_info(FIELD)],
            "converted": lambda: [client.convert_aoi(file)],
            "products": client.products,
            "token": token,
            "use cases": lambda: [*map(str.upper, client.use_cases())] and [],
        }
        for number, (what, text) in enumerate(mutations(documents[kind])):
            if number % (1 if attack else 19):
                continue
            status = 422 if kind.startswith("refus") else 201 if kind == "batch" else 200
            server.answers[PATHS[kind]] = Replayed(
                text.replace('"new"', f'"{number}"').encode("utf-8", "surrogatepass"), status
            )
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", SkippedContentWarning)
                    _used(uses[kind]())
                outcome = "used"
            except Exception as error:  # noqa: BLE001
                outcome = type(error).__name__
                expected = OrderOutcomeUnknown if kind == "batch" else ConstellrError
                if not isinstance(error, expected) or shown(str(error)) != str(error):
                    failures.append(f"{what}: {error!r}")
            outcomes[outcome] += 1
    print(f"{kind}: {dict(outcomes)}")  # noqa: T201 - for the long form
    assert not failures
    assert outcomes["ValidationError" if kind.startswith("refus") else "used"]


def test_a_list_of_orders_that_cannot_be_read_places_nothing(documents: dict[str, Any]) -> None:
    """Before the batch is sent, a malformed list is an error, not an empty list."""
    with replaying() as server:
        client = OrdersClient(ApiKey("k"), base_url=server.url)
        for text in ("{}", "[]", "null", '{"count": 0}', '{"count": 1, "items": [null]}', "<html>"):
            server.answers["/orders"] = Replayed(text.encode())
            with pytest.raises(APIError):
                client.create(WISH, check=False)
        assert {path.partition("?")[0] for path, _ in server.seen} == {"/orders"}
