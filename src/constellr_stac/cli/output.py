"""Files and stores that appear under their name when they are whole, and not before."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from constellr_stac.errors import MissingExtraError

from .errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import xarray as xr

__all__ = ["refuse_existing", "replacing", "write_netcdf", "write_zarr", "writer_for"]

_MARKS_OF_A_STORE = ("zarr.json", ".zgroup", ".zmetadata")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse, before anything is done, to write where something is.

    Args:
        path: Where to write.

    Keyword Args:
        overwrite: Whether a file or a Zarr store may be replaced; a folder of anything else
            may not.

    Raises:
        typer.BadParameter: There is something, or there is no such folder.
    """
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path.parent} is no folder.")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise typer.BadParameter(f"{path} exists already: choose another name, or say --overwrite.")
    if path.is_dir() and not any((path / mark).exists() for mark in _MARKS_OF_A_STORE):
        raise typer.BadParameter(f"{path} is a folder, and no Zarr store: it is not replaced.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write what is to be ``path``; it takes its place if nothing goes wrong.

    Args:
        path: A file or a folder, which may exist.

    Raises:
        Failure: The disk does not take it.
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
        problem = _problem_of_a_disk(error)
        if problem is None:
            raise
        raise Failure(
            f"{str(path)!r} cannot be written: {problem}. Make room, or choose another place."
        ) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _problem_of_a_disk(error: OSError | RuntimeError) -> str | None:
    """Return what a disk has against a file; ``None`` if it was something else, as a connection."""
    if isinstance(error, OSError):
        return error.strerror if (error.errno or 0) > 0 else None
    # All that the NetCDF library has to say of a disk that is full.
    return str(error) if str(error).startswith("NetCDF: ") else None


def writer_for(path: Path) -> Callable[[xr.Dataset, Path], None]:
    """Return what writes a file of this suffix.

    Raises:
        MissingExtraError: The extra ``files`` is not installed.
        typer.BadParameter: Nothing does.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".zarr":
            import zarr  # noqa: F401

            return write_zarr
        if suffix == ".nc":
            import netCDF4  # noqa: F401

            return write_netcdf
    except ImportError as error:
        raise MissingExtraError(f"Writing {suffix}", "files") from error
    raise typer.BadParameter(f"{path}: what to write is told by the suffix, .zarr or .nc.")


def write_zarr(cube: xr.Dataset, path: Path) -> None:
    """Write a cube as a Zarr store, where nothing is yet."""
    # Format 2: what every reader knows, and strings are specified there.
    cube.to_zarr(path, mode="w-", zarr_format=2, consolidated=True)


def write_netcdf(cube: xr.Dataset, path: Path) -> None:
    """Write a cube as NetCDF 4, compressed."""
    compressed = {name: {"zlib": True, "complevel": 4} for name in cube.data_vars}
    cube.to_netcdf(path, engine="netcdf4", encoding=compressed)
