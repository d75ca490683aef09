"""Group scenes into time steps."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Hashable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import odc.stac

from .footprint import centre_of
from .solar import sun_elevation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odc.geo.geobox import GeoBox

    from .arguments import GroupBy, Overlap
    from .scene import Scene

__all__ = ["Steps", "time_steps"]

Steps = tuple[tuple["Scene", ...], ...]

_ONE_OVERPASS = timedelta(minutes=10)  # a platform crosses a region in less


def time_steps(
    scenes: Sequence[Scene], groupby: GroupBy, overlap: Overlap, geobox: GeoBox
) -> Steps:
    """Group scenes, which are sorted by time, into time steps.

    Args:
        scenes: The scenes.
        groupby: As in :func:`constellr_stac.load`.
        overlap: Which scene of a step comes first, and so is seen where scenes overlap.
        geobox: The cube's grid, for the solar day.

    Raises:
        ValueError: An item lacks the property to group by, or ``overlap`` is unknown.

    Warns:
        UserWarning: A solar day would join scenes of day and night.
    """
    if overlap not in ("first", "last"):
        raise ValueError(f'overlap= must be "first" or "last", not {overlap!r}.')
    if groupby in (None, "id"):
        groups = [[scene] for scene in scenes]
    elif groupby == "overpass":
        groups = _overpasses(scenes)
    else:
        groups = _by_key(scenes, groupby, geobox)
    if groupby == "solar_day":
        _warn_day_and_night(groups, geobox)
    return tuple(tuple(group if overlap == "first" else group[::-1]) for group in groups)


def _overpasses(scenes: Sequence[Scene]) -> list[list[Scene]]:
    """Group scenes of one platform that follow each other within minutes."""
    groups: list[list[Scene]] = []
    latest: dict[Any, list[Scene]] = {}
    for scene in scenes:
        platform = scene.item.properties.get("platform")
        group = latest.get(platform)
        if group is None or scene.time - group[-1].time > _ONE_OVERPASS:
            group = latest[platform] = []
            groups.append(group)
        group.append(scene)
    return groups


def _by_key(scenes: Sequence[Scene], groupby: GroupBy, geobox: GeoBox) -> list[list[Scene]]:
    groups: dict[Any, list[Scene]] = {}
    # As odc-stac does: local mean time at the cube's centre, in whole hours.
    hours = round(centre_of(geobox)[0] / 15)
    for number, scene in enumerate(scenes):
        key: Any
        if callable(groupby):
            key = _called(groupby, scene, number)
        elif groupby == "time":
            key = scene.time.replace(microsecond=0)
        elif groupby == "solar_day":
            key = (scene.time + timedelta(hours=hours)).date()
        else:
            key = _property(scene, str(groupby))
        groups.setdefault(key, []).append(scene)
    return list(groups.values())


def _called(key: Callable[..., Any], scene: Scene, number: int) -> Any:
    """Call a function of the item, or one of odc-stac's three arguments."""
    if len(inspect.signature(key).parameters) == 1:
        return key(scene.item)
    return key(scene.item, odc.stac.parse_item(scene.item), number)


def _property(scene: Scene, name: str) -> Hashable:
    try:
        value = scene.item.properties[name]
    except KeyError:
        msg = (
            f"Item {scene.item.id!r} has no property {name!r} to group scenes by; groupby= must be "
            '"time", "overpass", "solar_day", "id" or a property that all items have.'
        )
        raise ValueError(msg) from None
    return value if isinstance(value, Hashable) else repr(value)  # such as a list


def _warn_day_and_night(groups: Sequence[Sequence[Scene]], geobox: GeoBox) -> None:
    longitude, latitude = centre_of(geobox)
    mixed = [
        group
        for group in groups
        if len({sun_elevation(scene.time, longitude, latitude) > 0 for scene in group}) > 1
    ]
    if mixed:
        first, *_, last = mixed[0]
        warnings.warn(
            f'groupby="solar_day" joins scenes of day and night in {len(mixed)} of {len(groups)} '
            f"time steps, such as {first.item.id} and {last.item.id}. Temperatures of both differ "
            'by tens of kelvin: use groupby="overpass", or select day or night items first.',
            stacklevel=5,
        )
