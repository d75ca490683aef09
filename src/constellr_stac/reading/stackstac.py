"""The reader for stackstac: ``stackstac.stack(items, reader=constellr_stac.StackstacReader)``.

stackstac constructs all readers of a chunk before it reads with any. Construction starts a fetch
and reading waits for it, so the scenes of a chunk are fetched in parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.band import Band
from constellr_stac.layers.table import layer_of

from .asset_ref import AssetRef
from .band_source import BandSource, Errors
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
        band: The band and its encoding.
        bands: The same by reference, for files that differ from ``band``.
        presumed: The assumed grids by reference, for files whose headers were not read.
        errors: ``"raise"``, or ``"nan"``: leave a scene that cannot be read empty and warn.
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
        bands: Mapping[str, Band] | None = None,
        presumed: Mapping[str, GeoBox] | None = None,
        errors: Errors = "raise",
        cube: str = "",
    ) -> None:
        del gdal_env  # GDAL reads from memory
        reference = AssetRef.parse(url)
        self._band = (bands or {}).get(url) or band or _documented(reference, scale_offset)
        self._spec = spec
        self._dtype = np.dtype(dtype)
        self._fill = fill_value
        self._resampling = str(resampling.name)
        self._errors_as_nodata = errors_as_nodata
        self._source = BandSource(
            fetcher or shared_fetcher(AssetResolver()),
            reference,
            self._band,
            errors=errors,
            presumed=(presumed or {}).get(url),
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
            roi, part, _ = self._source.read(self._geobox(window), params)
        except AssetReadError as error:
            if not any(_matches(error, pattern) for pattern in self._errors_as_nodata):
                raise
            return np.full(values.shape, self._fill, self._dtype)
        values[roi] = part
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
        settled = frozenset({"scale", "offset"})
        return Band(1, "", scale=scale, offset=offset, resampling="nearest", settled=settled)
    band = layer.bands[0]
    if (scale, offset) == (1, 0):  # stackstac's default, if the item states none
        return band
    stated = {"scale": scale, "offset": offset}
    changed = {name for name, value in stated.items() if getattr(band, name) != value}
    return band.but(**stated, settled=frozenset(changed))


def _matches(error: AssetReadError, pattern: Exception) -> bool:
    """Match stackstac's patterns, which are GDAL messages: ``HTTP response code: 404``."""
    code = str(pattern).rpartition("HTTP response code: ")[2]
    return code.isdigit() and int(code) == error.status_code
