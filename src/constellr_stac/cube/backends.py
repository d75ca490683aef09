"""A plan carried out: by odc-stac, or by stackstac. Both give the same variables."""

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
from constellr_stac.reading.asset_ref import reference
from constellr_stac.reading.odc import OdcDriver, band_metadata, coding_of
from constellr_stac.reading.raster import fill_of, output_dtype
from constellr_stac.reading.stackstac import StackstacReader

from .mosaic import uppermost
from .plan import Plan, time_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from odc.geo.geobox import GeoBox
    from odc.geo.geom import BoundingBox

    from constellr_stac.layers.band import Band
    from constellr_stac.layers.resolve import BandSelection

__all__ = ["ENGINES"]


def _odc_cube(plan: Plan) -> xr.Dataset:
    """Build the variables with odc-loader, which odc-stac is made of.

    What odc-stac would add, finding out what items mean, the plan has done already.
    """
    metadata = {
        name: band_metadata(selection.band, raw=plan.raw)
        for name, selection in plan.selections.items()
    }
    locations = plan.fetcher.locations
    driver = OdcDriver(auth=locations.auth, signer=locations.signer, errors=plan.errors)
    tiles = GeoboxTiles(plan.geobox, (plan.chunks["y"], plan.chunks["x"]))
    return chunked_load(
        resolve_load_cfg(metadata, dict(plan.resampling)),
        RasterGroupMetadata({(name, 1): band for name, band in metadata.items()}),
        [_sources(plan, number, metadata) for number in range(len(plan.items))],
        _tiles_of_steps(plan, tiles),
        tiles,
        [time.item() for time in np.array(plan.times, "datetime64[us]")],
        driver.capture_env() | {"coding": _coding(plan)},
        driver,
        chunks=dict(plan.chunks),
    )


def _coding(plan: Plan) -> str:
    """Return what tells two readings of the same files apart: part of each task's key."""
    return str(
        tokenize(
            [
                [None if source is None else coding_of(source.band) for source in selection.sources]
                for selection in plan.selections.values()
            ]
        )
    )


def _sources(
    plan: Plan, number: int, metadata: Mapping[str, RasterBandMetadata]
) -> dict[str, RasterSource]:
    """Return what is read of a scene, by variable."""
    sources = {}
    for name, selection in plan.selections.items():
        source = selection.sources[number]
        if source is not None:
            uri = str(reference(plan.items[number], source.asset_key))
            sources[name] = RasterSource(
                uri,
                source.band.index,
                meta=metadata[name],
                driver_data=(uri, source.band, plan.presumed_grid(number, name)),
            )
    return sources


def _tiles_of_steps(plan: Plan, tiles: GeoboxTiles) -> dict[tuple[int, int, int], list[int]]:
    """Say which scenes each chunk needs: by step, row and column."""
    touched: dict[Hashable, list[tuple[int, int]]] = {}
    needed: dict[tuple[int, int, int], list[int]] = {}
    for step, numbers in enumerate(plan.steps):
        for number in numbers:
            place = plan.place(number)
            if place not in touched:
                touched[place] = list(tiles.tiles(plan.outline(number)))
            for row, column in touched[place]:
                needed.setdefault((step, row, column), []).append(number)
    return needed


def _stackstac_cube(plan: Plan) -> xr.Dataset:
    """Build the variables with stackstac, one virtual single-band asset each.

    Raises:
        MissingExtraError: The extra ``stackstac`` is not installed.
        ValueError: The grid is one that stackstac cannot describe.
    """
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
    plan.fetcher.report_anew()
    variables = {
        name: _stacked(library, plan, name, selection, epsg)
        for name, selection in plan.selections.items()
    }
    coordinates = xr_coords(geobox)
    coordinates["time"] = xr.DataArray(np.array(plan.times, "datetime64[ns]"), dims=("time",))
    cube = xr.Dataset(variables, coords=coordinates)
    grid_mapping = next(name for name in coordinates if name not in (*geobox.dimensions, "time"))
    for variable in cube.data_vars.values():
        variable.encoding["grid_mapping"] = grid_mapping
    return cube


def _stacked(
    library: Any, plan: Plan, name: str, selection: BandSelection, epsg: int
) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
    """Return dims, data and attributes of one variable."""
    from rasterio.enums import Resampling

    dtype = np.dtype(output_dtype(selection.band, raw=plan.raw))
    fill = dtype.type(fill_of(selection.band, raw=plan.raw))
    box, boxes = plan.geobox.boundingbox, _boxes(plan)
    present: list[int] = []
    items: list[dict[str, Any]] = []
    bands: dict[str, Band] = {}
    presumed: dict[str, GeoBox] = {}
    for number in (number for step in plan.steps for number in step):
        source = selection.sources[number]
        if source is None or not _touch(boxes[number], box):
            continue  # stackstac would drop the scene, and with it the time step
        href = str(reference(plan.items[number], source.asset_key))
        present.append(number)
        items.append(_stackstac_item(plan, number, boxes[number], href, epsg))
        if source.band != selection.band:
            bands[href] = source.band
        if (grid := plan.presumed_grid(number, name)) is not None:
            presumed[href] = grid
    metadata = band_metadata(selection.band, raw=plan.raw)
    attributes = {**metadata.attrs, "nodata": metadata.nodata}
    dims = ("time", *plan.geobox.dimensions)
    if not items:
        return dims, _empty(plan, dtype, fill), attributes
    stacked = library.stack(
        items,
        assets=["file"],
        epsg=epsg,
        resolution=(abs(plan.geobox.resolution.x), abs(plan.geobox.resolution.y)),
        bounds=tuple(box),
        snap_bounds=False,
        resampling=Resampling[plan.resampling[name]],
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
            band=selection.band,
            bands=bands,
            presumed=presumed,
            errors=plan.errors,
        ),
    )
    return dims, _in_steps(stacked.data[:, 0], present, plan, fill), attributes


def _boxes(plan: Plan) -> list[BoundingBox]:
    """Return where each scene is, in the grid's CRS."""
    known: dict[Hashable, BoundingBox] = {}
    boxes = []
    for number in range(len(plan.items)):
        place = plan.place(number)
        if place not in known:
            known[place] = plan.outline(number).boundingbox
        boxes.append(known[place])
    return boxes


def _touch(one: BoundingBox, other: BoundingBox) -> bool:
    return bool(
        one.left < other.right
        and one.right > other.left
        and one.bottom < other.top
        and one.top > other.bottom
    )


def _empty(plan: Plan, dtype: np.dtype[Any], fill: Any) -> Any:
    """Return a variable none of whose scenes lie on the grid: dims (time, y, x)."""
    import dask.array as da

    chunks = tuple(plan.chunks[name] for name in ("time", "y", "x"))
    return da.full((len(plan.steps), *plan.geobox.shape), fill, dtype=dtype, chunks=chunks)


def _stackstac_item(
    plan: Plan, number: int, box: BoundingBox, href: str, epsg: int
) -> dict[str, Any]:
    """Describe one file of a scene in the words that stackstac reads."""
    item = plan.items[number]
    return {
        "id": item.id,
        "type": "Feature",
        "stac_version": "1.0.0",
        "collection": "cube",
        "bbox": [-180.0, -90.0, 180.0, 90.0],
        "geometry": None,
        "properties": {"datetime": time_of(item).isoformat()},
        "links": [],
        "assets": {
            "file": {"href": href, "type": "image/tiff", "proj:epsg": epsg, "proj:bbox": list(box)}
        },
    }


def _in_steps(layers: Any, present: Sequence[int], plan: Plan, fill: Any) -> Any:
    """Put scenes into their time steps, the first one uppermost, as odc-stac does.

    Args:
        layers: The scenes that have the variable, dims (scene, y, x), step by step.
        present: Their numbers in the plan.
        plan: Knows the steps.
        fill: What stands where there is no scene.
    """
    import dask.array as da

    if plan.steps == tuple((number,) for number in present):
        return layers
    there = set(present)
    lengths = np.array([len(there.intersection(step)) for step in plan.steps])
    if not all(lengths):
        nothing = da.full_like(layers[:1], fill)
        places = np.insert(np.arange(len(layers)), np.cumsum(lengths)[lengths == 0], len(layers))
        layers, lengths = da.concatenate([layers, nothing])[places], np.maximum(lengths, 1)
    return uppermost(layers, lengths.tolist(), fill, plan.chunks["time"])


ENGINES = {"odc": _odc_cube, "stackstac": _stackstac_cube}
"""The engines by name: each takes a plan and gives its variables."""
