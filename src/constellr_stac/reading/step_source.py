"""Reads one band of a time step: its scenes, joined; the common code of both engines."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from constellr_stac._pushed import on_dask_worker

from .band_source import BandRead, BandSource, Errors
from .raster import Pixels
from .requested import read_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from odc.geo.geobox import GeoBox
    from odc.loader import RasterLoadParams

    from .prefetch import Fetcher

__all__ = ["StepRead", "StepSource", "touch"]


@dataclass(frozen=True)
class StepRead:
    """What is read of one band in a time step."""

    layers: tuple[tuple[tuple[float, ...], BandRead], ...]
    """What is read, the uppermost first, and where: left, bottom, right and top in the grid's
    CRS, or nothing for everywhere."""

    def __bool__(self) -> bool:
        return bool(self.layers)  # stackstac leaves a step without a URL empty

    @property
    def key(self) -> str:
        """What of it changes pixels, as text: equal in all processes."""
        return repr([read.key for _, read in self.layers])

    def touching(self, geobox: GeoBox) -> Iterator[BandRead]:
        """Yield what is read for a part of the grid."""
        if not any(box for box, _ in self.layers):
            return (read for _, read in self.layers)
        bounds = geobox.boundingbox
        return (read for box, read in self.layers if not box or touch(box, bounds))


class StepSource:
    """One band of a time step, of whose scenes the first valid pixel is used.

    The constructor does not block. A single scene is fetched at once; of several, those that a
    chunk touches are fetched when the chunk begins, and stay for others while there is room. In a
    worker of dask.distributed all begin with the chunk, which another worker may read. Pickles
    without the fetches.

    Args:
        fetcher: Fetches the bytes.
        step: What is read.

    Keyword Args:
        errors: How to handle a scene that cannot be read.
        raw: Whether to return stored values.
        cube: The cube's name, for warnings that are given once for each.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        step: StepRead,
        *,
        errors: Errors = "raise",
        raw: bool = False,
        cube: str = "",
    ) -> None:
        self._fetcher = fetcher
        self._step = step
        self._errors, self._raw, self._cube = errors, raw, cube
        self._lock = threading.Lock()
        self._sources: dict[int, BandSource] = {}  # by the ids of what is read
        if len(step.layers) == 1 and not on_dask_worker():
            self._source(step.layers[0][1]).begin()

    def prepare(self, geobox: GeoBox, params: RasterLoadParams) -> None:
        """Start to fetch what a read of a grid needs; does not block."""
        for read in self._step.touching(geobox):
            self._source(read).prepare(geobox, params)

    def read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        """Read the part of the step that lies on a grid, with the requested dtype and fill value.

        Raises:
            AssetReadError: A scene cannot be read.
        """
        reads = list(self._step.touching(geobox))
        if len(self._step.layers) == 1 and reads:
            return read_as(self._source(*reads), reads[0].band, geobox, params, raw=self._raw)
        fill: Any = params.fill_value
        values = np.full(geobox.shape, fill, params.dtype)
        is_empty, done = True, []
        for read in reads:
            source = self._source(read)
            pixels = read_as(source, read.band, geobox, params, raw=self._raw)
            part = values[pixels.roi]
            missing = is_empty or (np.isnan(part) if np.isnan(fill) else part == fill)
            np.copyto(part, pixels.values, where=missing)
            is_empty = False
            done.append(id(read))
            if self._fetcher.is_full:  # what stays would leave no room to prefetch
                with self._lock:
                    while done:
                        self._sources.pop(done.pop(), None)
        return Pixels(np.s_[0 : geobox.shape[0], 0 : geobox.shape[1]], values)

    def _source(self, read: BandRead) -> BandSource:
        with self._lock:
            if id(read) not in self._sources:
                self._sources[id(read)] = BandSource(
                    self._fetcher, read, errors=self._errors, raw=self._raw, cube=self._cube
                )
            return self._sources[id(read)]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_sources": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _sources={})


def touch(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes overlap: left, bottom, right and top."""
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]
