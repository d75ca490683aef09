"""Build a plan's variables with odc-loader or stackstac; both give the same values."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from dask.base import tokenize
from odc.geo.geobox import GeoboxTiles
from odc.geo.xr import xr_coords
from odc.loader import (
    RasterBandMetadata,
    RasterGroupMetadata,
    RasterSource,
    chunked_load,
    resolve_load_cfg,
)

from constellr_stac.errors import MissingExtraError
from constellr_stac.reading.notices import reset
from constellr_stac.reading.odc import OdcDriver, band_metadata, coding_of
from constellr_stac.reading.stackstac import StackstacReader

from .mosaic import first_valid

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from odc.geo.geom import BoundingBox

    from constellr_stac.reading.band_source import BandRead

    from .arguments import Engine
    from .plan import Plan, Variable
    from .scene import Scene

__all__ = ["build"]


def build(plan: Plan) -> xr.Dataset:
    """Return the plan's variables, lazy, with dims (time, y, x).

    Raises:
        MissingExtraError: The engine is not installed.
        ValueError: The engine cannot use the grid.
    """
    reset(plan.token)  # warn again, also about a cube that was built before
    return _BACKENDS[plan.engine](plan)


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
    driver.cube = plan.token
    tiles = GeoboxTiles(plan.geobox, (plan.chunks["y"], plan.chunks["x"]))
    return chunked_load(
        resolve_load_cfg(metadata, resampling),
        RasterGroupMetadata({(name, 1): band for name, band in metadata.items()}),
        [_sources(plan, scene, metadata) for scene in plan.scenes],
        _scenes_by_tile(plan, tiles),
        tiles,
        [time.item() for time in np.array(plan.times, "datetime64[us]")],
        driver.capture_env() | {"coding": _coding(plan)},
        driver,
        chunks=dict(plan.chunks),
    )


def _coding(plan: Plan) -> str:
    """Return a token of the bands' encodings, as part of each task's key."""
    codings = [
        [
            coding_of(scene.bands[name].band) if name in scene.bands else None
            for name in plan.variables
        ]
        for scene in plan.scenes
    ]
    return str(tokenize(codings))


def _sources(
    plan: Plan, scene: Scene, metadata: Mapping[str, RasterBandMetadata]
) -> dict[str, RasterSource]:
    """Return the sources of a scene, by variable."""
    return {
        name: RasterSource(
            str(own.ref),
            own.band.index,
            meta=metadata[name],
            driver_data=own.read(plan.variables[name].band),
        )
        for name, own in scene.bands.items()
    }


def _scenes_by_tile(plan: Plan, tiles: GeoboxTiles) -> dict[tuple[int, int, int], list[int]]:
    """Return the indices of the scenes that each chunk needs, by step, row and column."""
    touched: dict[Hashable, list[tuple[int, int]]] = {}
    needed: dict[tuple[int, int, int], list[int]] = {}
    number = 0
    for step, scenes in enumerate(plan.steps):
        for scene in scenes:
            place = scene.place
            if place not in touched:
                touched[place] = list(tiles.tiles(scene.outline(plan.geobox)))
            for row, column in touched[place]:
                needed.setdefault((step, row, column), []).append(number)
            number += 1
    return needed


def _stackstac_cube(plan: Plan) -> xr.Dataset:
    """Build the variables with stackstac, one virtual single-band asset each."""
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
    boxes = _boxes(plan)
    variables = {
        name: _stacked(library, plan, variable, boxes, epsg)
        for name, variable in plan.variables.items()
    }
    coordinates = xr_coords(geobox)
    coordinates["time"] = xr.DataArray(np.array(plan.times, "datetime64[ns]"), dims=("time",))
    cube = xr.Dataset(variables, coords=coordinates)
    grid_mapping = next(name for name in coordinates if name not in (*geobox.dimensions, "time"))
    for variable in cube.data_vars.values():
        variable.encoding["grid_mapping"] = grid_mapping
    return cube


def _stacked(
    library: Any,
    plan: Plan,
    variable: Variable,
    boxes: Mapping[Hashable, BoundingBox],
    epsg: int,
) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
    """Return dims, data and attributes of one variable."""
    from rasterio.enums import Resampling

    dtype, fill = variable.dtype, variable.dtype.type(variable.fill)
    grid_box = plan.geobox.boundingbox
    lengths: list[int] = []
    items: list[dict[str, Any]] = []
    reads: dict[str, BandRead] = {}
    for step in plan.steps:
        count = len(items)
        for scene in step:
            own, box = scene.bands.get(variable.name), boxes[scene.place]
            if own is None or not _touch(box, grid_box):
                continue  # stackstac would drop the scene and its time step
            href = str(own.ref)
            items.append(_stackstac_item(scene, box, href, epsg))
            reads[href] = own.read(variable.band)
        lengths.append(len(items) - count)
    metadata = band_metadata(variable.band, raw=plan.raw)
    attributes = {**metadata.attrs, "nodata": metadata.nodata}
    dims = ("time", *plan.geobox.dimensions)
    if not items:
        return dims, _empty(plan, dtype, fill), attributes
    stacked = library.stack(
        items,
        assets=["file"],
        epsg=epsg,
        resolution=(abs(plan.geobox.resolution.x), abs(plan.geobox.resolution.y)),
        bounds=tuple(grid_box),
        snap_bounds=False,
        resampling=Resampling[variable.resampling],
        chunksize=(plan.chunks["time"], 1, plan.chunks["y"], plan.chunks["x"]),
        dtype=dtype,
        fill_value=fill,
        rescale=False,
        sortby_date=False,
        properties=False,
        band_coords=False,
        errors_as_nodata=(),
        reader=functools.partial(
            StackstacReader,
            fetcher=plan.fetcher,
            band=variable.band,
            reads=reads,
            errors=plan.errors,
            raw=plan.raw,
            cube=plan.token,
        ),
    )
    return dims, _in_steps(stacked.data[:, 0], lengths, plan, fill), attributes


def _boxes(plan: Plan) -> dict[Hashable, BoundingBox]:
    """Return the bounding box of each place, in the grid's CRS."""
    boxes: dict[Hashable, BoundingBox] = {}
    for scene in plan.scenes:
        if scene.place not in boxes:
            boxes[scene.place] = scene.outline(plan.geobox).boundingbox
    return boxes


def _touch(one: BoundingBox, other: BoundingBox) -> bool:
    return bool(
        one.left < other.right
        and one.right > other.left
        and one.bottom < other.top
        and one.top > other.bottom
    )


def _empty(plan: Plan, dtype: np.dtype[Any], fill: Any) -> Any:
    """Return a variable without scenes, dims (time, y, x)."""
    import dask.array as da

    chunks = tuple(plan.chunks[name] for name in ("time", "y", "x"))
    return da.full((len(plan.steps), *plan.geobox.shape), fill, dtype=dtype, chunks=chunks)


def _stackstac_item(scene: Scene, box: BoundingBox, href: str, epsg: int) -> dict[str, Any]:
    """Return one file of a scene as an item dict for stackstac."""
    return {
        "id": scene.item.id,
        "type": "Feature",
        "stac_version": "1.0.0",
        "collection": "cube",
        "bbox": [-180.0, -90.0, 180.0, 90.0],
        "geometry": None,
        "properties": {"datetime": scene.time.isoformat()},
        "links": [],
        "assets": {
            "file": {"href": href, "type": "image/tiff", "proj:epsg": epsg, "proj:bbox": list(box)}
        },
    }


def _in_steps(layers: Any, lengths: Sequence[int], plan: Plan, fill: Any) -> Any:
    """Mosaic the scenes of each time step, the first valid pixel on top, as odc-stac does.

    Args:
        layers: The scenes that have the variable, dims (scene, y, x), ordered by step.
        lengths: The number of scenes of each step.
        plan: Has the chunks.
        fill: The value where there is no scene.
    """
    import dask.array as da

    if all(length == 1 for length in lengths):
        return layers
    counts = np.array(lengths)
    if not all(counts):
        nothing = da.full_like(layers[:1], fill)
        places = np.insert(np.arange(len(layers)), np.cumsum(counts)[counts == 0], len(layers))
        layers, counts = da.concatenate([layers, nothing])[places], np.maximum(counts, 1)
    return first_valid(layers, counts.tolist(), fill, plan.chunks["time"])


_BACKENDS: dict[Engine, Callable[[Plan], xr.Dataset]] = {
    "odc": _odc_cube,
    "stackstac": _stackstac_cube,
}
