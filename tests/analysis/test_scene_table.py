"""``scenes``: a table of scenes to pick from."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

import constellr_stac
from constellr_stac.errors import InvalidAreaError
from layer_files import written_item
from real_scenes import found, truth

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

    from constellr_stac.sandbox import Sandbox

EPSG = 32611
CORNER = (381060, 3746640)
"""The first corner of the scenes, in metres."""
AREA = shapely.box(CORNER[0] - 3000, CORNER[1] - 6000, CORNER[0] + 6000, CORNER[1])
"""A third of it is beside the scenes."""


@pytest.fixture
def items(sandbox: Sandbox) -> list[pystac.Item]:
    """Two clouded scenes and two clear ones."""
    return [found(sandbox)[number] for number in (0, 1, 3, 14)]


def test_shares_are_those_of_the_masks(items: list[pystac.Item], sandbox: Sandbox) -> None:
    """Over all of a scene, and over an area: counted by NumPy. Only masks are read."""
    sandbox.clear_requests()
    table = constellr_stac.scenes(items)
    reads = [each.path for each in sandbox.requests if each.server == "store"]
    assert len(set(reads)) == len(items)
    assert all(path.endswith("scl_mask_30m.tiff") for path in reads)
    masks = [truth(item.id).cloud for item in items]
    np.testing.assert_allclose(table.cloud_share, [np.mean(mask > 0) for mask in masks])
    np.testing.assert_allclose(table.clear_share, [np.mean(mask == 0) for mask in masks])
    within = constellr_stac.scenes(items, area=gpd.GeoSeries([AREA], crs=EPSG))
    corners = [mask[:200, :200] for mask in masks]
    np.testing.assert_allclose(
        within.clear_share, [np.mean(corner == 0) * 2 / 3 for corner in corners], atol=1e-6
    )
    np.testing.assert_allclose(
        within.cloud_share, [np.mean(corner > 0) * 2 / 3 for corner in corners], atol=1e-6
    )


def test_rows_say_when_and_where(items: list[pystac.Item]) -> None:
    """UTC, mean solar time at the footprint's centre, and the sun's own place (pvlib)."""
    from pvlib.solarposition import get_solarposition

    table = constellr_stac.scenes(items)
    assert table.index.tolist() == [item.id for item in items]
    assert table.time.tolist() == [pd.Timestamp(str(item.datetime)) for item in items]
    assert table.time.dt.tz == UTC
    assert table.crs == "EPSG:4326"
    for item, row in zip(items, table.itertuples(), strict=True):
        centre = shapely.geometry.shape(item.geometry).centroid
        assert row.geometry.equals(shapely.geometry.shape(item.geometry))
        utc = row.time.hour + row.time.minute / 60 + row.time.second / 3600
        assert row.solar_hour == pytest.approx((utc + centre.x / 15) % 24, abs=1e-3)
        sun = get_solarposition(row.time, centre.y, centre.x).elevation.item()
        assert row.daytime == (sun > 0)


def test_picked_rows_are_loaded_and_downloaded(items: list[pystac.Item], tmp_path: Path) -> None:
    """As a table, one row, or read again from a file."""
    table = constellr_stac.scenes(items)
    picked = table[table.clear_share > 0.95]
    assert 0 < len(picked) < len(items)
    expected = constellr_stac.load(list(picked.item), ["lst"]).compute()
    text = table.assign(item=[str_of(item) for item in items])
    text.to_parquet(tmp_path / "scenes.parquet")
    again = gpd.read_parquet(tmp_path / "scenes.parquet").loc[picked.index]
    for rows in (picked, again):
        xr.testing.assert_identical(constellr_stac.load(rows, ["lst"]).compute(), expected)
    done = constellr_stac.download(picked.iloc[0], tmp_path / "one", assets="lst", progress=False)
    assert len(done.written) == 1


def str_of(item: pystac.Item) -> str:
    """Return an item's JSON."""
    import json

    return json.dumps(item.to_dict())


def test_scene_without_mask_or_outside_has_no_share(tmp_path: Path, sandbox: Sandbox) -> None:
    """And costs no read; an empty search is an empty table."""
    assert np.isnan(constellr_stac.scenes(written_item(tmp_path, ["lst"])).clear_share).all()
    sandbox.clear_requests()
    client = constellr_stac.open_client()
    elsewhere = constellr_stac.scenes(client.search(max_items=2), area=shapely.box(8, 49, 9, 50))
    assert np.isnan(elsewhere.clear_share).all()
    assert not [each for each in sandbox.requests if each.server == "store"]
    empty = constellr_stac.scenes([])
    assert (len(empty), list(empty.columns)) == (0, list(elsewhere.columns))
    with pytest.raises(InvalidAreaError, match="is not an area"):
        constellr_stac.scenes([], area=3)


def test_unreadable_mask_is_named(items: list[pystac.Item], sandbox: Sandbox) -> None:
    """The scene is named in the error."""
    sandbox.put(f"LA harbor+port/{items[0].id}/scl_mask_30m.tiff", b"GIF89a")
    with pytest.raises(constellr_stac.AssetReadError, match=items[0].id):
        constellr_stac.scenes(items)
