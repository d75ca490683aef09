"""Scenes become a lazy cube: ``load``.

The decisions are made in :mod:`constellr_stac.cube.plan`, the reading is the engines'; here a cube
gets its coordinates, masks and units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import xarray as xr

from constellr_stac.layers.resolve import resolve_bands

from .backends import ENGINES
from .footprint import centre_of
from .mask import CLASSES, classes_of, mask_out
from .mosaic import mask_and_join
from .plan import as_items, make_plan, time_of
from .solar import sun_elevation
from .units import in_celsius

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pystac

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.reading.band_source import Errors
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

    from .plan import Chunks, GroupBy, Plan

__all__ = ["Recipe", "load", "make_recipe"]

Units = Literal["K", "degC"]


@overload
def load(
    items: Items,
    bands: str | Sequence[str] | None = None,
    *,
    group_by_resolution: Literal[False] = False,
    **arguments: Any,
) -> xr.Dataset: ...
@overload
def load(
    items: Items,
    bands: str | Sequence[str] | None = None,
    *,
    group_by_resolution: Literal[True],
    **arguments: Any,
) -> dict[float, xr.Dataset]: ...
def load(
    items: Items,
    bands: str | Sequence[str] | None = None,
    *,
    engine: Literal["odc", "stackstac"] = "odc",
    chunks: Chunks = "auto",
    mask: str | Sequence[str] | None = None,
    units: Units = "K",
    raw: bool = False,
    groupby: GroupBy = "time",
    resampling: str | Mapping[str, str] | None = None,
    errors: Errors = "raise",
    group_by_resolution: bool = False,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    **engine_kwargs: Any,
) -> xr.Dataset | dict[float, xr.Dataset]:
    """Load scenes as a lazy cube of physical values.

    Nothing but, where it is needed, a file's header is read before the cube is computed. URLs
    are signed when a chunk is read, so a cube built today computes tomorrow, and its graph
    holds no credential and no signature.

    Args:
        items: A search, an ItemCollection, items, or their dicts.
        bands: What to load: asset names (``lst``), mask names (``cloud_mask``) or common names
            (``red``); default all data. See :func:`constellr_stac.layers.resolve_bands`.

    Keyword Args:
        engine: ``"odc"`` or ``"stackstac"`` (extra); both give the same values.
        chunks: Chunk sizes along ``time``, ``y`` and ``x``; ``"auto"`` as
            :func:`constellr_stac.cube.chunks.auto_chunks` explains; ``None`` reads at once.
        mask: Classes to mask out: ``"clear"`` for clouds and their shadows, or a list out of
            ``thick``, ``thin``, ``shadow``, ``castshadow``, ``water``, ``land``. The masks used
            stay in the cube. Where a class is not known, the value is masked out.
        units: Of temperatures: ``"K"`` or ``"degC"``.
        raw: Stored integers instead of physical values.
        groupby: What makes a time step: ``"time"`` (one acquisition; scenes of the same second
            are joined), ``"solar_day"``, ``"id"`` or a property that all items have. The first
            scene lies uppermost; with ``mask``, the first one that is not masked out.
        resampling: For scenes that do not fit onto the grid: a method, or one for each variable
            (``"*"`` for the others); default bilinear for values. Masks are always ``nearest``.
        errors: ``"raise"``, or ``"nan"``: leave scenes that cannot be read empty and warn.
        group_by_resolution: One cube for each pixel size instead of one grid for all bands.
        auth: Asks the API for items whose signed URLs have ended; a credential will do.
        signer: Signs ``s3://`` hrefs.
        engine_kwargs: The grid, as in :func:`odc.stac.load`, for both engines: ``geobox``,
            ``like``, ``crs``, ``resolution``, ``anchor``, ``bbox``, ``lon``, ``lat``, ``x``,
            ``y``, ``geopolygon``, ``intersects``. Default: the scenes' own grid.

    Returns:
        Variables with dims (time, y, x), or (time, latitude, longitude): float32 with NaN where
        there are no data, temperatures in kelvin; masks are integers with ``flag_values`` and
        ``flag_meanings``, and 255 where there is no scene. Coordinates for each time step:
        ``id``, ``platform``, ``order_id``, ``cloud_cover`` where items state them, and
        ``daytime`` (whether the sun was up). With ``group_by_resolution=True`` a dict of
        such cubes by pixel size in metres, the finest first.

    Raises:
        AssetReadError: The grid had to be read from a file, and could not be.
        MissingExtraError: The engine is not installed.
        SigningError: There are ``s3://`` hrefs, and no credentials for them.
        ValueError: There are no items, no such band or property, or arguments that contradict
            each other.

    Example:
        >>> import constellr_stac
        >>> client = constellr_stac.open_client()  # doctest: +SKIP
        >>> search = client.search(collections=["lstprecision"], bbox=bbox)  # doctest: +SKIP
        >>> cube = constellr_stac.load(search, ["lst"], mask="clear")  # doctest: +SKIP
    """
    arguments = {
        "engine": engine,
        "chunks": chunks,
        "mask": mask,
        "units": units,
        "raw": raw,
        "groupby": groupby,
        "resampling": resampling,
        "errors": errors,
        "auth": auth,
        "signer": signer,
        **engine_kwargs,
    }
    if group_by_resolution:
        return _by_resolution(items, bands, arguments)
    cube = make_recipe(items, bands, **arguments).cube()
    return cube.load() if chunks is None else cube


@dataclass(frozen=True)
class Recipe:
    """A cube that is decided on: how it is read, and what is made of that."""

    plan: Plan
    engine: str
    classes: tuple[str, ...]
    """What is masked out."""
    units: Units

    def cube(self) -> xr.Dataset:
        """Build the cube, lazy as it is."""
        cube = self._masked().assign_coords(_coordinates(self.plan))
        _describe(cube)
        return in_celsius(cube) if self.units == "degC" else cube

    def _masked(self) -> xr.Dataset:
        build, plan = ENGINES[self.engine], self.plan
        if self.classes and plan.joins:
            scenes, lengths = build(plan.apart()), [len(step) for step in plan.steps]
            return mask_and_join(scenes, self.classes, lengths, plan.chunks["time"])
        return mask_out(build(plan), self.classes)


def make_recipe(
    items: Items,
    bands: str | Sequence[str] | None = None,
    *,
    engine: str = "odc",
    mask: str | Sequence[str] | None = None,
    units: Units = "K",
    raw: bool = False,
    **decisions: Any,
) -> Recipe:
    """Decide everything about a cube; parameters and errors are those of :func:`load`."""
    if engine not in ENGINES:
        raise ValueError(f'engine= is "odc" or "stackstac", not {engine!r}.')
    if units not in ("K", "degC"):
        raise ValueError(f'units= is "K" or "degC", not {units!r}.')
    if raw and units != "K":
        msg = "raw=True gives stored numbers, which have no unit: leave out units=."
        raise ValueError(msg)
    classes = classes_of(mask)
    plan = make_plan(items, _with_masks(bands, classes), raw=raw, **decisions)
    return Recipe(plan, engine, classes, units)


_COORDINATES: dict[str, dict[str, str]] = {
    "time": {"standard_name": "time", "long_name": "time of acquisition (UTC)", "axis": "T"},
    "y": {"standard_name": "projection_y_coordinate", "axis": "Y"},
    "x": {"standard_name": "projection_x_coordinate", "axis": "X"},
    "latitude": {"standard_name": "latitude", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "axis": "X"},
    "id": {"long_name": "STAC item"},
    "platform": {"standard_name": "platform_name", "long_name": "platform"},
    "order_id": {"long_name": "order"},
    "cloud_cover": {
        "standard_name": "cloud_area_fraction",
        "long_name": "cloud cover",
        "units": "percent",
    },
    "daytime": {"long_name": "sun above the horizon at the cube's centre"},
}
"""What the coordinates are, in the words of the CF conventions where those have any."""


def _describe(cube: xr.Dataset) -> None:
    """Let a cube say what it holds, in itself and in a file."""
    cube.attrs["Conventions"] = "CF-1.11"
    for name, coordinate in cube.coords.items():
        coordinate.attrs.update(_COORDINATES.get(str(name), {}))
        if coordinate.attrs.get("units") == "":  # odc-geo, of the axes of some polar grids
            coordinate.attrs["units"] = "metre"
    for variable in cube.data_vars.values():
        if "flag_values" in variable.attrs:  # CF: of the variable's own type
            variable.attrs["flag_values"] = np.array(variable.attrs["flag_values"], variable.dtype)


def _by_resolution(
    items: Items, bands: str | Sequence[str] | None, arguments: Mapping[str, Any]
) -> dict[float, xr.Dataset]:
    """Load the variables of each pixel size by themselves, the finest first."""
    scenes = as_items(items)
    wanted = _with_masks(bands, classes_of(arguments["mask"]))
    groups: dict[float, list[str]] = {}
    for name, selection in resolve_bands(scenes, wanted, stacklevel=4).items():
        if selection.gsd is None:
            raise ValueError(f"The pixel size of {name!r} is not known: load it by itself.")
        groups.setdefault(selection.gsd, []).append(name)
    resampling = arguments["resampling"]
    cubes = {}
    for gsd, names in sorted(groups.items()):
        own = resampling
        if isinstance(resampling, Mapping):
            own = {name: resampling[name] for name in (*names, "*") if name in resampling}
        cubes[gsd] = load(scenes, names, **{**arguments, "resampling": own})
    return cubes


def _with_masks(
    bands: str | Sequence[str] | None, classes: Sequence[str]
) -> str | Sequence[str] | None:
    """Ask for the masks that are needed, too."""
    if bands is None or not classes:
        return bands
    asked = [bands] if isinstance(bands, str) else list(bands)
    return list(dict.fromkeys([*asked, *(CLASSES[name] for name in classes)]))


def _coordinates(plan: Plan) -> dict[str, xr.DataArray]:
    """Say of each time step what its scenes say of themselves."""
    steps = [[plan.items[number] for number in step] for step in plan.steps]
    longitude, latitude = centre_of(plan.geobox)
    words: dict[str, list[Any]] = {
        "id": [_joined(item.id for item in scenes) for scenes in steps],
        "daytime": [sun_elevation(time_of(scenes[0]), longitude, latitude) > 0 for scenes in steps],
    }
    for name, key in (("platform", "platform"), ("order_id", "order:id")):
        if any(key in item.properties for item in plan.items):
            words[name] = [_joined(item.properties.get(key, "") for item in step) for step in steps]
    if any("eo:cloud_cover" in item.properties for item in plan.items):
        words["cloud_cover"] = [_mean_cover(scenes) for scenes in steps]
    # Texts as objects: NumPy's own kind is one that Zarr does not specify.
    kinds = {name: object if isinstance(values[0], str) else None for name, values in words.items()}
    return {
        name: xr.DataArray(np.array(values, kinds[name]), dims="time")
        for name, values in words.items()
    }


def _joined(names: Any) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names if name))


def _mean_cover(scenes: Sequence[pystac.Item]) -> float:
    known = [
        float(cover)
        for item in scenes
        if (cover := item.properties.get("eo:cloud_cover")) is not None
    ]
    return sum(known) / len(known) if known else float("nan")
