"""Orders, areas and products as values."""

from __future__ import annotations

import pickle
import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellr_stac.orders import AreaOfInterest, Order, Product

CONTRACT_ORDER: dict[str, Any] = {
    "area_of_interest_id": "1c53eaa-9b26-4c3d-8998-bfc8e9ac1770",
    "start_date": "2025-09-27T10:30:08.004000Z",
    "end_date": "2025-10-18T10:30:08.004000Z",
    "frequency": "single-image",
    "product_name": "LSTprecision",
    "comment": "Order for field 42",
    "id": "123e4567-e89b-12d3-a456-426614174000",
    "created": "2025-08-27T11:54:24.206072Z",
    "state": "initial_state",
    "tags": [
        {
            "name": "field42",
            "id": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "created": "2025-11-28T10:05:36.362Z",
        }
    ],
    "illumination_constraint": "day",
}
NAIVE = datetime(2026, 6, 1)  # noqa: DTZ001 - without a zone on purpose
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[8.0, 49.0], [8.1, 49.0], [8.1, 49.1], [8.0, 49.1], [8.0, 49.0]]],
}
FEATURE = {"type": "Feature", "properties": {}, "geometry": SQUARE}
CONTRACT_AREA: dict[str, Any] = {
    "name": "Test AOI",
    "geometry": SQUARE,
    "description": "Test area",
    "bbox_width": 1200.1,
    "bbox_height": 1300.1,
    "id": "f1c53eaa-9b26-4c3d-8998-bfc8e9ac1770",
    "created": "2025-07-31T11:05:29.157539",
}


def make_order(**changes: Any) -> Order:
    """Return an order with changes."""
    fields: dict[str, Any] = {
        "area_of_interest_id": "a",
        "product_name": "LSTfusion",
        "frequency": "daily",
        "start_date": "2026-06-01",
        "end_date": "2026-08-31",
    }
    return Order.model_validate(fields | changes)


def test_contract_order_is_parsed() -> None:
    """Every field of the documented response is parsed with its type."""
    order = Order.model_validate(CONTRACT_ORDER)
    assert order.start_date == datetime(2025, 9, 27, 10, 30, 8, 4000, tzinfo=UTC)
    assert order.created == datetime(2025, 8, 27, 11, 54, 24, 206072, tzinfo=UTC)
    assert order.tag_names == ("field42",)
    assert order.tags[0].id == "3fa85f64-5717-4562-b3fc-2c963f66afa6"
    assert str(order.tags[0]) == "field42"
    assert not order.is_final
    assert order.model_extra == {}


@pytest.mark.parametrize("spelling", ["single-image", "single_image"])
def test_single_image_spellings(spelling: str) -> None:
    """``single-image`` and ``single_image`` are accepted, ``single_image`` is sent."""
    order = make_order(frequency=spelling)
    assert order.frequency == "single_image"
    assert order.payload()["frequency"] == "single_image"


@pytest.mark.parametrize(
    ("given_time", "meant"),
    [
        ("2025-07-31T11:05:29.157539", datetime(2025, 7, 31, 11, 5, 29, 157539, tzinfo=UTC)),
        ("2026-06-01T02:00+02:00", datetime(2026, 6, 1, tzinfo=UTC)),
        (NAIVE, datetime(2026, 6, 1, tzinfo=UTC)),
        (
            datetime(2026, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 6, 1, tzinfo=UTC),
        ),
        (date(2026, 6, 1), datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01", datetime(2026, 6, 1, tzinfo=UTC)),
    ],
)
def test_times_are_aware_and_in_utc(given_time: Any, meant: datetime) -> None:
    """A time without a zone is UTC; one with a zone is converted."""
    order = make_order(start_date=given_time)
    assert order.start_date == meant
    assert order.start_date.tzinfo is UTC


def test_local_time_zone_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is UTC in New York, too."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        for said in (NAIVE, NAIVE.date(), "2026-06-01", "2026-06-01T00:00:00"):
            assert make_order(start_date=said).start_date == datetime(2026, 6, 1, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("year", [2026, "2026", 2026.0, " 20260601 ", "0001-01-01T00:00+05:00"])
def test_number_is_not_a_date(year: Any) -> None:
    """2026 is not read as seconds since 1970."""
    with pytest.raises(pydantic.ValidationError, match="start_date"):
        make_order(start_date=year)


def test_unknown_fields_are_kept() -> None:
    """A field that the API adds is parsed, kept and returned."""
    order = Order.model_validate(CONTRACT_ORDER | {"cloud_limit": 20})
    assert order.model_extra == {"cloud_limit": 20}
    assert order.to_dict()["cloud_limit"] == 20
    assert "cloud_limit=20" in repr(order)
    product = Product.model_validate({"name": "LSTnext", "pixel": 10})
    assert product.to_dict() == {"name": "LSTnext", "pixel": 10}


@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "start_date": st.datetimes(min_value=NAIVE),
            "end_date": st.datetimes(timezones=st.timezones(), min_value=NAIVE),
            "comment": st.none() | st.text(),
            "tags": st.lists(st.text(max_size=60), max_size=12),
            "illumination_constraint": st.none() | st.sampled_from(["day", "night"]),
            "maximum_number_of_images": st.none() | st.integers(),
            "product_options": st.none() | st.dictionaries(st.text(), st.booleans()),
            "rejection_reason": st.none() | st.text(),
            "novelty": st.none() | st.integers() | st.lists(st.text()),
        },
    )
)
def test_to_dict_and_pickle_round_trip(changes: dict[str, Any]) -> None:
    """``to_dict``, pickle and ``draft`` lose nothing."""
    order = make_order(**changes)
    assert Order.model_validate(order.to_dict()) == order
    assert pickle.loads(pickle.dumps(order)) == order  # noqa: S301 - our own
    assert order.draft().payload() == order.payload()


def test_payload_omits_server_fields() -> None:
    """Server fields are not sent; tags are names."""
    assert Order.model_validate(CONTRACT_ORDER).payload() == {
        "area_of_interest_id": "1c53eaa-9b26-4c3d-8998-bfc8e9ac1770",
        "start_date": "2025-09-27T10:30:08.004000Z",
        "end_date": "2025-10-18T10:30:08.004000Z",
        "frequency": "single_image",
        "product_name": "LSTprecision",
        "comment": "Order for field 42",
        "tags": ["field42"],
        "illumination_constraint": "day",
    }


def test_draft_omits_server_fields() -> None:
    """A draft keeps the request, applies changes, and has no id or state."""
    placed = Order.model_validate(CONTRACT_ORDER)
    draft = placed.draft(start_date="2026-09-27", end_date="2026-10-18")
    assert draft.id is None
    assert draft.state is None
    assert draft.tag_names == placed.tag_names
    assert draft.start_date == datetime(2026, 9, 27, tzinfo=UTC)
    assert placed.start_date == datetime(2025, 9, 27, 10, 30, 8, 4000, tzinfo=UTC)


def test_area_or_uuid_is_accepted_as_id() -> None:
    """An order accepts an area of interest or a UUID in place of an id."""
    area = AreaOfInterest.model_validate(CONTRACT_AREA)
    assert make_order(area_of_interest_id=area).area_of_interest_id == area.id
    uuid = UUID("123e4567-e89b-12d3-a456-426614174000")
    assert make_order(area_of_interest_id=uuid).area_of_interest_id == str(uuid)
    with pytest.raises(pydantic.ValidationError, match="area_of_interest_id"):
        make_order(area_of_interest_id=AreaOfInterest(name="not registered", geometry=SQUARE))


def test_values_are_immutable() -> None:
    """An order cannot be modified."""
    order = make_order()
    with pytest.raises(pydantic.ValidationError):
        order.frequency = "monthly"


def test_string_is_not_a_list_of_tags() -> None:
    """``tags="field42"`` does not become seven tags."""
    with pytest.raises(pydantic.ValidationError, match="list of tags"):
        make_order(tags="field42")


@pytest.mark.parametrize(
    "form",
    [
        {"geometry": SQUARE},
        {"geojson": SQUARE},
        {"geojson": FEATURE},
        {"geojson": {"type": "FeatureCollection", "features": [FEATURE]}},
        {"geojson": {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]}},
        {"geojson": FEATURE, "geometry": None},
    ],
)
def test_both_area_forms_parse_to_the_same_value(form: dict[str, Any]) -> None:
    """``geometry`` and all forms of ``geojson`` parse to one value."""
    others = {name: value for name, value in CONTRACT_AREA.items() if name != "geometry"}
    assert AreaOfInterest.model_validate(others | form) == AreaOfInterest.model_validate(
        CONTRACT_AREA
    )


def test_contract_area_is_parsed() -> None:
    """Every field of the documented response is parsed; its time without a zone is UTC."""
    area = AreaOfInterest.model_validate(CONTRACT_AREA)
    assert area.created == datetime(2025, 7, 31, 11, 5, 29, 157539, tzinfo=UTC)
    assert (area.bbox_width, area.bbox_height) == (1200.1, 1300.1)
    assert AreaOfInterest.model_validate(area.to_dict()) == area
    interface = area.__geo_interface__
    assert interface["geometry"] == SQUARE
    assert interface["properties"]["name"] == "Test AOI"


def test_reprs_are_short() -> None:
    """A repr omits empty fields and summarizes polygons."""
    order = Order.model_validate(CONTRACT_ORDER)
    assert "start_date='2025-09-27T10:30:08.004000Z'" in repr(order)
    assert "tags=['field42']" in repr(order)
    assert "None" not in repr(order)
    ring = [[x / 1000, 49.0] for x in range(1000)] + [[0.5, 50.0], [0.0, 49.0]]
    area = AreaOfInterest(name="n", geometry={"type": "Polygon", "coordinates": [ring]})
    assert repr(area) == (
        "AreaOfInterest(name='n', geometry='Polygon in (0, 49, 0.999, 50), 1002 positions')"
    )
    odd = AreaOfInterest(name="n", geometry={"type": "Polygon"})
    assert "geometry='Polygon'" in repr(odd)


def test_html_repr_escapes_values() -> None:
    """``_repr_html_`` shows the fields, and escapes their values."""
    page = make_order(comment="<script>alert(1)</script>")._repr_html_()
    assert page.startswith("<table>")
    assert "LSTfusion" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
