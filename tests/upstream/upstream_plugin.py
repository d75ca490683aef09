"""A pytest plugin that puts this package's parts in place of the engines' own, for their tests.

odc-stac and odc-loader read with :class:`OdcDriver`, stackstac with :class:`StackstacReader`, and
every client of pystac-client has :func:`sign_inplace` as its modifier.
"""

from __future__ import annotations

import functools
import tempfile
from typing import Any

import hypothesis
import odc.stac._mdtools
import pystac_client
import pytest
import rasterio.shutil
import stackstac.to_dask

import constellr_stac

_NETWORK = "fetches from the network"
_DIMENSION = "the bands of a file are variables here, not a dimension"

EXCLUDED = {
    "test_memreader.py::test_mem_reader": _NETWORK,
    "test_memreader.py::test_memreader_zarr": _NETWORK,
    "test_memreader.py::test_memreader_aux": _NETWORK,
    "test_reader.py::test_rio_read_rgb": _DIMENSION,
    "test_reader.py::test_rio_read": "src_nodata_fallback, which odc.stac.load does not set",
    "test_reader.py::test_reader_unhappy_paths": "a missing band is an AssetReadError here",
    **dict.fromkeys(
        (
            f"test_mdtools.py::test_{name}"
            for name in (
                "band_metadata_for_cdse_item", "extract_md", "norm_geom", "output_geobox",
                "parse_item", "parse_item_no_proj",
            )
        ),
        _NETWORK,
    ),
    "test_to_dask.py::test_items_to_dask": "fails with stackstac's own reader too",
}  # fmt: skip
"""Why a test does not apply, by module and function."""


def _resolve_driver(driver: Any, *args: Any, **kwargs: Any) -> Any:
    return _original(driver or "constellr_stac.OdcDriver", *args, **kwargs)


def _rio_read(src: Any, cfg: Any, geobox: Any, dst: Any = None, selection: Any = None) -> Any:
    if not src.uri.startswith("/vsimem/"):
        reader = constellr_stac.OdcDriver().open(src, None)
        return reader.read(cfg, geobox, dst=dst, selection=selection)
    with tempfile.TemporaryDirectory() as folder:
        copy = f"{folder}/copy.tif"
        rasterio.shutil.copyfiles(src.uri, copy)
        return _rio_read(src.patch(uri=copy), cfg, geobox, dst, selection)


_original = odc.stac._mdtools._resolve_driver
vars(odc.stac._stac_load)["_resolve_driver"] = _resolve_driver
stackstac.to_dask.AutoParallelRioReader = constellr_stac.StackstacReader


def _with_modifier(method: Any) -> Any:
    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        kwargs["modifier"] = kwargs.get("modifier") or constellr_stac.sign_inplace
        return method(*args, **kwargs)

    return called


hypothesis.settings.register_profile("upstream", deadline=None)  # a busy machine is slow
hypothesis.settings.load_profile("upstream")
pystac_client.Client.open = _with_modifier(pystac_client.Client.open)  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Skip what does not apply, with the reason."""
    for item in items:
        if hasattr(item.module, "rio_read"):
            item.module.rio_read = _rio_read
        reason = EXCLUDED.get(f"{item.path.name}::{item.originalname}")
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
