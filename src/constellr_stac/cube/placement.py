"""Chunks that read the same files are read by the same dask worker.

Workers do not share what they have fetched, and dask places a task where its dependencies are. So
all chunks of a step depend on one task, its place. Where a step is split into several chunks, a
task between opens its files, and holds them until the chunks are read.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dask.array as da
from dask._task_spec import convert_legacy_graph  # its public module lacks it
from dask.base import tokenize
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull
from dask.task_spec import DataNode, Task, TaskRef

from constellr_stac._pushed import has_dask_client

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import xarray as xr

    from .plan import Plan

__all__ = ["placed", "placed_tasks"]

_OPENING = ("open-", "asset_table_to_reader_and_window-")
"""The engines' layers that open files."""


def placed(cube: xr.Dataset, plan: Plan) -> xr.Dataset:
    """Return a cube whose chunks of the same steps are read by the same worker.

    It stays as it is without a dask client, or if its workers are threads of this process. Steps
    that are split into several chunks are left to all workers if there are fewer steps. Dask also
    places many chunks of fewer than five steps anywhere, since it takes them for roots.
    """
    workers = _workers()
    if workers is None:
        return cube
    times, *parts = (len(sizes) for sizes in next(iter(cube.data_vars.values())).chunks or ())
    is_split = any(part > 1 for part in parts)
    for names in _sharing(plan):
        if times >= workers if is_split else len(names) > 1:
            arrays = [cube[name].data for name in names]
            place = f"place-{tokenize(*(array.name for array in arrays))}"
            for name, array in zip(names, arrays, strict=True):
                cube[name] = cube[name].copy(data=_placed(array, place, is_split=is_split))
    return cube


def placed_tasks(tasks: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the tasks that placed tasks consist of."""
    found: dict[Any, Any] = {}
    for task in tasks.values():
        function: Any = getattr(task, "func", None)
        args: Any = getattr(task, "args", ())
        fused = args[2:] if function is _open else args[1:2] if function is _read else ()
        for each in (args[1].value,) if function is _read_opened else fused:
            own = each.args[0] if each.args else None
            found |= own if isinstance(own, dict) else {each.key: each}
    return found


def _workers() -> int | None:
    """Return the number of workers in other processes; ``None`` if dask computes in this one."""
    if not has_dask_client():
        return None
    client = sys.modules["distributed"].default_client()
    if client.status == "connecting":  # its scheduler is gone, and would be waited for
        return None
    workers: Collection[str] = ()  # unknown before it connects, and in asynchronous code
    if client.status == "running" and not client.asynchronous:
        with suppress(OSError):
            # scheduler_info() loses them when the client refreshes it in the background.
            workers = client.nthreads()
    others = [each for each in workers if not each.startswith("inproc://")]
    return len(others) if others or not workers else None


def _sharing(plan: Plan) -> Sequence[Sequence[str]]:
    """Return the variables in groups of those that share files."""
    if plan.classes:
        return [list(plan.variables)]
    by_asset: defaultdict[str, set[str]] = defaultdict(set)
    for scene in plan.scenes:
        for name, band in scene.bands.items():
            by_asset[band.asset_key].add(name)
    groups: list[set[str]] = []
    for names in by_asset.values():
        joined = names.union(*(group for group in groups if not group.isdisjoint(names)))
        groups = [*(group for group in groups if group.isdisjoint(names)), joined]
    return [sorted(group) for group in groups]


def _placed(array: da.Array, place: str, *, is_split: bool) -> da.Array:
    """Return an array whose chunks depend on their place only, or on what opens their files."""
    layers = array.dask.layers
    name = f"{array.name.rpartition('-')[0]}-{tokenize(array.name, place)}"  # of other tasks
    opened_by = f"opened-{name}"  # one object, so that a pickle holds it once
    tasks = convert_legacy_graph(array.dask.to_dict())
    opening = {key for each in layers if each.startswith(_OPENING) for key in layers[each]}
    reads: dict[Any, Task] = {}
    opened: defaultdict[Any, dict[Any, Any]] = defaultdict(dict)
    for chunk in flatten(array.__dask_keys__()):
        own, _ = cull(tasks, [chunk])
        key = (name, *chunk[1:])
        found = [each for each in own if each in opening] if is_split else []
        if not found:
            reads[key] = Task(key, _read, TaskRef((place, key[1])), Task.fuse(*own.values()))
            continue
        for file in found:
            files, _ = cull(tasks, [file])
            opened[key[1]][file] = Task.fuse(*files.values())
            own = {other: task for other, task in own.items() if other not in files}
        read = DataNode(key, Task.fuse(*own.values()))
        reads[key] = Task(key, _read_opened, TaskRef((opened_by, key[1])), read)
    for step, files in opened.items():
        key = (opened_by, step)
        reads[key] = Task(key, _open, TaskRef((place, step)), [*files], *files.values())
    places: dict[Any, Task] = {(place, key[1]): Task((place, key[1]), _begin) for key in reads}
    whole = HighLevelGraph({place: places, name: reads}, {place: set(), name: {place}})
    return da.Array(whole, name, array.chunks, meta=array)


def _begin() -> None:
    """Do nothing: dask chooses a worker for it."""


def _read(_place: None, chunk: Any) -> Any:
    """Return a chunk."""
    return chunk


def _open(_place: None, keys: Sequence[Any], *files: Any) -> dict[Any, Any]:
    """Return opened files."""
    return dict(zip(keys, files, strict=True))


def _read_opened(opened: Mapping[Any, Any], read: Task) -> Any:
    """Return a chunk of opened files."""
    return read({key: opened[key] for key in read.dependencies})
