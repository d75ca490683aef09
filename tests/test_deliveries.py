"""From an order to its data: searched, loaded, followed."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import shapely

from constellr_stac import open_client
from constellr_stac.deliveries import follow, load_order, search_order
from constellr_stac.orders import OrdersClient
from constellr_stac.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HARBOUR = shapely.box(-118.27, 33.76, -118.17, 33.84)


def test_an_orders_scenes_are_found_loaded_and_followed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each scene is yielded once, also after a restart, until the order is closed."""
    with Sandbox(newer=True, delivery=timedelta(seconds=20), today=date(2023, 6, 10)) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        options: dict[str, Any] = {"today": lambda: date(2023, 6, 10)}
        with OrdersClient(**options) as orders:
            area = orders.create_aoi("Harbour", HARBOUR)
            (order,) = orders.create(
                [
                    {
                        "area_of_interest_id": area.id,
                        "product_name": "LSTprecision",
                        "start_date": "2023-06-20T00:00:00Z",
                        "end_date": "2023-08-31T00:00:00Z",
                        "frequency": "max_frequency",
                    }
                ]
            )
            client = open_client()

            def later(_seconds: float) -> None:
                sandbox.advance(timedelta(seconds=4))

            state = tmp_path / "harbour.json"
            following = follow(
                order, interval=1, state=state, client=client, orders=orders, sleep=later
            )
            first = [item.id for item in itertools.islice(following, 3)]
            del following
            rest = [
                item.id
                for item in follow(
                    order, interval=1, state=state, client=client, orders=orders, sleep=later
                )
            ]
            assert len(first + rest) == len(set(first + rest)) == 15
            found = search_order(order, client=client, orders=orders).item_collection()
            assert {item.id for item in found} == set(first + rest)
            cube = load_order(order, ["lst"], client=client, orders=orders)
            assert cube.sizes["time"] == 15
