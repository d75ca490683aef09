"""The reader for stackstac: ``stackstac.stack(items, reader=constellr_stac.StackstacReader)``.

stackstac constructs all readers of a chunk before it reads with any. Construction starts a fetch
and reading waits for it, so the scenes of a chunk are fetched in parallel.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams
from rasterio.windows import intersect

from constellr_stac.errors import AssetReadError, SceneLeftEmptyWarning
from constellr_stac.layers.band import Band
from constellr_stac.layers.table import layer_of

from .asset_ref import AssetRef
from .band_source import BandRead, Errors
from .engine_errors import as_engine_error, matches
from .prefetch import Fetcher, shared_fetcher
from .raster import Pixels
from .requested import check_requested
from .resolver import AssetResolver
from .step_source import StepRead, StepSource

if TYPE_CHECKING:
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
    those documented for the file's layer; ``rescale=False`` returns stored numbers. Only the first
    band of a file is read; :func:`constellr_stac.load` reads all bands.

    An exception of stackstac's ``errors_as_nodata=`` matches the errors of this package, their
    causes, and the error that GDAL would raise: ``RasterioIOError("HTTP response code: 404")``.

    Keyword Args:
        fetcher: Fetches the bytes; default with the credentials of the running process.
        band: The band and its encoding; default as items and documents state it.
        errors: ``"raise"``, or ``"nan"``: leave a scene that cannot be read empty and warn.
        raw: Return stored values.
        cube: The cube's name, for warnings that are given once for each.

    Raises:
        ValueError: ``dtype`` or ``fill_value`` does not fit the band, or ``gdal_env`` is given.

    Example:
        >>> import stackstac
        >>> from constellr_stac import StackstacReader
        >>> stackstac.stack(items, assets=["lst"], reader=StackstacReader)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        url: str | StepRead,
        spec: RasterSpec,
        resampling: Resampling,
        dtype: np.dtype[Any],
        fill_value: float,
        scale_offset: Any = None,
        gdal_env: LayeredEnv | None = None,
        errors_as_nodata: tuple[Exception, ...] = (),
        fetcher: Fetcher | None = None,
        band: Band | None = None,
        errors: Errors = "raise",
        raw: bool = False,
        cube: str = "",
    ) -> None:
        if gdal_env is not None:
            raise ValueError("gdal_env= does not apply: StackstacReader fetches files itself.")
        if isinstance(url, str):
            read = BandRead(url, band or _documented(AssetRef.parse(url), scale_offset))
            url = StepRead((((), read),))
            # rescale=False passes a tuple, and otherwise stackstac a row of its NumPy table.
            raw = raw or (isinstance(scale_offset, tuple) and scale_offset == (1, 0))
        self._spec = spec
        self._dtype = np.dtype(dtype)
        self._fill = fill_value
        self._resampling = str(resampling.name)
        self._errors_as_nodata = errors_as_nodata
        for each in {read.band for _, read in url.layers}:
            check_requested(each, self._dtype, fill_value, fill_name="fill_value")
        fetcher = fetcher or shared_fetcher(AssetResolver())
        self._source = StepSource(fetcher, url, errors=errors, raw=raw, cube=cube)

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window of the cube's grid: dims (y, x), with the fill value for no data.

        Raises:
            AssetReadError: The asset cannot be read. It is also a ``RasterioIOError``.

        Warns:
            SceneLeftEmptyWarning: The asset cannot be read, and ``errors_as_nodata`` matches.
        """
        params = RasterLoadParams(
            dtype=str(self._dtype), fill_value=self._fill, resampling=self._resampling
        )
        geobox = self._geobox(window)
        for other in _of_the_same_chunk(window):
            other.prepare(geobox, params)
        pixels = self._pixels(geobox, params)
        if pixels.values.shape == geobox.shape:
            return pixels.values
        values = np.full(geobox.shape, self._fill, self._dtype)
        values[pixels.roi] = pixels.values
        return values

    def _pixels(self, geobox: GeoBox, params: RasterLoadParams) -> Pixels:
        try:
            return self._source.read(geobox, params)
        except AssetReadError as error:
            ignored = matches(error, self._errors_as_nodata)
            failure = as_engine_error(error)
        if not ignored:
            raise failure
        warnings.warn(f"Left empty: {failure}", SceneLeftEmptyWarning, stacklevel=3)
        return Pixels(np.s_[0:0, 0:0], np.empty((0, 0), self._dtype))

    def prepare(self, geobox: GeoBox, params: RasterLoadParams) -> None:
        """Start to fetch what a read of a grid needs; does not block."""
        self._source.prepare(geobox, params)

    def close(self) -> None:
        """Do nothing: the bytes are freed with the last reader."""

    def _geobox(self, window: Window) -> GeoBox:
        whole = GeoBox(self._spec.shape, self._spec.transform, f"EPSG:{self._spec.epsg}")
        rows, columns = window.toslices()
        return whole[rows, columns]


def _of_the_same_chunk(window: Window) -> list[StackstacReader]:
    """Return all readers of the running chunk for its first read, and none for the others.

    stackstac passes a reader one window after another. What a chunk reads is known to its task.
    """
    frame = inspect.currentframe()
    for _ in range(2):  # the reader's method, then its caller
        frame = None if frame is None else frame.f_back
    if frame is None or frame.f_code.co_name != "fetch_raster_window":
        return []
    found = frame.f_locals
    if found.get("current_window") is not window or found.get("data") is not None:
        return []
    return [
        entry[0]
        for entry in found["reader_table"].flat
        if entry and intersect(window, entry[1]) and isinstance(entry[0], StackstacReader)
    ]


def _documented(reference: AssetRef, scale_offset: Any) -> Band:
    """Return the first documented band of an asset, with the item's scale and offset.

    As in the other readers, values in which the item differs from the documents, and those of
    undocumented assets, take precedence over the file.
    """
    layer = layer_of(reference.asset, reference.href)
    scale, offset = (1.0, 0.0) if scale_offset is None else map(float, scale_offset)
    if layer is None or not layer.bands:
        stated = frozenset({"scale", "offset"} if (scale, offset) != (1, 0) else ())
        return Band(1, "", scale=scale, offset=offset, resampling="nearest", by_item=stated)
    band = layer.bands[0]
    # stackstac's default, if the item states none; or the documents', of a described item
    if (scale, offset) in ((1, 0), (band.scale, band.offset)):
        return band
    return replace(band, scale=scale, offset=offset, by_item=frozenset({"scale", "offset"}))
