"""Cubes read back from the files that xarray wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    import os

__all__ = ["open_cube", "with_crs_coordinate"]


def open_cube(path: str | os.PathLike[str], **options: Any) -> xr.Dataset:
    """Open a cube that was written to Zarr or NetCDF, lazily, with its grid and ``constellr``.

    Args:
        path: A Zarr store or a NetCDF file.
        options: For :func:`xarray.open_dataset`, such as ``chunks=None``.

    Returns:
        The cube as it was written.

    Raises:
        FileNotFoundError: There is no such file.

    Example:
        >>> import constellr_stac
        >>> cube = constellr_stac.open_cube("july.zarr")  # doctest: +SKIP
        >>> cube.constellr.clear()  # doctest: +SKIP
    """
    from pathlib import Path

    given = {"decode_coords": "all", "chunks": {}, **options}
    if (
        "engine" not in given
        and (Path(path) / ".zgroup").exists() | (Path(path) / "zarr.json").exists()
    ):
        given["engine"] = "zarr"  # whatever the store is called
    return with_crs_coordinate(xr.open_dataset(path, **given))


def with_crs_coordinate(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube whose CRS is a coordinate, as it is not in files opened by xarray's defaults.

    Args:
        cube: With the variable ``spatial_ref``, or any with a ``crs_wkt``.
    """
    names = [
        name
        for name, variable in cube.data_vars.items()
        if not variable.ndim and ("crs_wkt" in variable.attrs or "spatial_ref" in variable.attrs)
    ]
    return cube.set_coords(names) if names else cube
