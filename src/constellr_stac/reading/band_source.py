"""One band of one asset, from the moment its fetch begins until its pixels are read.

Both engines read through this, so that what is damaged, missing or left empty is the same.
"""

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
"""What to do about a scene that cannot be read: raise, or leave it empty and warn."""


class BandSource:
    """A band to read: making one begins to fetch, and does not wait.

    It pickles as what to read. Where it is unpickled it begins to fetch when something is read
    there: some processes only pass it on.

    Args:
        fetcher: Brings the bytes.
        reference: The asset.
        band: Which band of it, and what its numbers mean.
        errors: What to do when it cannot be read.
        presumed: The grid it was assumed to have, if its own header was not read.
        cube: The cube's name; a read starts the fetches of its own cube only.
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
        """Begin to fetch, if that has not begun; does not wait."""
        if self._fetch is None:
            self._fetch = self._fetcher.start(self._reference)
        return self._fetch

    def read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        """Return what the band has of a grid; nothing where it is left empty.

        Raises:
            AssetReadError: It cannot be read.

        Warns:
            ResamplingWarning: It is on another grid than it was taken to be on.
        """
        try:
            pixels = self._read(geobox, params)
        except AssetReadError as error:
            if self._errors == "raise" and params.fail_on_error:
                raise
            self._fetcher.report(self._reference, error)
            return Pixels(np.s_[0:0, 0:0], np.empty((0, 0), params.dtype))
        if self._presumed is not None and pixels.grid not in (None, self._presumed):
            _warn_of_another_grid(pixels.grid, self._presumed)
        return pixels

    def _read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        for other in _arrived(self._cube):
            other.begin()  # so that the scenes of a chunk come together
        fetch = self.begin()
        try:
            return read_pixels(self._fetcher.file(fetch), self._band, geobox, params)
        except RasterioError:
            self._fetch = fetch = self._fetcher.again(fetch)  # damaged on the way, perhaps
        try:
            return read_pixels(self._fetcher.file(fetch), self._band, geobox, params)
        except RasterioError as error:
            raise AssetReadError(
                f"{self._reference.label} cannot be read: it is not a readable GeoTIFF "
                f"({error}). Download it and look, or leave the scene out.",
                request_url=self._reference.href,
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_fetch": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        STATE.shared("arrived", self._cube, _Arrived).add(self)


class _Arrived:
    """The sources of a cube that came from another process and have not begun to fetch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: weakref.WeakSet[BandSource] = weakref.WeakSet()

    def add(self, source: BandSource) -> None:
        with self._lock:
            self._sources.add(source)

    def take(self) -> list[BandSource]:
        """Return all of them, once."""
        if not self._sources:
            return []
        with self._lock:
            sources = list(self._sources)
            self._sources.clear()
        return sources


def _arrived(cube: str) -> list[BandSource]:
    return STATE.shared("arrived", cube, _Arrived).take()


def _warn_of_another_grid(own: GeoBox, presumed: GeoBox) -> None:
    # Names no scene, so that Python shows it once and not for a thousand of them.
    warnings.warn(
        f"Not all files share a grid, though their items share an area: some are on {_name(own)} "
        f"and not on {_name(presumed)}, as the header of one said of all. They are resampled, and "
        "what lies outside is cut off. describe() reads the header of every scene: load what it "
        "returns.",
        ResamplingWarning,
        stacklevel=2,
    )


def _name(grid: GeoBox) -> str:
    rows, columns = grid.shape
    return f"{name_of(grid)} ({rows} x {columns} from {grid.affine.c:g}, {grid.affine.f:g})"
