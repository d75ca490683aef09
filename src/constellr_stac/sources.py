"""One band of one asset, from the moment its fetch begins until its pixels are read.

Both engines read through this, so that what is damaged, missing or left empty is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rasterio.errors import RasterioError

from .errors import AssetReadError
from .pixels import Pixels, read_pixels

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from odc.loader import RasterLoadParams

    from .assets import Fetcher
    from .products import Band
    from .references import Reference

__all__ = ["BandSource", "Errors"]

Errors = Literal["raise", "nan"]
"""What to do about a scene that cannot be read: raise, or leave it empty and warn."""


class BandSource:
    """A band to read: making one begins to fetch, and does not wait.

    It pickles as what to read; where it is unpickled, it begins to fetch there.

    Args:
        fetcher: Brings the bytes.
        reference: The asset.
        band: Which band of it, and what its numbers mean.
        errors: What to do when it cannot be read.
    """

    def __init__(
        self, fetcher: Fetcher, reference: Reference, band: Band, errors: Errors = "raise"
    ) -> None:
        self._fetcher = fetcher
        self._reference = reference
        self._band = band
        self._errors = errors
        self._fetch = fetcher.start(reference)

    def read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        """Return what the band has of a grid; nothing where it is left empty.

        Raises:
            AssetReadError: It cannot be read.
        """
        try:
            return self._read(geobox, params)
        except AssetReadError as error:
            if self._errors == "raise" and params.fail_on_error:
                raise
            self._fetcher.report(self._reference, error)
            return Pixels(np.s_[0:0, 0:0], np.empty((0, 0), params.dtype))

    def _read(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        try:
            return read_pixels(self._fetcher.file(self._fetch), self._band, geobox, params)
        except RasterioError:
            self._fetch = self._fetcher.again(self._fetch)  # damaged on the way, perhaps
        try:
            return read_pixels(self._fetcher.file(self._fetch), self._band, geobox, params)
        except RasterioError as error:
            raise AssetReadError(
                f"{self._reference.label} cannot be read: it is not a readable GeoTIFF "
                f"({error}). Download it and look, or leave the scene out.",
                request_url=self._reference.href,
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return BandSource, (self._fetcher, self._reference, self._band, self._errors)
