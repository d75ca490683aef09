"""Finds what a cube's graph reads, without computing it.

Both engines open files in separate tasks and read windows in others. What a task reads stands in
its arguments, and is found by the names of the engines' functions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from dask._task_spec import Alias  # its public module lacks it in 2025.1
from dask.core import flatten
from dask.optimization import cull
from dask.task_spec import DataNode, TaskRef
from odc.geo.geobox import GeoBox
from odc.loader import RasterSource

from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.odc_arguments import step_of

from .placement import placed_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import xarray as xr

    from constellr_stac.reading.band_source import BandRead
    from constellr_stac.reading.prefetch import Fetcher

__all__ = ["ChunkRead", "chunk_reads"]


class ChunkRead(NamedTuple):
    """What a task reads."""

    geobox: GeoBox
    """The grid of the chunk."""
    resampling: str
    reads: tuple[BandRead, ...]
    """The bands of the scenes, each with its masks."""
    steps: int
    """Time steps."""
    itemsize: int
    """Bytes of a pixel."""
    fetcher: Fetcher

    @property
    def references(self) -> list[AssetRef]:
        """The assets that are read."""
        return [ref for each in self.reads for ref in each.refs]

    def windows(self) -> Iterator[tuple[AssetRef, BandRead, GeoBox]]:
        """Yield what is read of each asset, masks included, and on which grid."""
        for each in self.reads:
            for read, geobox in each.windows(self.geobox):
                yield AssetRef.parse(read.uri), read, geobox

    @property
    def nbytes(self) -> int:
        """The bytes of the chunk."""
        return math.prod(self.geobox.shape) * self.steps * self.itemsize


def chunk_reads(cube: xr.Dataset) -> list[ChunkRead]:
    """Return what computing a cube reads, task by task; nothing for a cube not from ``load``."""
    graph = cube.__dask_graph__()
    if graph is None:
        return []
    keys = set(flatten(cube.__dask_keys__()))
    # Culls layers first, to not materialize unneeded tasks; that leaves some.
    tasks, _ = cull(graph.cull(keys).to_dict(), list(keys))
    tasks |= placed_tasks(tasks)
    found = []
    for key in sorted(tasks, key=_place, reverse=True):  # as dask's local schedulers compute
        task = tasks[key]
        reader = _READERS.get(getattr(getattr(task, "func", None), "__name__", ""))
        if reader is not None:
            found.append(reader(tasks, [_value(tasks, each) for each in task.args]))
    return [each for each in found if each is not None]


def _place(key: Any) -> tuple[Any, ...]:
    """Return what sorts the keys of a graph by their place in the cube."""
    return (str(key[0]), *key[1:]) if isinstance(key, tuple) else (str(key),)


def _of_odc(tasks: Mapping[Any, Any], arguments: list[Any]) -> ChunkRead | None:
    """Read the arguments of odc-loader's task for a chunk."""
    steps, tiles, place, _, _, params, driver, *_ = arguments
    if not hasattr(driver, "fetcher"):
        return None  # another driver's
    geobox = tiles[place]
    reads = [
        read
        for step in steps.args
        for opened in step.args
        for part in _parts(tasks[opened.key])
        if isinstance(part, RasterSource)
        for read in step_of(part).touching(geobox)
    ]
    itemsize = np.dtype(params.dtype).itemsize
    return ChunkRead(
        geobox, params.resampling, tuple(reads), len(steps.args), itemsize, driver.fetcher
    )


def _of_stackstac(tasks: Mapping[Any, Any], arguments: list[Any]) -> ChunkRead | None:
    """Read the arguments of stackstac's task for a chunk."""
    table, (rows, columns), dtype, _ = arguments
    assets, spec, resampling, *_, reader = (_value(tasks, each) for each in table.args)
    keywords = getattr(reader, "keywords", {})
    if "fetcher" not in keywords:
        return None
    geobox = GeoBox(spec.shape, spec.transform, f"EPSG:{spec.epsg}")[rows, columns]
    reads = [read for step in assets["url"].flat if step for read in step.touching(geobox)]
    return ChunkRead(
        geobox,
        resampling.name,
        tuple(reads),
        len(assets),
        dtype.itemsize,
        keywords["fetcher"],
    )


_READERS: dict[str, Callable[[Mapping[Any, Any], list[Any]], ChunkRead | None]] = {
    "_dask_loader_tyx": _of_odc,
    "fetch_raster_window": _of_stackstac,
}


def _value(tasks: Mapping[Any, Any], argument: Any) -> Any:
    """Return what an argument stands for."""
    while isinstance(argument, (TaskRef, Alias)):
        argument = tasks[argument.key if isinstance(argument, TaskRef) else argument.target]
    return argument.value if isinstance(argument, DataNode) else argument


def _parts(task: Any) -> Iterator[Any]:
    """Yield the arguments of a task."""
    yield from task if isinstance(task, tuple) else task.args
