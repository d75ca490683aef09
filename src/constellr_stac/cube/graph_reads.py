"""Finds the files that a cube's graph reads, without computing it.

Both engines open files in separate tasks and read windows in others; the kinds of tasks differ in
their arguments.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.core import flatten, get_dependencies
from dask.optimization import cull
from odc.geo.geobox import GeoboxTiles
from odc.loader import RasterLoadParams, RasterSource

from constellr_stac.reading.asset_ref import AssetRef
from constellr_stac.reading.odc import OdcDriver
from constellr_stac.reading.prefetch import Fetcher

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Reads", "reads_of"]


@dataclass(frozen=True)
class Reads:
    """The reads of a graph."""

    windows: Mapping[AssetRef, int] = field(default_factory=dict)
    """The number of windows read from each asset."""
    fetcher: Fetcher | None = None
    """The fetcher; ``None`` for a cube that is not from ``load``."""
    tasks: int = 0
    """The number of tasks that read pixels."""
    bytes_per_chunk: int = 0
    """Memory of the largest chunk as read, before it is sliced or reduced."""


def reads_of(cube: xr.Dataset) -> Reads:
    """Find the reads of a cube's graph."""
    graph = cube.__dask_graph__()
    if graph is None:
        return Reads()
    keys = set(flatten(cube.__dask_keys__()))
    # Culls layers first, to not materialize unneeded tasks; that leaves some.
    tasks, _ = cull(graph.cull(keys).to_dict(), list(keys))
    users: defaultdict[Any, list[Any]] = defaultdict(list)
    for key in tasks:
        for needed in get_dependencies(tasks, key):
            users[needed].append(key)

    windows: Counter[AssetRef] = Counter()
    steps: dict[Any, int] = {}
    fetcher: Fetcher | None = None
    for key, task in tasks.items():
        for part in _parts(task):
            files = _files(part)
            if files:
                # stackstac constructs the readers of a table in one task, and reads in the next.
                direct = isinstance(part, RasterSource)
                reading = users[key] if direct else [k for user in users[key] for k in users[user]]
                windows.update(dict.fromkeys(files, max(1, len(reading))))
                steps |= {reader: _steps(tasks[reader], part) for reader in reading}
            elif isinstance(part, Fetcher):
                fetcher = part
            elif isinstance(part, OdcDriver):
                fetcher = part.fetcher
    sizes = (count * _scene_bytes(tasks, window) for window, count in steps.items())
    return Reads(windows, fetcher, len(steps), max(sizes, default=0))


def _files(part: Any) -> list[AssetRef]:
    """Return the assets in an argument: an odc-loader source, or stackstac's asset table."""
    if isinstance(part, RasterSource):
        return part.driver_data.refs if part.driver_data else [AssetRef.parse(part.uri)]
    if isinstance(part, np.ndarray) and "url" in (part.dtype.names or ()):
        return [
            ref for step in part["url"].flat if step for _, read in step.layers for ref in read.refs
        ]
    return []


def _steps(window: Any, part: Any) -> int:
    """Return the number of time steps in a chunk: rows of a table, or odc-loader's lists."""
    return len(part) if isinstance(part, np.ndarray) else len(window.args[0].args)


def _scene_bytes(tasks: Mapping[Any, Any], window: Any) -> int:
    """Return the bytes of one scene in the chunk that a task reads."""
    near = [window, *get_dependencies(tasks, window)]
    area, itemsize = 0, 0
    spans: list[slice] = []
    for part in (part for key in near for part in _parts(tasks[key])):
        if isinstance(part, GeoboxTiles):
            area = int(np.prod(part.chunk_shape((0, 0))))
        elif isinstance(part, slice):
            spans.append(part)
        elif isinstance(part, RasterLoadParams):
            itemsize = np.dtype(part.dtype).itemsize
        elif isinstance(part, np.dtype):
            itemsize = part.itemsize
    area = area or int(np.prod([span.stop - span.start for span in spans[:2]]))
    return area * itemsize


def _parts(task: Any) -> Iterator[Any]:
    """Yield the arguments of a task, recursively."""
    if isinstance(task, list | tuple):
        inner: Any = task
    elif isinstance(task, Mapping):
        inner = task.values()
    else:
        yield task
        keywords = getattr(task, "kwargs", None) or getattr(task, "keywords", None) or {}
        value = getattr(task, "value", None)
        inner = [*(getattr(task, "args", None) or ()), *keywords.values(), value]
        inner = [part for part in inner if part is not None and not isinstance(part, str)]
    for part in inner:
        yield from _parts(part)
