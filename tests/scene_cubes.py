"""Cubes like those of ``load``, from the shipped scenes with rasterio, or synthetic."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from constellr_stac.layers.table import LAYERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCENES = Path(str(files("constellr_stac.sandbox"))) / "scenes" / "la_harbor"
"""The folder of the shipped scenes."""

BOX = GeoBox((6, 8), rasterio.Affine(30.0, 0.0, 381060.0, 0.0, -30.0, 3746640.0), "EPSG:32611")


def cube_of(
    kelvin: NDArray[Any],
    times: list[str],
    *,
    clouds: NDArray[Any] | None = None,
    geobox: GeoBox = BOX,
) -> xr.Dataset:
    """Make a cube of temperatures in kelvin, dims (time, y, x)."""
    dims = ("time", *geobox.dimensions)
    lst, cloud = LAYERS["lst"].bands[0], LAYERS["scl_mask_30m"].bands[0]
    variables = {"lst": (dims, kelvin.astype("float32"), lst.cf_attributes())}
    if clouds is not None:
        variables["cloud_mask"] = (dims, clouds.astype("uint8"), cloud.cf_attributes("uint8"))
    coords = {**xr_coords(geobox), "time": np.array(times, "datetime64[ns]")}
    cube = xr.Dataset(variables, coords=coords)
    for variable in cube.data_vars.values():
        variable.encoding["grid_mapping"] = "spatial_ref"
    return cube


def real_documents() -> list[dict[str, Any]]:
    """Read the metadata documents of the shipped scenes, ordered by time."""
    return [json.loads((path / "metadata.json").read_text("utf-8")) for path in _folders()]


def real_cube() -> xr.Dataset:
    """Read all shipped scenes: temperature in kelvin and cloud mask."""
    kelvin, clouds = [], []
    for path in _folders():
        with rasterio.open(path / "lst.tiff") as file:
            stored = file.read(1)
            geobox = GeoBox(file.shape, file.transform, file.crs.to_string())
        kelvin.append(np.where(stored == 65535, np.nan, stored * 0.01))
        with rasterio.open(path / "scl_mask_30m.tiff") as file:
            clouds.append(file.read(1))
    times = [str(each["acquisition_datetime"]).removesuffix("Z") for each in real_documents()]
    return cube_of(np.stack(kelvin), times, clouds=np.stack(clouds), geobox=geobox)


def _folders() -> list[Path]:
    return sorted(path for path in SCENES.iterdir() if path.is_dir())
