"""What ``describe`` and ``download`` save loads in the plain tools, however pystac has read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import rioxarray
import stackstac
import xarray as xr
from pystac.extensions.projection import ProjectionExtension
from rio_tiler.io import STACReader

import constellr_stac

if TYPE_CHECKING:
    from collections.abc import Callable

    from constellr_stac.sandbox import Sandbox

pytestmark = [
    pytest.mark.slow,
    # rio-tiler's, for each item with bands and without statistics.
    pytest.mark.filterwarnings("ignore:Some statistics data in STAC are invalid:UserWarning"),
]

PROJECTION = "https://stac-extensions.github.io/projection/"


def declaring(version: str) -> Callable[[dict[str, Any]], pystac.Item]:
    """Return a reader that declares a version of the extension, and changes nothing else."""

    def read(document: dict[str, Any]) -> pystac.Item:
        others = [each for each in document["stac_extensions"] if PROJECTION not in each]
        declared = [*others, f"{PROJECTION}{version}/schema.json"]
        return pystac.Item.from_dict({**document, "stac_extensions": declared}, migrate=False)

    return read


def reread(document: dict[str, Any]) -> pystac.Item:
    """Write and read an item again, as pystac migrates it."""
    return pystac.Item.from_dict(json.loads(json.dumps(pystac.Item.from_dict(document).to_dict())))


READERS: dict[str, Callable[[dict[str, Any]], pystac.Item]] = {
    "migrated": reread,
    **{version: declaring(version) for version in ("v1.1.0", "v2.0.0")},
}


def saved(item: pystac.Item, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the JSON of an item downloaded, and described with the downloaded files."""
    constellr_stac.download(item, folder, progress=False)
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    [path] = [each.get_self_href() for each in catalog.get_items(recursive=True)]
    document = {**json.loads(Path(str(path)).read_text()), "links": []}  # they are relative
    described = constellr_stac.describe(item).items
    for key, asset in document["assets"].items():
        asset["href"] = str(Path(str(path)).parent / asset["href"])
        described.assets[key].href = f"file://{asset['href']}"
    pystac.ItemCollection([described]).save_object(str(folder / "items.json"))
    [whole] = json.loads((folder / "items.json").read_text())["features"]
    return {"downloaded": document, "described": whole}


def test_saved_items_load_in_plain_tools(sandbox: Sandbox, tmp_path: Path) -> None:
    """odc-stac, stackstac, rioxarray, rio-tiler and GDAL read the same pixels on the same grid.

    stackstac only reads ``proj:epsg``, which pystac removes.
    """
    item = next(constellr_stac.open_client().search(max_items=1).items())
    for document in saved(item, tmp_path).values():
        sandbox.clear_requests()
        path = document["assets"]["lst"]["href"]
        with rasterio.open(path) as file:
            stored, grid = file.read(1), file.transform
        array = rioxarray.open_rasterio(path)
        assert isinstance(array, xr.DataArray)
        with array:
            np.testing.assert_array_equal(array[0], stored)
        kelvin = np.where(stored == 65535, np.nan, stored * 0.01)
        plain = stackstac.stack([document], assets=["lst"])
        np.testing.assert_allclose(plain[0, 0], kelvin)
        for read in READERS.values():
            one = read(document)
            whole = one.clone()
            whole.properties["proj:epsg"] = ProjectionExtension.ext(one).epsg
            stacked = stackstac.stack([whole], assets=["lst"])
            np.testing.assert_allclose(stacked[0, 0], kelvin)
            cube = odc.stac.load([one], ["lst", "cloud_mask"])
            np.testing.assert_array_equal(cube.lst[0], stored)
            assert (cube.odc.geobox.affine, cube.lst.nodata) == (grid, 65535)
            with STACReader(None, item=one) as tiler:
                assert tiler.transform == grid
                np.testing.assert_array_equal(
                    tiler.preview(["lst"], max_size=None).array[0], stored
                )
        assert not sandbox.requests
    with rasterio.open(f'STACIT:"{tmp_path / "items.json"}":asset=lst') as file:
        np.testing.assert_array_equal(file.read(1), stored)


def test_downloaded_catalog_loads_without_the_api(sandbox: Sandbox, tmp_path: Path) -> None:
    """In plain odc-stac, and in stackstac with the two lines of the documentation."""
    search = constellr_stac.open_client().search(max_items=2)
    constellr_stac.download(search, tmp_path, assets=["lst"], progress=False)
    sandbox.clear_requests()
    items = list(pystac.Catalog.from_file(tmp_path / "catalog.json").get_items(recursive=True))
    cube = odc.stac.load(items, ["lst"])
    for item in items:
        assert item.get_collection().id == item.collection_id  # type: ignore[union-attr]
        item.make_asset_hrefs_absolute()
        item.properties["proj:epsg"] = item.ext.proj.epsg
    kelvin = cube.lst.where(cube.lst != cube.lst.nodata) * 0.01
    np.testing.assert_allclose(stackstac.stack(items, assets=["lst"])[:, 0], kelvin)
    assert not sandbox.requests
