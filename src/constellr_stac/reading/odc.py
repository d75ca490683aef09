"""The read path for odc-stac: ``odc.stac.load(items, driver="constellr_stac.OdcDriver")``.

odc-loader opens all sources of a chunk before it reads any. Opening begins to fetch and
reading waits, so the scenes of a chunk arrive together. What is decoded is a reference: URLs
are signed when they are read, wherever that is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.loader import RasterBandMetadata, RasterGroupMetadata

from constellr_stac.layers.band import Band
from constellr_stac.layers.item_bands import asset_bands

from .asset_ref import AssetRef, asset_ref
from .band_source import BandSource, Errors
from .prefetch import shared_fetcher
from .raster import fill_of, output_dtype
from .resolver import AssetResolver

if TYPE_CHECKING:
    import pystac
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from odc.loader import BandKey, RasterLoadParams, RasterSource
    from odc.loader.types import MDParser, RasterReader, ReaderDriver

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.signer import Signer

__all__ = ["OdcDriver", "band_metadata", "coding_of"]


class OdcDriver:
    """Reads scenes for odc-stac: signed when read, fetched ahead, in physical values.

    It knows what the provider's layers mean, so bands can be named by meaning
    (``bands=["lst", "cloud_mask"]``); what the items state themselves goes before. Values are
    float32 with NaN, masks stay integers with 255 where there is no scene.

    It pickles without credentials: where it is unpickled, they are looked for again.

    Keyword Args:
        auth: Asks the API for items whose signed URLs have ended; a credential will do.
        signer: Signs ``s3://`` hrefs.
        errors: ``"raise"``, or ``"nan"``: leave a scene that cannot be read empty, and warn.
        raw: Give stored integers instead of physical values.

    Raises:
        TypeError: ``auth`` is neither an auth object nor a credential.
        ValueError: ``errors`` is neither of these.

    Example:
        >>> import odc.stac
        >>> from constellr_stac import OdcDriver
        >>> odc.stac.load(items, driver=OdcDriver(errors="nan"), chunks={})  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        auth: ConstellrAuth | Credential | None = None,
        signer: Signer | None = None,
        errors: Errors = "raise",
        raw: bool = False,
    ) -> None:
        if errors not in ("raise", "nan"):
            raise ValueError(f'errors= is "raise" or "nan", not {errors!r}.')
        self.fetcher = shared_fetcher(AssetResolver(auth, signer))
        self.fetcher.reset_warnings()
        self.errors = errors
        self.raw = raw
        self.cube = ""
        """The name of the cube that is read; a read starts the fetches of its own cube only."""

    @property
    def md_parser(self) -> MDParser:
        """Tells odc-stac what the assets of items are."""
        return _LayerParser(self.fetcher.resolver, raw=self.raw)

    @property
    def dask_reader(self) -> None:
        """Sources are decoded and read by odc-loader's own tasks."""

    @property
    def aux_reader(self) -> None:
        """There are no other sources than files."""

    def new_load(self, geobox: GeoBox, *, chunks: dict[str, int] | None = None) -> None:
        """Begin a load; there is nothing to share between its tasks."""

    def finalise_load(self, load_state: None) -> None:
        """End a load."""

    def capture_env(self) -> dict[str, Any]:
        """Return what belongs in the tasks' keys (not GDAL's settings: it reads from memory)."""
        return {"errors": self.errors}

    def restore_env(
        self,
        env: dict[str, Any],  # noqa: ARG002 - the protocol's names
        load_state: None,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Set up a task."""
        return nullcontext()

    def open(self, src: RasterSource, ctx: None) -> RasterReader:  # noqa: ARG002 - likewise
        """Begin to fetch a source; does not wait for it."""
        uri, band, *presumed = src.driver_data or (src.uri, Band(src.band, "", "float32"))
        grid = presumed[0] if presumed else None
        ref = AssetRef.parse(uri)
        return _Reader(
            BandSource(self.fetcher, ref, band, errors=self.errors, presumed=grid, cube=self.cube)
        )


class _Reader:
    """What odc-loader reads from; its fetch is under way from the beginning."""

    def __init__(self, source: BandSource) -> None:
        self._source = source

    def read(
        self,
        cfg: RasterLoadParams,
        dst_geobox: GeoBox,
        *,
        dst: NDArray[Any] | None = None,
        selection: Any = None,
    ) -> tuple[tuple[slice, slice], NDArray[Any]]:
        """Return the part of ``dst_geobox`` that the source covers, and its pixels.

        Raises:
            AssetReadError: The source cannot be read.
        """
        del selection  # bands are variables here, not a dimension
        roi, values, _ = self._source.read(dst_geobox, cfg)
        if dst is not None:
            dst[roi] = values
            values = dst[roi]
        return roi, values


def band_metadata(band: Band, *, raw: bool = False) -> RasterBandMetadata:
    """Describe a band's variable to odc-loader: dtype, fill, unit and CF attributes."""
    dtype = output_dtype(band, raw=raw)
    coded = raw and band.is_coded
    attributes = band.cf_attributes(dtype)
    if band.is_mask:
        attributes["flag_values"] = list(band.flag_values)  # odc-stac compares attributes
    if coded:
        attributes |= {"scale_factor": band.scale, "add_offset": band.offset}
        if band.nodata is not None:  # xarray.decode_cf and files know no other name for it
            attributes["_FillValue"] = np.dtype(dtype).type(band.nodata)
    return RasterBandMetadata(
        data_type=dtype,
        nodata=fill_of(band, raw=raw),
        units=band.unit or "1",
        attrs=attributes,
    )


def coding_of(band: Band) -> str:
    """Return what tells two readings of one file apart, for dask's keys.

    odc-loader makes a task's key of a file's URI and the band's number, among others, but not of
    what the driver knows of it: of the same file with another scale it would make the same key.
    """
    return repr((band.dtype, band.scale, band.offset, band.nodata, band.flag_values))


class _LayerParser:
    """Tells odc-stac what the assets of an item are."""

    def __init__(self, resolver: AssetResolver, *, raw: bool) -> None:
        self._locations = resolver
        self._raw = raw

    def extract(self, md: pystac.Item) -> RasterGroupMetadata:
        """Return the bands of an item, and the names they go by.

        How their numbers are coded is part of the tasks' keys, by way of what is said of bands.
        """
        bands: dict[BandKey, RasterBandMetadata] = {}
        aliases: dict[str, list[BandKey]] = {}
        for key in md.assets:
            for band in asset_bands(md, key):
                described = band_metadata(band, raw=self._raw)
                bands[key, band.index] = described.patch(driver_data=coding_of(band))
                for name in (band.name, band.common_name, *band.aliases):
                    if name and name != key:
                        aliases.setdefault(name, []).append((key, band.index))
        return RasterGroupMetadata(bands, aliases)

    def driver_data(self, md: pystac.Item, band_key: BandKey) -> tuple[str, Band]:
        """Return what travels with a source: its reference, and what its numbers mean."""
        key, index = band_key
        self._locations.remember(md)
        return str(asset_ref(md, key)), asset_bands(md, key)[index - 1]


_: type[ReaderDriver] = OdcDriver
