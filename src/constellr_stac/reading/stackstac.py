"""The read path for stackstac: ``stackstac.stack(items, reader=constellr_stac.StackstacReader)``.

stackstac makes all readers of a chunk before it reads with any. Making one begins to fetch and
reading waits, so the scenes of a chunk arrive together.
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
    """Reads assets for stackstac: signed when read, fetched ahead, in physical values.

    It fulfils stackstac's reader protocol: thread-safe, made without waiting for anything. The
    parameters before ``fetcher`` are stackstac's. Scale and offset are what the items state,
    else what the provider documents for a file of that name. Of a file with several bands it
    reads the first; :func:`constellr_stac.load` reads them all.

    Keyword Args:
        fetcher: Brings the bytes; default with the credentials found where it runs.
        band: Which band, and what its numbers mean.
        bands: The same for references whose files differ from that.
        presumed: The grids that files are taken to have, where no header was read.
        errors: ``"raise"``, or ``"nan"``: leave a scene that cannot be read empty, and warn.
        cube: The cube's name; a read starts the fetches of its own cube only.

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
        self._forgiven = errors_as_nodata
        self._source = BandSource(
            fetcher or shared_fetcher(AssetResolver()),
            reference,
            self._band,
            errors=errors,
            presumed=(presumed or {}).get(url),
            cube=cube,
        )

    def read(self, window: Window) -> NDArray[Any]:
        """Return a window of the cube's grid: dims (y, x), filled where there is no data.

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
            if not any(_matches(error, pattern) for pattern in self._forgiven):
                raise
            return np.full(values.shape, self._fill, self._dtype)
        values[roi] = part
        if as_floats:
            empty = values == MASK_FILL
            values = values.astype(self._dtype)
            values[empty] = self._fill
        return values

    def close(self) -> None:
        """Let go of nothing: the bytes go with the last reader of them."""

    def _geobox(self, window: Window) -> GeoBox:
        whole = GeoBox(self._spec.shape, self._spec.transform, f"EPSG:{self._spec.epsg}")
        rows, columns = window.toslices()
        return whole[rows, columns]


def _documented(reference: AssetRef, scale_offset: tuple[float, float]) -> Band:
    """Return the first band of an asset as the documents have it, unless the item says more.

    What the item says otherwise, and that it says nothing of what nobody describes, goes before
    the file, as it does for the other readers.
    """
    layer = layer_of(reference.asset, reference.href)
    scale, offset = map(float, scale_offset)
    if layer is None or not layer.bands:
        settled = frozenset({"scale", "offset"})
        return Band(1, "", scale=scale, offset=offset, resampling="nearest", settled=settled)
    band = layer.bands[0]
    if (scale, offset) == (1, 0):  # stackstac's, of an item that says nothing
        return band
    stated = {"scale": scale, "offset": offset}
    changed = {name for name, value in stated.items() if getattr(band, name) != value}
    return band.but(**stated, settled=frozenset(changed))


def _matches(error: AssetReadError, pattern: Exception) -> bool:
    """Honour stackstac's patterns, whose text is that of GDAL: ``HTTP response code: 404``."""
    code = str(pattern).rpartition("HTTP response code: ")[2]
    return code.isdigit() and int(code) == error.status_code
