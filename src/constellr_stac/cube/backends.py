"""Build a plan's variables with odc-loader or stackstac; both give the same values."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoboxTiles
from odc.geo.xr import xr_coords
from odc.loader import (
    RasterGroupMetadata,
    chunked_load,
    resolve_load_cfg,
)

from constellr_stac._pushed import has_dask_client
from constellr_stac.errors import MissingExtraError
from constellr_stac.reading.notices import reset
from constellr_stac.reading.odc import OdcDriver, band_metadata, keys_of
from constellr_stac.reading.odc_arguments import source_of
from constellr_stac.reading.stackstac import StackstacReader
from constellr_stac.reading.step_source import StepRead, touch

from .mosaic import scene_reads
from .placement import placed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from odc.geo.geom import BoundingBox

    from .arguments import Engine
    from .plan import Plan, Variable

__all__ = ["build"]


def build(plan: Plan) -> xr.Dataset:
    """Return the plan's variables, lazy, with dims (time, y, x).

    Raises:
        MissingExtraError: The engine is not installed.
        ValueError: The engine cannot use the grid.
    """
    reset(_name(plan))  # warn again, also about a cube that was built before
    return placed(_BACKENDS[plan.engine](plan), plan)


def _name(plan: Plan) -> str:
    """Return the cube's name in dask's keys.

    Clients of a scheduler share tasks of equal keys, so it differs for different accounts.
    """
    owner = plan.fetcher.resolver.auth.graph_owner() if has_dask_client() else None
    return plan.token if owner is None else f"{plan.token}-{owner.account}"


def _odc_cube(plan: Plan) -> xr.Dataset:
    """Build the variables with odc-loader, which is odc-stac without the parsing of items."""
    metadata = {
        name: band_metadata(variable.band, raw=plan.raw)
        for name, variable in plan.variables.items()
    }
    resampling = {name: variable.resampling for name, variable in plan.variables.items()}
    resolver = plan.fetcher.resolver
    driver = OdcDriver(
        auth=resolver.auth,
        signer=resolver.signer,
        errors=plan.errors,
        raw=plan.raw,
        limits=resolver.limits,
    )
    driver.cube = _name(plan)
    steps = _steps(plan)
    sources = [
        {name: source_of(own[number], metadata[name]) for name, own in steps.items() if own[number]}
        for number in range(len(plan.steps))
    ]
    tiles = GeoboxTiles(plan.geobox, (plan.chunks["y"], plan.chunks["x"]))
    return chunked_load(
        resolve_load_cfg(metadata, resampling),
        RasterGroupMetadata({(name, 1): band for name, band in metadata.items()}),
        sources,
        _steps_by_tile(plan, tiles),
        tiles,
        [time.item() for time in np.array(plan.times, "datetime64[us]")],
        driver.capture_env() | {"cube": driver.cube, "reads": keys_of(sources)},
        driver,
        chunks=dict(plan.chunks),
    )


def _steps_by_tile(plan: Plan, tiles: GeoboxTiles) -> dict[tuple[int, int, int], list[int]]:
    """Return the index of the step for each step, row and column of chunks that it touches."""
    touched: dict[Hashable, list[tuple[int, int]]] = {}
    found: dict[tuple[int, int, int], list[int]] = {}
    for number, step in enumerate(plan.steps):
        for scene in step:
            if scene.place not in touched:
                touched[scene.place] = list(tiles.tiles(scene.outline(plan.geobox)))
            for row, column in touched[scene.place]:
                found[number, row, column] = [number]
    return found


def _stackstac_cube(plan: Plan) -> xr.Dataset:
    """Build the variables with stackstac, to which each time step is one asset."""
    try:
        import stackstac as library
    except ImportError as error:
        what = "engine='stackstac'"
        raise MissingExtraError(what, "stackstac") from error
    geobox = plan.geobox
    epsg = None if geobox.crs is None else geobox.crs.epsg
    if epsg is None or not geobox.axis_aligned or geobox.resolution.y > 0:
        msg = "stackstac needs a north-up grid with an EPSG code; use engine='odc' for this one."
        raise ValueError(msg)
    steps = _steps(plan)
    variables = {
        name: _stacked(library, plan, variable, steps[name], epsg)
        for name, variable in plan.variables.items()
    }
    coordinates = xr_coords(geobox)
    coordinates["time"] = xr.DataArray(np.array(plan.times, "datetime64[ns]"), dims=("time",))
    cube = xr.Dataset(variables, coords=coordinates)
    grid_mapping = next(name for name in coordinates if name not in (*geobox.dimensions, "time"))
    for variable in cube.data_vars.values():
        variable.encoding["grid_mapping"] = grid_mapping
    return cube


def _steps(plan: Plan) -> dict[str, list[StepRead]]:
    """Return what is read of each variable in each time step, on the grid."""
    grid = plan.geobox.boundingbox
    boxes: dict[Hashable, tuple[float, ...] | None] = {}
    for scene in plan.scenes:
        if scene.place not in boxes:
            box = tuple(scene.outline(plan.geobox).boundingbox)
            boxes[scene.place] = box if touch(box, grid) else None
    steps: dict[str, list[StepRead]] = {name: [] for name in plan.variables}
    for step in plan.steps:
        placed = [
            (place, each.reads)
            for each in scene_reads(plan, step)
            if (place := boxes[each.scene.place]) is not None
        ]
        for name, own in steps.items():
            reads = tuple((place, each[name]) for place, each in placed if name in each)
            own.append(StepRead(reads))
    return steps


def _stacked(
    library: Any, plan: Plan, variable: Variable, steps: Sequence[StepRead], epsg: int
) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
    """Return dims, data and attributes of one variable."""
    from rasterio.enums import Resampling

    metadata = band_metadata(variable.band, raw=plan.raw)
    stacked = library.stack(
        [
            _stackstac_item(time, step, plan.geobox.boundingbox, epsg)
            for time, step in zip(plan.times, steps, strict=True)
        ],
        assets=["step"],
        epsg=epsg,
        resolution=(abs(plan.geobox.resolution.x), abs(plan.geobox.resolution.y)),
        bounds=tuple(plan.geobox.boundingbox),
        snap_bounds=False,
        resampling=Resampling[variable.resampling],
        chunksize=(plan.chunks["time"], 1, plan.chunks["y"], plan.chunks["x"]),
        dtype=variable.dtype,
        fill_value=variable.dtype.type(variable.fill),
        rescale=False,
        sortby_date=False,
        properties=False,
        band_coords=False,
        errors_as_nodata=(),
        reader=functools.partial(
            StackstacReader,
            fetcher=plan.fetcher,
            errors=plan.errors,
            raw=plan.raw,
            cube=_name(plan),
        ),
    )
    dims = ("time", *plan.geobox.dimensions)
    return dims, stacked.data[:, 0], {**metadata.attrs, "nodata": metadata.nodata}


def _stackstac_item(
    time: np.datetime64, step: StepRead, box: BoundingBox, epsg: int
) -> dict[str, Any]:
    """Return a time step as an item dict for stackstac, with one asset over the whole grid."""
    return {
        "id": str(time),
        "type": "Feature",
        "stac_version": "1.0.0",
        "collection": "cube",
        "bbox": [-180.0, -90.0, 180.0, 90.0],
        "geometry": None,
        "properties": {"datetime": f"{time}Z"},
        "links": [],
        "assets": {
            "step": {"href": step, "type": "image/tiff", "proj:epsg": epsg, "proj:bbox": [*box]}
        },
    }


_BACKENDS: dict[Engine, Callable[[Plan], xr.Dataset]] = {
    "odc": _odc_cube,
    "stackstac": _stackstac_cube,
}
