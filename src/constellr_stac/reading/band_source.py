"""Reads one band of one asset; the common code of both engines."""

from __future__ import annotations

import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rasterio.errors import RasterioError

from constellr_stac._process import STATE
from constellr_stac.errors import AssetReadError, ResamplingWarning

from .raster import Pixels, name_of, read_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odc.geo.geobox import GeoBox
    from odc.loader import RasterLoadParams

    from constellr_stac.layers.band import Band

    from .asset_ref import AssetRef
    from .prefetch import Fetch, Fetcher

__all__ = ["BandSource", "Errors"]

Errors = Literal["raise", "nan"]
"""How to handle a scene that cannot be read: raise, or leave it empty and warn."""


class BandSource:
    """One band of one asset. The constructor starts the fetch and does not block.

    Pickles without the fetch. An unpickled source starts its fetch at the first read in that
    process, since some processes only pass it on.

    Args:
        fetcher: Fetches the bytes.
        reference: The asset.
        band: The band and its encoding.
        errors: How to handle a scene that cannot be read.
        presumed: The grid it is assumed to have, if its own header was not read.
        cube: The cube's name; a read starts the fetches of this cube only.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        reference: AssetRef,
        band: Band,
        *,
        errors: Errors = "raise",
        presumed: GeoBox | None = None,
        cube: str = "",
    ) -> None:
        self._fetcher = fetcher.here()
        self._reference = reference
        self._band = band
        self._errors = errors
        self._presumed = presumed
        self._cube = cube
        self._fetch: Fetch | None = self._fetcher.start(reference)

    def begin(self) -> Fetch:
        """Start the fetch, unless started; does not block."""
        if self._fetch is None:
            self._fetch = self._fetcher.start(self._reference)
        return self._fetch

    def read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        """Read the part of the band that lies on a grid; empty if left out by ``errors``.

        Raises:
            AssetReadError: The band cannot be read.

        Warns:
            ResamplingWarning: The file's grid differs from the presumed one.
        """
        try:
            pixels = self._read(geobox, params)
        except AssetReadError as error:
            if self._errors == "raise" and params.fail_on_error:
                raise
            self._fetcher.report(self._reference, error)
            return Pixels(np.s_[0:0, 0:0], np.empty((0, 0), params.dtype))
        if self._presumed is not None and pixels.grid not in (None, self._presumed):
            _warn_grid_differs(pixels.grid, self._presumed)
        return pixels

    def _read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        for other in _unstarted(self._cube):
            other.begin()  # fetches the scenes of a chunk in parallel
        fetch = self.begin()
        try:
            return read_pixels(self._fetcher.file(fetch), self._band, geobox, params)
        except RasterioError:
            self._fetch = fetch = self._fetcher.again(fetch)  # perhaps damaged in transfer
        try:
            return read_pixels(self._fetcher.file(fetch), self._band, geobox, params)
        except RasterioError as error:
            raise AssetReadError(
                f"{self._reference.label} cannot be read: it is not a readable GeoTIFF "
                f"({error}). Download the file to inspect it, or exclude the scene.",
                request_url=self._reference.href,
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_fetch": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        STATE.shared("unstarted", self._cube, _Unstarted).add(self)


class _Unstarted:
    """The unpickled sources of a cube whose fetches have not started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: weakref.WeakSet[BandSource] = weakref.WeakSet()

    def add(self, source: BandSource) -> None:
        with self._lock:
            self._sources.add(source)

    def take(self) -> list[BandSource]:
        """Return and remove all of them."""
        if not self._sources:
            return []
        with self._lock:
            sources = list(self._sources)
            self._sources.clear()
        return sources


def _unstarted(cube: str) -> list[BandSource]:
    return STATE.shared("unstarted", cube, _Unstarted).take()


def _warn_grid_differs(own: GeoBox, presumed: GeoBox) -> None:
    # Without the scene's name, so that Python shows it once for all scenes.
    warnings.warn(
        f"Not all files share a grid, though their items share a footprint: some are on "
        f"{_name(own)}, not on {_name(presumed)} as the file whose header was read. They are "
        "resampled, and pixels outside the cube are cut off. describe() reads the header of every "
        "scene: load the items that it returns.",
        ResamplingWarning,
        stacklevel=2,
    )


def _name(grid: GeoBox) -> str:
    rows, columns = grid.shape
    return f"{name_of(grid)} ({rows} x {columns} from {grid.affine.c:g}, {grid.affine.f:g})"
