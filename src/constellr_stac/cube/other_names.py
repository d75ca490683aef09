"""Arguments of odc-stac and stackstac that ``load`` does not have, and what to use instead."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from .arguments import CubeArguments

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["refuse_unknown"]

_VALUES = "values are float32, and raw=True returns stored integers; convert with .astype()"
_FILL = "no data is NaN, and 255 in masks; replace it with .fillna()"
_ORDER = 'scenes are sorted by time; overlap="first" or "last" chooses among overlapping scenes'
_DRIVER = "load() reads with its own driver and signs when it reads; pass auth= or signer="
_COORDINATES = "coordinates are pixel centres, as in odc-stac"
_ASSETS = "the items' and the documents' metadata apply; describe() shows and completes them"
_INSTEAD = {
    "odc-stac": {
        "dtype": _VALUES,
        "fail_on_error": 'errors="nan" leaves scenes that cannot be read empty',
        "driver": _DRIVER,
        "fuse_func": _ORDER,
        "measurements": "it is bands= here",
        "nodata": _FILL,
        "output_crs": "it is crs= here",
        "patch_url": _DRIVER,
        "pool": "dask computes in parallel: chunks={} here, then cube.compute(num_workers=8)",
        "preserve_original_order": _ORDER,
        "progress": "dask shows progress: with dask.diagnostics.ProgressBar(): cube.compute()",
        "stac_cfg": _ASSETS,
        "use_overviews": "overviews of values are used where they suffice, those of masks never",
        "with_properties": "the item ids are the coordinate 'id'; join properties by it",
    },
    "stackstac": {
        "assets": "it is bands= here",
        "band_coords": "each band is a variable, with its metadata as attributes",
        "bounds": "it is x=(left, right) and y=(bottom, top) here, with crs=",
        "bounds_latlon": "it is bbox= here",
        "chunksize": 'it is chunks={"time": 1, "y": 1024, "x": 1024} here',
        "epsg": "it is crs= here, such as crs='EPSG:32611'",
        "errors_as_nodata": 'errors="nan" leaves scenes that cannot be read empty',
        "fill_value": _FILL,
        "gdal_env": "files are fetched without GDAL's network code",
        "properties": "the item ids are the coordinate 'id'; join properties by it",
        "reader": _DRIVER,
        "rescale": "raw=True returns stored integers",
        "snap_bounds": "it is anchor= here",
        "sortby_date": _ORDER,
        "xy_coords": _COORDINATES,
    },
}


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse unknown arguments, with what to use instead.

    Args:
        names: The unknown arguments.

    Raises:
        TypeError: There is an unknown argument.
    """
    for name in names:
        for library, instead in _INSTEAD.items():
            if name in instead:
                raise TypeError(f"load() has no {library} argument {name}=: {instead[name]}.")
        known = (*CubeArguments.__annotations__, "bands", "group_by_resolution")
        similar = get_close_matches(name, known, n=1)
        hint = f" Did you mean {similar[0]}=?" if similar else ""
        raise TypeError(f"load() got an unexpected keyword argument {name!r}.{hint}")
