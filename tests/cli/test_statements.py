"""``constellr doctor`` with items or a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pystac
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

from shell import constellr

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 40
LEFT, TOP = 381060.0, 3746640.0


def written(path: Path) -> Path:
    """Write temperatures in hundredths of a degree Celsius."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        count=1,
        dtype="uint16",
        crs="EPSG:32611",
        transform=from_origin(LEFT, TOP, 30, 30),
        nodata=0,
    ) as dataset:
        dataset.write(np.full((1, SIDE, SIDE), 2500, "uint16"))
        dataset.scales, dataset.offsets, dataset.units = (0.01,), (0.0,), ("degC",)
    return path


def item_of(path: Path, **fields: object) -> pystac.Item:
    """Return an item of the file, with fields of its asset."""
    box = transform_bounds("EPSG:32611", "EPSG:4326", LEFT, TOP - 30 * SIDE, LEFT + 30 * SIDE, TOP)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    when = pystac.utils.str_to_datetime("2026-07-01T12:00:00Z")
    shape = {"type": "Polygon", "coordinates": [ring]}
    item = pystac.Item("scene", shape, list(box), when, {})
    asset = pystac.Asset(str(path), media_type=pystac.MediaType.COG, extra_fields=dict(fields))
    item.add_asset("lst", asset)
    return item


def test_a_file_is_compared_with_the_documents(tmp_path: Path) -> None:
    """Each field has the documents' and the file's statement; the file's encoding is used."""
    run = constellr("--json", "doctor", str(written(tmp_path / "lst.tiff")))
    assert run.returncode == 0, run.stderr
    rows = {row["field"]: row for row in json.loads(run.stdout)["statements"]}
    assert rows["unit"] == {
        "field": "unit",
        "used": "degC",
        "documents": "K",
        "item": None,
        "file": "degC",
        "band": "lst",
        "scene": "lst",
    }
    assert (rows["nodata"]["documents"], rows["nodata"]["used"]) == (65535, 0)
    assert rows["grid"]["file"] == "EPSG:32611 at 30 x 30"


def test_contradictions_are_named_and_fail(tmp_path: Path) -> None:
    """An item's scale and grid that are not the file's are named; exit code 1."""
    path = written(tmp_path / "lst.tiff")
    fields = {
        "raster:bands": [{"scale": 0.02, "offset": 0.0, "unit": "K"}],
        "proj:code": "EPSG:32611",
        "proj:shape": [SIDE, SIDE],
        "proj:transform": [30, 0, LEFT + 300, 0, -30, TOP],
    }
    (tmp_path / "item.json").write_text(json.dumps(item_of(path, **fields).to_dict()))
    run = constellr("doctor", str(tmp_path / "item.json"))
    assert run.returncode == 1, run.stderr
    scale = next(line.split() for line in run.stdout.splitlines() if line.startswith("scale"))
    assert scale[:5] == ["scale", "0.02", "0.01", "0.02", "0.01"]
    assert "lst of scene: the item states scale 0.02" in run.stdout
    assert "the item states another grid; the file's is used" in run.stdout


def test_a_file_that_is_no_tiff_fails(tmp_path: Path) -> None:
    """The reason is printed; exit code 1."""
    (tmp_path / "lst.tiff").write_bytes(b"no pixels")
    run = constellr("doctor", str(tmp_path / "lst.tiff"))
    assert run.returncode == 1
    assert "it is not a readable GeoTIFF" in run.stdout
