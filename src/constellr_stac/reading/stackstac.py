"""The reader for stackstac: ``stackstac.stack(items, reader=constellr_stac.StackstacReader)``.

stackstac constructs all readers of a chunk before it reads with any. Construction starts a fetch
and reading waits for it, so the scenes of a chunk are fetched in parallel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.band import Band
from constellr_stac.layers.table import layer_of

from .asset_ref import AssetRef
from .band_source import BandRead, BandSource, Errors
from .prefetch import Fetcher, shared_fetcher
from .raster import MASK_FILL
from .resolver import AssetResolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from rasterio.enums import Resampling
    from rasterio.windows import Window
    from stackstac.raster_spec import RasterSpec
    from stackstac.rio_reader import LayeredEnv

__all__ = ["StackstacReader"]


class StackstacReader:
    """Reads assets for stackstac: signs when reading, prefetches, decodes to physical values.

    Implements stackstac's reader protocol: thread-safe, constructed without blocking. The
    parameters before ``fetcher`` are stackstac's. Scale and offset are those of the item, else
    those documented for the file's layer. Only the first band of a file is read;
    :func:`constellr_stac.load` reads all bands.

    Keyword Args:
        fetcher: Fetches the bytes; default with the credentials of the running process.
        band: The band and its encoding; default as items and documents state it.
        reads: What is read, by URL; takes precedence over ``band``.
        errors: ``"raise"``, or ``"nan"``: leave a scene that cannot be read empty and warn.
        raw: Return stored values.
        cube: The cube's name; a read starts the fetches of this cube only.

    Example:
        >>> import stackstac
        >>> from constellr_stac import StackstacReader
        >>> stackstac.stack(items, assets=["lst"], reader=StackstacReader)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        url: str,
        spec: RasterSpec,
        resampling: Resampling,
        dtype: np.dtype[Any],
        fill_value: float,
        scale_offset: tuple[float, float] = (1, 0),
        gdal_env: LayeredEnv | None = None,
        errors_as_nodata: tuple[Exception, ...] = (),
        fetcher: Fetcher | None = None,
        band: Band | None = None,
        reads: Mapping[str, BandRead] | None = None,
        errors: Errors = "raise",
        raw: bool = False,
        cube: str = "",
    ) -> None:
        del gdal_env  # GDAL reads from memory
        read = (reads or {}).get(url)
        if read is None:
            read = BandRead(url, band or _documented(AssetRef.parse(url), scale_offset))
        self._band = read.band
        self._spec = spec
        self._dtype = np.dtype(dtype)
        self._fill = fill_value
        self._resampling = str(resampling.name)
        self._errors_as_nodata = errors_as_nodata
        self._source = BandSource(
            fetcher or shared_fetcher(AssetResolver()),
            read,
            errors=errors,
            raw=raw,
            cube=cube,
        )

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window of the cube's grid: dims (y, x), with the fill value for no data.

        Raises:
            AssetReadError: The asset cannot be read.
        """
        as_floats = self._band.is_mask and self._dtype.kind == "f"
        fill = MASK_FILL if as_floats else self._fill
        params = RasterLoadParams(
            dtype="uint8" if as_floats else str(self._dtype),
            fill_value=fill,
            resampling=self._resampling,
        )
        values = np.full((int(window.height), int(window.width)), fill, params.dtype)
        try:
            pixels = self._source.read(self._geobox(window), params)
        except AssetReadError as error:
            if not any(_matches(error, pattern) for pattern in self._errors_as_nodata):
                raise
            return np.full(values.shape, self._fill, self._dtype)
        values[pixels.roi] = pixels.values
        if as_floats:
            empty = values == MASK_FILL
            values = values.astype(self._dtype)
            values[empty] = self._fill
        return values

    def close(self) -> None:
        """Do nothing: the bytes are freed with the last reader."""

    def _geobox(self, window: Window) -> GeoBox:
        whole = GeoBox(self._spec.shape, self._spec.transform, f"EPSG:{self._spec.epsg}")
        rows, columns = window.toslices()
        return whole[rows, columns]


def _documented(reference: AssetRef, scale_offset: tuple[float, float]) -> Band:
    """Return the first documented band of an asset, with the item's scale and offset.

    As in the other readers, values in which the item differs from the documents, and those of
    undocumented assets, take precedence over the file.
    """
    layer = layer_of(reference.asset, reference.href)
    scale, offset = map(float, scale_offset)
    if layer is None or not layer.bands:
        stated = frozenset({"scale", "offset"} if (scale, offset) != (1, 0) else ())
        return Band(1, "", scale=scale, offset=offset, resampling="nearest", by_item=stated)
    band = layer.bands[0]
    if (scale, offset) == (1, 0):  # stackstac's default, if the item states none
        return band
    return replace(band, scale=scale, offset=offset, by_item=frozenset({"scale", "offset"}))


def _matches(error: AssetReadError, pattern: Exception) -> bool:
    """Match stackstac's patterns, which are GDAL messages: ``HTTP response code: 404``."""
    code = str(pattern).rpartition("HTTP response code: ")[2]
    return code.isdigit() and int(code) == error.status_code
