"""What is read for each time step: its scenes, the uppermost first, each with its own masks.

A scene is masked when it is read, by its own masks and before scenes are joined, so that no cloud
is seen through a hole of another scene. The engines join with the first valid pixel.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from constellr_stac.reading.band_source import MaskRead

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from constellr_stac.reading.band_source import BandRead

    from .plan import Plan
    from .scene import Scene

__all__ = ["SceneReads", "scene_reads"]


class SceneReads(NamedTuple):
    """What is read of one scene."""

    scene: Scene
    reads: Mapping[str, BandRead]
    """By variable."""


def scene_reads(plan: Plan, step: Sequence[Scene]) -> list[SceneReads]:
    """Return what is read for a time step; of each variable the first valid pixel is used.

    Mask variables are masked as well where scenes are joined, so that a pixel that is kept beats
    one that is not, and masking again changes nothing. Below are the masks as they are, for pixels
    that no scene keeps.

    Args:
        plan: The cube.
        step: Scenes of a time step, the uppermost first.
    """
    variables = plan.variables
    scenes = [
        SceneReads(scene, {n: own.read(variables[n].band) for n, own in scene.bands.items()})
        for scene in step
    ]
    if not plan.classes:
        return _counted(scenes)
    joins = len(step) > 1
    masked, below = [], []
    for scene, reads in scenes:
        masks = _masks(plan, reads)
        flags = {name: read for name, read in reads.items() if plan.variables[name].band.is_mask}
        values = reads if joins else {n: read for n, read in reads.items() if n not in flags}
        seen = {name: read._replace(masks=masks) for name, read in values.items()} if masks else {}
        masked.append(SceneReads(scene, seen if joins else {**seen, **flags}))
        below.append(SceneReads(scene, flags))
    return _counted(masked + below if joins else masked)


def _counted(scenes: Sequence[SceneReads]) -> list[SceneReads]:
    """Count in each read how many bands need its file, so that its bytes stay."""
    needed: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for _, reads in scenes:
        for read in reads.values():
            for uri in (read.uri, *(mask.read.uri for mask in read.masks)):
                needed[uri].add((read.uri, read.band.index))

    known: dict[Hashable, Any] = {}  # of each once, so that pickles hold it once

    def counted(read: BandRead) -> BandRead:
        if id(read) not in known:
            masks = masks_of(read.masks) if read.masks else ()
            known[id(read)] = read._replace(masks=masks, readers=len(needed[read.uri]))
        return cast("BandRead", known[id(read)])

    def masks_of(masks: tuple[MaskRead, ...]) -> tuple[MaskRead, ...]:
        if id(masks) not in known:
            known[id(masks)] = tuple(each._replace(read=counted(each.read)) for each in masks)
        return cast("tuple[MaskRead, ...]", known[id(masks)])

    return [
        SceneReads(scene, {name: counted(read) for name, read in reads.items()})
        for scene, reads in scenes
    ]


def _masks(plan: Plan, reads: Mapping[str, BandRead]) -> tuple[MaskRead, ...]:
    """Return a scene's masks; none if it lacks one, since its pixels are unclassified then."""
    if not reads.keys() >= plan.masks.keys():
        return ()
    return tuple(MaskRead(reads[name], *how) for name, how in plan.masks.items())
