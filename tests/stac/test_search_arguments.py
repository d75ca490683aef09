"""Searches take times and geometries in the forms that people have."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import constellr_stac
from constellr_stac.stac.search_arguments import interval

if TYPE_CHECKING:
    from constellr_stac.sandbox import Sandbox

MOMENT = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-06", "2026-06"),
        (date(2026, 6, 1), "2026-06-01"),
        (MOMENT, "2026-06-01T12:00:00Z"),
        (MOMENT.astimezone(timezone(timedelta(hours=2))), "2026-06-01T12:00:00Z"),
        (np.datetime64("2026-06-01"), "2026-06-01"),
        (np.datetime64("2026-06-01T12:00"), "2026-06-01T12:00:00Z"),
        (pd.Timestamp("2026-06-01 12:00"), "2026-06-01T12:00:00Z"),
        (pd.Period("2026-06"), "2026-06-01T00:00:00Z/2026-06-30T23:59:59Z"),
        ((date(2026, 6, 1), pd.Period("2026-07")), "2026-06-01/2026-07-31T23:59:59Z"),
        ([None, MOMENT], "../2026-06-01T12:00:00Z"),
        (["2026-06", None], "2026-06/.."),
        (None, None),
    ],
)
def test_every_form_of_a_time(time: Any, text: str | None) -> None:
    """As pystac-client and the API understand it."""
    assert interval(time) == text


@pytest.mark.parametrize("time", [3.5j, [MOMENT] * 3])
def test_other_objects_are_refused(time: Any) -> None:
    """They are a ValueError."""
    with pytest.raises(ValueError, match="datetime="):
        interval(time)


def test_search_with_geopandas_and_periods(sandbox: Sandbox) -> None:
    """The same scenes as with GeoJSON and text."""
    client = constellr_stac.open_client()
    area = shapely.box(-118.25, 33.75, -118.2, 33.8)
    frame = gpd.GeoDataFrame(geometry=gpd.GeoSeries([area], crs=4326).to_crs(32611))
    ours = client.search(intersects=frame, datetime=pd.Period("2023-07"))
    plain = client.search(intersects=area.__geo_interface__, datetime="2023-07")
    assert [item.id for item in ours.items()] == [item.id for item in plain.items()] != []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"collections": ["lstprecison"]}, "no collection 'lstprecison', but .*'lstprecision'"),
        (
            {"filter": {"op": "<", "args": [{"property": "eo:cloudcover"}, 5]}},
            "no property 'eo:cloudcover', but .*'datetime'",
        ),
    ],
    ids=["collection", "property"],
)
def test_empty_search_names_what_there_is(
    sandbox: Sandbox, arguments: dict[str, Any], message: str
) -> None:
    """A typing error is a warning, once, and not a silent zero."""
    search = constellr_stac.open_client().search(**arguments)
    with pytest.warns(UserWarning, match=message):
        assert search.matched() == 0
    assert list(search.items()) == []


def test_empty_search_without_typing_errors_is_silent(sandbox: Sandbox) -> None:
    """There may be no scenes."""
    client = constellr_stac.open_client()
    assert list(client.search(collections=["lstprecision"], datetime="1990").items()) == []
