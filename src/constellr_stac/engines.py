"""A plan carried out: by odc-stac, or by stackstac. Both give the same variables."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.stac
import pystac
import xarray as xr
from odc.geo.xr import xr_coords
from odc.loader import RasterGroupMetadata

from .errors import MissingExtraError
from .odc import OdcDriver, band_metadata
from .pixels import fill_of, output_dtype
from .plan import Plan, time_of
from .references import reference
from .stackstac import StackstacReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odc.loader import BandKey

    from .products import Band, BandSelection

__all__ = ["ENGINES"]


def _odc_cube(plan: Plan) -> xr.Dataset:
    """Build the variables with odc-stac."""
    step_of = {number: step for step, numbers in enumerate(plan.steps) for number in numbers}
    driver = OdcDriver(
        auth=plan.fetcher.locations.auth,
        signer=plan.fetcher.locations.signer,
        errors=plan.errors,
        md_parser=_PlannedBands(plan),
    )
    return odc.stac.load(
        [_scene(plan, number) for number in range(len(plan.items))],
        bands=list(plan.selections),
        geobox=plan.geobox,
        groupby=lambda _item, _parsed, number: step_of[number],
        preserve_original_order=True,
        chunks=dict(plan.chunks),
        resampling=dict(plan.resampling),
        driver=driver,
    )


class _PlannedBands:
    """Tells odc-stac what the plan has decided already."""

    def __init__(self, plan: Plan) -> None:
        self._group = RasterGroupMetadata(
            {
                (name, 1): band_metadata(selection.band, raw=plan.raw)
                for name, selection in plan.selections.items()
            }
        )

    def extract(self, md: Any) -> RasterGroupMetadata:  # noqa: ARG002 - the same for all
        return self._group

    def driver_data(self, md: pystac.Item, band_key: BandKey) -> tuple[str, Band]:
        asset = md.assets[band_key[0]]
        return asset.href, asset.extra_fields["band"]


def _scene(plan: Plan, number: int) -> pystac.Item:
    """Make an item of what is read of a scene: one asset for each variable."""
    item = plan.items[number]
    scene = pystac.Item(
        item.id, item.geometry or _box(item), item.bbox, time_of(item), {}, collection="cube"
    )
    for name, selection in plan.selections.items():
        source = selection.sources[number]
        if source is not None:
            href = str(reference(item, source.asset_key))
            fields = {"band": source.band}
            scene.assets[name] = pystac.Asset(href, extra_fields=fields)
            scene.assets[name].owner = scene
    return scene


def _box(item: pystac.Item) -> dict[str, Any]:
    """Return an item's bbox as a polygon; without one, the whole world: it may be anywhere."""
    box = item.bbox or [-180.0, -90.0, 180.0, 90.0]
    west, south, east, north = (*box[:2], *box[len(box) // 2 :][:2])
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


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
    places: dict[int, int] = {}
    items: list[dict[str, Any]] = []
    bands: dict[str, Band] = {}
    for number, source in enumerate(selection.sources):
        if source is None:
            continue  # stackstac would drop the scene, and with it the time step
        item = _stackstac_item(plan, number, name, epsg)
        places[number] = len(items)
        items.append(item)
        if source.band != selection.band:
            bands[item["assets"][name]["href"]] = source.band
    box = plan.geobox.boundingbox
    stacked = library.stack(
        items,
        assets=[name],
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
            errors=plan.errors,
        ),
    )
    metadata = band_metadata(selection.band, raw=plan.raw)
    return (
        ("time", *plan.geobox.dimensions),
        _in_steps(stacked.data[:, 0], places, plan, fill),
        {**metadata.attrs, "nodata": metadata.nodata},
    )


def _stackstac_item(plan: Plan, number: int, name: str, epsg: int) -> dict[str, Any]:
    scene = _scene(plan, number)
    geometry = odc.geo.geom.Geometry(scene.geometry, "EPSG:4326")
    assets = {}
    if name in scene.assets:
        assets[name] = {
            "href": scene.assets[name].href,
            "type": "image/tiff",
            "proj:epsg": epsg,
            "proj:bbox": list(geometry.to_crs(f"EPSG:{epsg}", check_and_fix=True).boundingbox),
        }
    return {
        "id": scene.id,
        "type": "Feature",
        "stac_version": "1.0.0",
        "collection": "cube",
        "bbox": scene.bbox or list(geometry.boundingbox),
        "geometry": scene.geometry,
        "properties": {"datetime": time_of(scene).isoformat()},
        "links": [],
        "assets": assets,
    }


def _in_steps(layers: Any, places: Mapping[int, int], plan: Plan, fill: Any) -> Any:
    """Put scenes into their time steps, the first one uppermost, as odc-stac does.

    Args:
        layers: The scenes that have the variable, dims (scene, y, x).
        places: Where each of these is in ``layers``, by its number in the plan.
        plan: Knows the steps.
        fill: What stands where there is no scene.
    """
    import dask.array as da

    if plan.steps == tuple((number,) for number in places):
        return layers

    def empty(array: Any) -> Any:
        return da.isnan(array) if np.isnan(fill) else array == fill

    steps = []
    for step in plan.steps:
        scenes = [layers[places[number]] for number in step if number in places]
        if not scenes:
            scenes = [da.full_like(layers[0], fill)]  # type: ignore[no-untyped-call]
        first, *others = scenes
        for layer in others:
            first = da.where(empty(first), layer, first)
        steps.append(first)
    cube = da.stack(steps)  # type: ignore[no-untyped-call]
    return cube.rechunk({0: plan.chunks["time"]})


ENGINES = {"odc": _odc_cube, "stackstac": _stackstac_cube}
"""The engines by name: each takes a plan and gives its variables."""
