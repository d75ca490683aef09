"""Output files and stores that appear under their name once complete."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

from constellr_stac.errors import MissingExtraError

from .errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr

    from .terminal import Terminal

__all__ = [
    "CubePath",
    "Overwrite",
    "refuse_existing",
    "replacing",
    "report_table",
    "table_writer_for",
    "write_zarr",
    "writer_for",
]

CubePath = Annotated[
    Path,
    Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Zarr store (.zarr), NetCDF file (.nc), GeoTIFF (.tif) of one map, or a folder of "
        "GeoTIFFs.",
    ),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an existing file.")]

_ZARR_FILES = ("zarr.json", ".zgroup", ".zmetadata")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse an output path that exists, before any work is done.

    With ``overwrite``, a file or a Zarr store may be replaced, but no other folder.

    Raises:
        typer.BadParameter: ``path`` exists, or its parent does not.
    """
    if not path.parent.is_dir():
        raise BadParameter(f"{path.parent} is not a folder.")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise BadParameter(f"{path} exists: choose another name, or pass --overwrite.")
    if path.is_dir() and not any((path / name).exists() for name in _ZARR_FILES):
        raise BadParameter(f"{path} is a folder but not a Zarr store; it is not replaced.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path``, a file or folder, on success.

    Raises:
        Failure: The disk refuses the data.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        if path.is_dir() and not path.is_symlink():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            part.rename(path)
            shutil.rmtree(old)
        else:
            part.replace(path)
    except (OSError, RuntimeError) as error:
        problem = _disk_problem(error)
        if problem is None:
            raise
        raise Failure(
            f"Cannot write {str(path)!r}: {problem}. Free space, or choose another path."
        ) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _disk_problem(error: OSError | RuntimeError) -> str | None:
    """Return a disk's error message; ``None`` for other errors, such as of a connection."""
    if isinstance(error, OSError):
        return error.strerror if (error.errno or 0) > 0 else None
    # How the NetCDF library reports a full disk.
    return str(error) if str(error).startswith("NetCDF: ") else None


def writer_for(path: Path) -> Callable[[xr.Dataset, Path], None]:
    """Return the function that writes a file of this suffix.

    Raises:
        MissingExtraError: The extra ``files`` is not installed.
        typer.BadParameter: The suffix is unknown.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".zarr":
            import zarr  # noqa: F401

            return write_zarr
        if suffix == ".nc":
            import netCDF4  # noqa: F401

            return _write_netcdf
        if suffix in (".tif", ".tiff", ""):
            return _write_geotiff
    except ImportError as error:
        raise MissingExtraError(f"Writing {suffix}", "files") from error
    raise BadParameter(f"{path}: unknown suffix; use .zarr, .nc or .tif, or none for a folder.")


def write_zarr(cube: xr.Dataset, path: Path) -> None:
    """Write a cube to a new Zarr store."""
    # Format 2: every reader supports it, and it specifies strings.
    cube.to_zarr(path, mode="w-", zarr_format=2, consolidated=True)


def _write_netcdf(cube: xr.Dataset, path: Path) -> None:
    compressed = {name: {"zlib": True, "complevel": 4} for name in cube.data_vars}
    cube.to_netcdf(path, engine="netcdf4", encoding=compressed)


def _write_geotiff(cube: xr.Dataset, path: Path) -> None:
    from constellr_stac.analysis.export import to_geotiff

    to_geotiff(cube, path, None, None)


def _write_csv(table: Any, path: Path) -> None:
    geometry = getattr(table, "active_geometry_name", None)
    (table if geometry is None else table.drop(columns=geometry)).to_csv(path)


def table_writer_for(
    path: Path, *, geometry: bool = True, layer: str = "statistics"
) -> Callable[[Any, Path], None]:
    """Return the function that writes a table to a file of this suffix.

    A table with a ``geometry`` can be a GeoPackage, with this ``layer``; CSV leaves geometries out.

    Raises:
        MissingExtraError: pyarrow is not installed.
        typer.BadParameter: The suffix is unknown.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _write_csv
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401, ICN001
        except ImportError as error:
            raise MissingExtraError("Writing .parquet", "files") from error
        return lambda table, part: table.to_parquet(part)
    if suffix == ".gpkg" and geometry:
        return lambda table, part: table.to_file(part, layer=layer, driver="GPKG", index=True)
    known = ".csv, .parquet or .gpkg" if geometry else ".csv or .parquet"
    raise BadParameter(f"{path}: unknown suffix; use {known}.")


def report_table(terminal: Terminal, path: Path, text: str, table: Any) -> None:
    """Print that a table was written, and what it holds."""
    facts = {"path": str(path), "rows": len(table), "columns": list(table.columns)}
    terminal.result(facts, f"{path}: {text}")
