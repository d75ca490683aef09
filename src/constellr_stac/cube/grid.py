"""The grid of a cube: from the arguments, else from the scenes' native grids."""

from __future__ import annotations

import warnings
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Unpack

import pystac
import shapely
from odc.geo.geobox import GeoBox, geobox_union_conservative
from odc.geo.types import Resolution
from odc.stac import output_geobox, parse_items
from pyproj.exceptions import CRSError

from constellr_stac.errors import ResamplingWarning
from constellr_stac.reading.file_grid import name_of

from .clip import as_geometry
from .footprint import HALF_TURN, box_of, eastward, footprint, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odc.stac import ParsedItem

    from .arguments import GridArguments
    from .scene import Scene


__all__ = ["cube_grid", "fits", "needs_native_grids"]

_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_EDGES = 4
_LEAST_METRES = 0.01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # a placeholder for the required time of an item


def needs_native_grids(**arguments: Unpack[GridArguments]) -> bool:
    """Return whether the grid depends on the scenes' native grids."""
    asked = {name for name, value in arguments.items() if value is not None}
    return not (asked & {"geobox", "like"} or asked >= {"crs", "resolution"})


def cube_grid(scenes: Sequence[Scene], **arguments: Unpack[GridArguments]) -> GeoBox:
    """Return the grid of a cube.

    Default: the scenes' native grid. That is their common grid, or the union of their grids if
    these are aligned, else the most frequent CRS and resolution over the extent of all scenes.
    Aligned pixels are not resampled.

    Args:
        scenes: The scenes, with their native grids if known.

    Keyword Args:
        arguments: As for :func:`odc.stac.load`.

    Raises:
        ValueError: The arguments contradict each other, or the scenes.

    Warns:
        ResamplingWarning: No grid was requested, and the scenes' grids are not aligned.
    """
    asked: dict[str, Any] = {name: value for name, value in arguments.items() if value is not None}
    if "intersects" in asked:
        asked["geopolygon"] = asked.pop("intersects")
    if "geopolygon" in asked:
        asked["geopolygon"] = as_geometry(asked["geopolygon"])
    if not asked and (common := _common(scenes)) is not None:
        return common
    known: dict[tuple[str, frozenset[GeoBox]], ParsedItem] = {}
    parsed = []
    for scene in scenes:
        key = (footprint(scene.item), scene.grids)
        if key not in known:
            known[key] = _parsed(scene)
        parsed.append(known[key])
    exact = bool({"geobox", "like"} & asked.keys())
    if not exact:
        _check_asked([scene.item for scene in scenes], asked)
    try:
        grid = _checked(output_geobox(parsed, **asked))
    except CRSError as error:
        msg = f"crs={asked.get('crs')!r} is not a CRS; use 'EPSG:32611' or 'utm', for example."
        raise ValueError(msg) from error
    if not exact:
        _check_unit(grid)
    if not {"geobox", "like", "crs", "resolution", "anchor", "align"} & asked.keys():
        _warn_resampled(scenes, grid)
    return grid


def _common(scenes: Sequence[Scene]) -> GeoBox | None:
    """Return the grid that all files align with, if there is one."""
    distinct = list({grid for scene in scenes for grid in scene.grids})
    if not distinct:
        return None
    if len(distinct) == 1:
        return distinct[0]
    try:
        return geobox_union_conservative(distinct)
    except ValueError:
        return None


def _parsed(scene: Scene) -> ParsedItem:
    """Return a scene's footprint and grids in the form that odc-stac needs to choose a grid."""
    item = scene.item
    grids = {name: band.grid for name, band in scene.bands.items() if band.grid is not None}
    shape = shape_of(item)
    if shape is None and grids:
        shape = eastward(next(iter(grids.values())).geographic_extent.geom)
    if shape is None:
        msg = f"Item {item.id!r} has no geometry and no bbox; pass geobox=, or bbox= with a grid."
        raise ValueError(msg)
    place = pystac.Item(
        item.id,
        shapely.geometry.mapping(shape),
        list(shape.bounds),
        _EPOCH,
        {},
        stac_extensions=[_PROJECTION] if grids else [],
    )
    for name, grid in grids.items():
        asset = pystac.Asset(name, media_type="image/tiff")
        asset.extra_fields = {
            "proj:wkt2": grid.crs.to_wkt() if grid.crs else None,
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
        }
        place.add_asset(name, asset)
    return next(iter(parse_items([place], asset_absolute_paths=False)))


def _checked(grid: GeoBox | None) -> GeoBox:
    if grid is None:
        msg = "The scenes do not determine a grid; pass geobox=, or crs= and resolution=."
        raise ValueError(msg)
    return grid


def _check_asked(items: Sequence[pystac.Item], asked: Mapping[str, Any]) -> None:
    """Reject arguments that would make an empty cube."""
    resolution = asked.get("resolution")
    is_size = isinstance(resolution, Resolution | None) or (
        isinstance(resolution, int | float) and resolution > 0
    )
    if not is_size:
        raise ValueError(
            "resolution= must be a positive number (int or float), in units of the CRS, not "
            f"{resolution!r}."
        )
    if (box := asked.get("bbox")) is not None:
        _check_box(box, [box_of(item) for item in items if item.bbox])


def _check_box(box: Sequence[float], scenes: Sequence[Sequence[float]]) -> None:
    """Reject an invalid bbox, or one that intersects no scene: its numbers may be swapped."""
    pole = HALF_TURN / 2
    if len(box) != _EDGES or not -pole <= box[1] <= box[3] <= pole:
        raise ValueError(f"bbox= must be west, south, east, north in degrees, not {tuple(box)}.")
    west, south, east, north = box
    if not scenes or any(not w <= e <= HALF_TURN for w, _, e, _ in (box, *scenes)):
        return  # not checked across the antimeridian
    if all(w > east or e < west or s > north or n < south for w, s, e, n in scenes):
        raise ValueError(
            f"bbox={tuple(box)} intersects none of the scenes; one is at {tuple(scenes[0])}. "
            "The order is west, south, east, north in degrees."
        )


def _check_unit(grid: GeoBox) -> None:
    """Reject a pixel size in metres for a CRS in degrees, and vice versa."""
    size, crs = abs(grid.resolution.x), grid.crs
    if crs is None or not (size >= 1 if crs.geographic else size < _LEAST_METRES):
        return
    unit = "degrees" if crs.geographic else "metres"
    msg = f"A pixel size of {size:g} {unit} ({crs}) is implausible; pass resolution= in {unit}"
    raise ValueError(f"{msg}, or another crs=.")


def _warn_resampled(scenes: Sequence[Scene], grid: GeoBox) -> None:
    others = Counter(
        name_of(own)
        for scene in scenes
        for own in dict.fromkeys(band.grid for band in scene.bands.values())
        if own is not None and not fits(own, grid)
    )
    if others:
        parts = ", ".join(f"{count} in {name}" for name, count in others.most_common())
        warnings.warn(
            f"Not all files share a grid: {parts} are resampled onto {name_of(grid)}. To choose "
            "another grid, pass crs= and resolution=, or geobox=.",
            ResamplingWarning,
            stacklevel=5,
        )


def fits(own: GeoBox, grid: GeoBox) -> bool:
    """Return whether two grids are aligned: they differ by a whole number of pixels only."""
    try:
        geobox_union_conservative([own, grid])
    except ValueError:
        return False
    return True
