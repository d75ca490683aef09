"""``describe`` with fields from headers and metadata documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import requests
import rioxarray
import stackstac
import xarray as xr

import constellr_stac
from constellr_stac import AssetReadError, Signer
from layer_files import bare_item, write_file
from real_scenes import found, truth

if TYPE_CHECKING:
    from pathlib import Path

    from constellr_stac.sandbox import Sandbox


def fetched_files(sandbox: Sandbox) -> list[str]:
    """Return the names of the files requested."""
    return [exchange.path.rpartition("/")[2] for exchange in sandbox.requests]


def test_one_header_and_one_document_per_scene(sandbox: Sandbox) -> None:
    """They give grid, cloud cover and platform."""
    items = found(sandbox)
    sandbox.clear_requests()
    whole = constellr_stac.describe(items).items
    assert sorted(fetched_files(sandbox)) == sorted(["lst.tiff", "metadata.json"] * 15)
    first = whole[0]
    assert first.properties["proj:code"] == "EPSG:32611"
    assert first.assets["lst"].extra_fields["proj:shape"] == [400, 400]
    assert first.assets["scl_mask_30m"].extra_fields["proj:transform"][:6] == [
        30, 0, 381060, 0, -30, 3746640,
    ]  # fmt: skip
    assert first.properties["platform"] == "ECO01"
    assert "eo:cloud_cover" in first.properties
    assert "proj:code" not in items[0].properties
    sandbox.clear_requests()
    constellr_stac.describe(whole)
    assert fetched_files(sandbox) == []


def test_describe_accepts_a_search(sandbox: Sandbox) -> None:
    """Like ``load`` and ``sign``."""
    search = constellr_stac.open_client().search(collections=["lstprecision"])
    whole = constellr_stac.describe(search, metadata=False)
    assert len(whole.items) == whole.count == len(found(sandbox))
    assert {item.properties["proj:code"] for item in whole.items} == {"EPSG:32611"}


def test_null_cloud_cover_is_filled(sandbox: Sandbox) -> None:
    """A null field is filled from the metadata document."""
    (item, *_) = found(sandbox)
    item.properties["eo:cloud_cover"] = None
    assert constellr_stac.describe(item).items.properties["eo:cloud_cover"] is not None


def test_describe_accepts_an_iterator(sandbox: Sandbox) -> None:
    """An iterator, such as a search's ``items()``, is consumed once."""
    search = constellr_stac.open_client().search(collections=["lstprecision"], max_items=3)
    whole = constellr_stac.describe(search.items())
    described = list(whole.items)
    assert len(described) == whole.count == 3
    assert {item.properties["proj:code"] for item in described} == {"EPSG:32611"}
    assert all("eo:cloud_cover" in item.properties for item in described)


def test_headers_and_metadata_are_optional(sandbox: Sandbox) -> None:
    """Without both, nothing is requested."""
    items = found(sandbox)
    sandbox.clear_requests()
    constellr_stac.describe(items, headers=False, metadata=False, copy=False)
    assert fetched_files(sandbox) == []
    assert items[0].assets["lst"].extra_fields["bands"][0]["raster:scale"] == 0.01


@pytest.mark.parametrize("collections", [("lstprecision", "lstfusion"), ("lstprecision",) * 2])
def test_items_of_the_same_id(tmp_path: Path, collections: tuple[str, str]) -> None:
    """In two collections; or in one, as two versions or from two catalogues."""
    items, truths = [], []
    for number, collection in enumerate(collections):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_file(folder / "lst.tiff", "lst")
        item = bare_item(["lst", "metadata"], href=f"{folder}/{{}}")
        item.collection_id = collection
        place = rasterio.Affine(30, 0, 381060 + 3000 * number, 0, -30, 3746640)
        with rasterio.open(folder / "lst.tiff", "r+") as file:
            file.transform = place
        document = {"aoi_cloud_cover": 10.0 * number}
        (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
        items.append(item)
        truths.append((list(place)[:6], 10.0 * number))
    whole = constellr_stac.describe(items).items
    assert truths == [
        (item.assets["lst"].extra_fields["proj:transform"], item.properties["eo:cloud_cover"])
        for item in whole
    ]


def test_described_items_load_in_plain_tools(sandbox: Sandbox, tmp_path: Path) -> None:
    """odc-stac, stackstac and rioxarray use the described grid, scale and nodata."""
    items = found(sandbox)[:2]
    whole = constellr_stac.describe(pystac.ItemCollection(items)).items
    signed = Signer().sign(whole)
    expected = truth(items[0].id).kelvin
    stored = odc.stac.load(signed, ["lst"], chunks={}).lst[0].compute()
    kelvin = (stored.values * 0.01).astype("float32")
    np.testing.assert_array_equal(kelvin[stored.values != 65535], expected[np.isfinite(expected)])
    stacked = stackstac.stack(
        [item.to_dict(transform_hrefs=False) for item in signed], assets=["lst"], epsg=32611
    )
    np.testing.assert_array_equal(stacked[0, 0].astype("float32"), expected)
    file = tmp_path / "lst.tiff"
    file.write_bytes(requests.get(signed[0].assets["lst"].href, timeout=60).content)
    decoded = rioxarray.open_rasterio(file, mask_and_scale=True)
    assert isinstance(decoded, xr.DataArray)
    with decoded:
        np.testing.assert_allclose(decoded[0], expected, atol=1e-3)


def test_corrupt_file_is_named(sandbox: Sandbox) -> None:
    """The error names the asset whose file or document is corrupt."""
    (item, *_) = found(sandbox)
    sandbox.put(f"LA harbor+port/{item.id}/metadata.json", b"{")
    with pytest.raises(AssetReadError, match=r"'metadata'.*JSON"):
        constellr_stac.describe(item)
    sandbox.put(f"LA harbor+port/{item.id}/lst.tiff", b"GIF89a")
    with pytest.raises(AssetReadError, match=r"'lst'.*not a readable GeoTIFF"):
        constellr_stac.describe(item, metadata=False)
