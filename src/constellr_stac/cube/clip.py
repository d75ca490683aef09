"""Cut a cube to a geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geom import Geometry
from odc.geo.xr import rasterize

from constellr_stac.geometry.any_geometry import geometry_from
from constellr_stac.reading.raster import MASK_FILL

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["as_geometry", "clipped"]


def as_geometry(geometry: Any) -> Geometry:
    """Return a geometry of any form with its CRS.

    Args:
        geometry: As for :func:`.geometry_from`.

    Raises:
        InvalidAreaError: It is not a geometry.
    """
    if isinstance(geometry, Geometry) and geometry.crs is not None:
        return geometry
    return Geometry(geometry_from(geometry), "EPSG:4326")


def clipped(cube: xr.Dataset, geometry: Any) -> xr.Dataset:
    """Return a cube without data in pixels whose centre is outside a geometry.

    Args:
        cube: With a grid.
        geometry: As for :func:`.geometry_from`.

    Raises:
        InvalidAreaError: It is not a geometry.
    """
    grid: Any = cube.odc.geobox
    inside = rasterize(as_geometry(geometry), grid).drop_vars(list(cube.odc.geobox.dimensions))
    inside = inside.drop_vars(list(inside.coords))
    variables = {}
    for name, variable in cube.data_vars.items():
        if not set(grid.dimensions) <= set(variable.dims):
            continue
        if np.issubdtype(variable.dtype, np.floating):
            fill: Any = np.nan
        else:
            fill = variable.attrs.get("_FillValue", variable.attrs.get("nodata", MASK_FILL))
        kept = variable.where(inside, variable.dtype.type(fill))
        kept.attrs, kept.encoding = variable.attrs, variable.encoding
        variables[name] = kept
    return cube.assign(variables)
