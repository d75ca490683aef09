"""What metadata documents state, as coordinates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import constellr_stac
from constellr_stac import AssetReadError
from layer_files import bare_item, write_file
from real_scenes import found
from scene_cubes import real_documents

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

    from constellr_stac.sandbox import Sandbox

ANGLES = {
    "geometric": {
        "solar_angles": {"view:sun_elevation": 41.5, "view : sun_azimuth": -20.0},
        "viewing_angles": {
            "view:off_nadir": 14.0,
            "view:incident_angle": 15.5,
            "view:azimuth": 101.0,
        },
    },
    "day_flag": True,
    "product_type": "L2",
}


def items_of(folder: Path, *documents: Any) -> list[pystac.Item]:
    """Write scenes a day apart with these documents."""
    items = []
    for number, document in enumerate(documents):
        place = folder / str(number)
        place.mkdir()
        write_file(place / "lst.tiff", "lst")
        text = document if isinstance(document, str) else json.dumps(document)
        (place / "metadata.json").write_text(text, encoding="utf-8")
        item = bare_item(["lst", "metadata"], item_id=str(number), href=f"{place}/{{}}")
        assert item.datetime is not None
        item.datetime = item.datetime.replace(day=number + 1)
        items.append(item)
    return items


def test_documents_of_real_scenes(sandbox: Sandbox, tmp_path: Path) -> None:
    """One request per scene, and only when asked for; the coordinates are in files, too."""
    items = found(sandbox)
    documents = real_documents()
    plain = constellr_stac.load(items, ["lst"])
    assert "day_flag" not in plain.coords
    sandbox.clear_requests()
    cube = constellr_stac.load(items, ["lst"], with_metadata=True)
    read = [each.path for each in sandbox.requests if each.path.endswith("metadata.json")]
    assert len(read) == len(items) == 15
    assert cube["day_flag"].dtype == bool
    assert cube["day_flag"].values.tolist() == [each["day_flag"] for each in documents]
    assert set(cube["processing_level"].values) == {"L2"}
    assert "sun_elevation" not in cube.coords
    small = cube.isel(y=slice(2), x=slice(2))
    small.to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    again = constellr_stac.open_cube(tmp_path / "cube.zarr")
    assert again["day_flag"].values.tolist() == cube["day_flag"].values.tolist()


def test_angles(tmp_path: Path) -> None:
    """In degrees; what the item states comes before its document, and what neither does is NaN."""
    items = items_of(tmp_path, ANGLES, {"geometric": [1]}, ANGLES)
    items[2].properties["view:sun_elevation"] = 12.0
    cube = constellr_stac.load(items, ["lst"], with_metadata=True)
    expected = {
        "sun_elevation": [41.5, np.nan, 12.0],
        "sun_azimuth": [340.0, np.nan, 340.0],
        "view_zenith": [15.5, np.nan, 15.5],
        "view_azimuth": [101.0, np.nan, 101.0],
        "off_nadir": [14.0, np.nan, 14.0],
        "day_flag": [1.0, np.nan, 1.0],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(cube[name], values)
        assert cube[name].dims == ("time",)
    assert cube["processing_level"].values.tolist() == ["L2", "", "L2"]
    assert cube["sun_elevation"].attrs["standard_name"] == "solar_elevation_angle"
    whole = constellr_stac.load(items, ["lst"], with_metadata=True, groupby=lambda _: "all")
    assert whole["sun_elevation"].values.tolist() == [41.5]


def test_documents_of_items_of_the_same_id(tmp_path: Path) -> None:
    """Two versions of an item, or items of two catalogues, have a document each."""
    items = items_of(tmp_path, ANGLES, {"geometric": {"viewing_angles": {"view:off_nadir": 3.0}}})
    items[1].id = items[0].id
    cube = constellr_stac.load(items, ["lst"], with_metadata=True)
    np.testing.assert_array_equal(cube["off_nadir"], [14.0, 3.0])


def test_unreadable_document(tmp_path: Path) -> None:
    """An error, or nothing stated with ``errors="nan"``."""
    items = items_of(tmp_path, ANGLES, "{")
    with pytest.raises(AssetReadError, match=r"'metadata'.*JSON"):
        constellr_stac.load(items, ["lst"], with_metadata=True)
    cube = constellr_stac.load(items, ["lst"], with_metadata=True, errors="nan")
    np.testing.assert_array_equal(cube["off_nadir"], [14.0, np.nan])
