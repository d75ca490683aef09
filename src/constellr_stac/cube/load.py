"""``load``: from items to a lazy cube."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from constellr_stac.layers.resolve import resolve_bands
from constellr_stac.stac.items import sorted_items

from .attributes import described, step_coordinates
from .backends import build
from .clip import clipped
from .mask import classes_of
from .other_names import refuse_unknown
from .plan import make_plan, with_mask_bands
from .units import in_celsius

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from odc.geo.geobox import GeoBox

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

    from .arguments import (
        Bands,
        Chunks,
        CubeArguments,
        Engine,
        Errors,
        Geometry,
        GroupBy,
        LoadArguments,
        Mask,
        Overlap,
        Resampling,
        Units,
    )
    from .plan import Plan

__all__ = ["cube_of", "load"]


@overload
def load(
    items: Items,
    bands: Bands = None,
    *,
    group_by_resolution: Literal[False] = False,
    **arguments: Unpack[CubeArguments],
) -> xr.Dataset: ...
@overload
def load(
    items: Items,
    bands: Bands = None,
    *,
    group_by_resolution: Literal[True],
    **arguments: Unpack[CubeArguments],
) -> dict[float, xr.Dataset]: ...
def load(
    items: Items,
    bands: Bands = None,
    *,
    engine: Engine = "odc",
    chunks: Chunks = "auto",
    mask: Mask = None,
    mask_buffer: float = 0.0,
    units: Units = "K",
    raw: bool = False,
    groupby: GroupBy = "time",
    overlap: Overlap = "first",
    resampling: Resampling = None,
    errors: Errors = "raise",
    with_metadata: bool = False,
    group_by_resolution: bool = False,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
    limits: Limits | None = None,
    local_files: bool = False,
    geobox: GeoBox | None = None,
    like: Any = None,
    crs: Any = None,
    resolution: Any = None,
    anchor: Any = None,
    align: Any = None,
    bbox: Sequence[float] | None = None,
    lon: tuple[float, float] | None = None,
    lat: tuple[float, float] | None = None,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    geopolygon: Geometry | None = None,
    intersects: Geometry | None = None,
    clip: bool = False,
    **unknown: Any,
) -> xr.Dataset | dict[float, xr.Dataset]:
    """Load scenes as a lazy cube of physical values.

    At most file headers are read before the cube is computed. URLs are signed when a chunk is
    read, so a cube does not expire, and its graph holds no credential and no signature.

    Args:
        items: A search, an ItemCollection, items, or their dicts.
        bands: Asset names (``lst``), mask names (``cloud_mask``) or common names (``red``);
            default all data.

    Keyword Args:
        engine: ``"odc"`` or ``"stackstac"`` (extra); both give the same values.
        chunks: Chunk sizes along ``time``, ``y`` and ``x``; ``"auto"`` for chunks of tens of
            megabytes with up to 16 time steps; ``None`` computes at once.
        mask: Classes to mask out: ``"clear"`` for clouds and their shadows, or a list of
            ``thick``, ``thin``, ``shadow``, ``castshadow``, ``water``, ``land``. The masks stay in
            the cube. Unclassified pixels are masked too, since an undetected cloud looks like a
            cold surface.
        mask_buffer: Metres around pixels of these classes that are masked out too, in each scene
            before scenes are joined; see
            :meth:`~constellr_stac.accessor.ConstellrAccessor.clear`. Clouds outside the cube
            count if their file reaches there.
        units: The unit of temperatures: ``"K"`` or ``"degC"``.
        raw: Whether to return stored integers instead of physical values.
        groupby: What makes a time step: ``"time"`` (one acquisition; scenes of the same second
            are joined), ``"overpass"`` (scenes of one platform within minutes), ``"solar_day"``,
            ``"id"``, a property that all items have, or a function of the item (or of odc-stac's
            item, parsed item and index).
        overlap: Which scene of a time step is seen where scenes overlap: the ``"first"`` or the
            ``"last"`` in time; with ``mask``, among those that are not masked there.
        resampling: For scenes that do not fit onto the grid: a method, or one per variable
            (``"*"`` for the others); default bilinear for values. Masks are always ``nearest``.
        errors: ``"raise"``, or ``"nan"``: leave scenes that cannot be read NaN and warn.
        with_metadata: Whether to read the metadata document of each scene, many at once, for the
            coordinates ``sun_elevation``, ``sun_azimuth``, ``view_zenith``, ``view_azimuth``,
            ``off_nadir`` (degrees), ``day_flag`` and ``processing_level``, as far as the item or
            its document states them. Else NaN and ``""``.
        group_by_resolution: One cube per pixel size instead of one grid for all bands.
        auth: Renews expired signed URLs; an auth object or a credential.
        signer: Signs ``s3://`` hrefs.
        limits: Bounds on waiting and sizes; default from the environment.
        local_files: Whether items that came from a server may name files of this machine, since
            you set their hrefs yourself.
        geobox: The grid. Default: the scenes' native grid.
        like: A cube or geobox with the grid to use.
        crs: The CRS of the grid, such as ``"EPSG:32611"`` or ``"utm"``.
        resolution: The pixel size in units of the CRS.
        anchor: Where pixel edges are anchored, as in :func:`odc.stac.load`.
        align: As in :func:`odc.stac.load`.
        bbox: West, south, east and north of the cube, in degrees.
        lon: Least and greatest longitude, with ``lat``.
        lat: Least and greatest latitude, with ``lon``.
        x: Least and greatest x in units of the CRS, with ``y``.
        y: Least and greatest y in units of the CRS, with ``x``.
        geopolygon: A geometry whose bounding box is loaded: GeoJSON, shapely, WKT, a GeoDataFrame
            or GeoSeries in any CRS, or the path of a vector file.
        intersects: The same as ``geopolygon``.
        clip: Whether pixels whose centre is outside ``geopolygon`` are left without data.
        **unknown: Refused, with what to use instead of an argument of odc-stac or stackstac.

    Returns:
        Variables with dims (time, y, x), or (time, latitude, longitude): float32 with NaN where
        there is no data, temperatures in kelvin; masks are integers with ``flag_values`` and
        ``flag_meanings``, and 255 where there is no scene. Coordinates for each time step:
        ``id``, ``platform``, ``order_id``, ``cloud_cover`` where items state them, and
        ``daytime`` (whether the sun was up). With ``group_by_resolution=True`` a dict of
        such cubes by pixel size in metres, the finest first.

    Raises:
        TypeError: An argument is unknown.
        AssetReadError: A file header needed for the grid cannot be read.
        MissingExtraError: The engine is not installed.
        SigningError: There are ``s3://`` hrefs but no credentials for them.
        ValueError: There are no items, a band or property does not exist, or arguments contradict
            each other.

    Example:
        >>> import constellr_stac
        >>> client = constellr_stac.open_client()  # doctest: +SKIP
        >>> search = client.search(collections=["lstprecision"], bbox=bbox)  # doctest: +SKIP
        >>> cube = constellr_stac.load(search, ["lst"], mask="clear")  # doctest: +SKIP
    """
    refuse_unknown(unknown)
    arguments: LoadArguments = {
        "engine": engine,
        "chunks": chunks,
        "mask": mask,
        "mask_buffer": mask_buffer,
        "units": units,
        "raw": raw,
        "groupby": groupby,
        "overlap": overlap,
        "resampling": resampling,
        "errors": errors,
        "with_metadata": with_metadata,
        "auth": auth,
        "signer": signer,
        "limits": limits,
        "local_files": local_files,
        "geobox": geobox,
        "like": like,
        "crs": crs,
        "resolution": resolution,
        "anchor": anchor,
        "align": align,
        "bbox": bbox,
        "lon": lon,
        "lat": lat,
        "x": x,
        "y": y,
        "geopolygon": geopolygon,
        "intersects": intersects,
    }
    area = intersects if geopolygon is None else geopolygon
    if clip and area is None:
        raise ValueError("clip=True needs geopolygon= or intersects=.")
    if group_by_resolution:
        return _by_resolution(items, bands, arguments, clip=clip)
    cube = cube_of(make_plan(items, bands, **arguments))
    if clip:
        cube = clipped(cube, area)
    return cube.load() if chunks is None else cube


def cube_of(plan: Plan) -> xr.Dataset:
    """Return the lazy cube of a plan."""
    cube = build(plan)
    cube = described(cube.assign_coords(step_coordinates(plan)), plan)
    return in_celsius(cube) if plan.units == "degC" else cube


def _by_resolution(
    items: Items, bands: Bands, arguments: LoadArguments, *, clip: bool
) -> dict[float, xr.Dataset]:
    """Load the variables of each pixel size as one cube, the finest first."""
    found = sorted_items(items)
    asked = with_mask_bands(bands, classes_of(arguments["mask"]))
    groups: dict[float, list[str]] = {}
    for name, selection in resolve_bands(found, asked, stacklevel=4).items():
        if selection.gsd is None:
            raise ValueError(f"The pixel size of {name!r} is unknown; load it separately.")
        groups.setdefault(selection.gsd, []).append(name)
    resampling = arguments["resampling"]
    cubes = {}
    for gsd, names in sorted(groups.items()):
        if isinstance(resampling, Mapping):
            own = {name: resampling[name] for name in (*names, "*") if name in resampling}
            arguments["resampling"] = own
        cubes[gsd] = load(found, names, clip=clip, **arguments)
    return cubes
