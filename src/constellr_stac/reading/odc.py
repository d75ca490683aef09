"""The driver for odc-stac: ``odc.stac.load(items, driver="constellr_stac.OdcDriver")``.

odc-loader opens all sources of a chunk before it reads any. Opening starts a fetch and reading
waits for it, so the scenes of a chunk are fetched in parallel; so are the blocks that a chunk needs
of long files, which are asked for when it begins. Sources are references: URLs are
signed by the process that reads them.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.loader import RasterBandMetadata, RasterGroupMetadata
from odc.stac._mdtools import StacAuxReader

from constellr_stac.errors import AssetReadError
from constellr_stac.layers.item_bands import asset_bands, is_unknown

from .asset_ref import asset_ref
from .band_source import BandRead, Errors
from .engine_errors import as_engine_error
from .item_geobox import stated_geobox
from .notices import reset
from .odc_arguments import (
    ItemConfig,
    arguments,
    chunk_task,
    settle_params,
    settle_sources,
    signer_of,
    step_of,
)
from .prefetch import shared_fetcher
from .raster import fill_of, output_dtype
from .resolver import AssetResolver
from .step_source import StepSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pystac
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from odc.loader import BandKey, RasterLoadParams, RasterSource
    from odc.loader.types import (
        AuxBandMetadata,
        AuxReader,
        MDParser,
        RasterReader,
        ReaderDriver,
    )

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.layers.band import Band
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer

__all__ = ["OdcDriver", "band_metadata", "keys_of"]

_PROPERTIES = "_stac_metadata"
"""odc-stac's name for the asset whose bands are an item's properties."""


class OdcDriver:
    """Reads scenes for odc-stac: signs when reading, prefetches, decodes to physical values.

    Bands can be requested by the names of the provider's layers (``bands=["lst",
    "cloud_mask"]``). Fields stated by the items take precedence over the documents. Values are
    float32 with NaN, masks are integers with 255 where there is no scene. An integer ``dtype=``
    returns stored numbers, with ``scale_factor`` and without a unit.

    The arguments of ``odc.stac.load`` apply; the documentation lists the exceptions. Signatures
    are removed from hrefs, also those that ``patch_url=`` adds, so the graph does not expire.

    It pickles without credentials; the unpickling process searches for its own.

    Keyword Args:
        auth: Renews expired signed URLs; an auth object or a credential.
        signer: Signs ``s3://`` hrefs.
        errors: ``"raise"``, or ``"nan"``: leave a scene that cannot be read empty and warn.
        raw: Return stored integers instead of physical values.
        limits: Bounds on waiting and sizes; default from the environment.

    Raises:
        TypeError: ``auth`` is neither an auth object nor a credential.
        ValueError: ``errors`` is invalid.

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
        limits: Limits | None = None,
    ) -> None:
        if errors not in ("raise", "nan"):
            raise ValueError(f'errors= must be "raise" or "nan", not {errors!r}.')
        self.fetcher = shared_fetcher(AssetResolver(auth, signer, limits))
        self._default_signer = signer is None
        self.errors = errors
        self.raw = raw
        self.cube = ""
        """The cube's name, for warnings that are given once for each."""
        reset(self.cube)

    @property
    def md_parser(self) -> MDParser:
        """The parser of item metadata for odc-stac."""
        asked = arguments()
        config = ItemConfig(asked.get("stac_cfg"), asked.get("with_properties"))
        return _LayerParser(self.fetcher.resolver, config, raw=self.raw)

    @property
    def dask_reader(self) -> None:
        """Return ``None``, since odc-loader's own tasks read the sources."""

    @property
    def aux_reader(self) -> AuxReader:
        """odc-stac's reader of the items' properties."""
        return StacAuxReader()

    def new_load(self, geobox: GeoBox, *, chunks: dict[str, int] | None = None) -> None:
        """Begin a load; its tasks share no state."""

    def finalise_load(self, load_state: None) -> None:
        """End a load."""

    def capture_env(self) -> dict[str, Any]:
        """Return the settings for the tasks' keys (without GDAL's: it reads from memory).

        odc-stac calls this when its arguments are resolved and the graph is not built yet.

        Raises:
            ValueError: ``dtype=``, ``nodata=`` or ``resampling=`` does not fit a band.
        """
        if asked := arguments():
            parameters, resolver = asked["load_cfg"], self.fetcher.resolver
            settle_params(
                parameters, asked["kw"].get("nodata"), raw=self.raw, describe=band_metadata
            )
            signer = signer_of(asked["patch_url"])
            if signer is not None and self._default_signer:
                self.fetcher = shared_fetcher(AssetResolver(resolver.auth, signer, resolver.limits))
            settings = self.fetcher.resolver.signer.settings
            settle_sources(asked["srcs"], parameters, settings)
        return {"errors": self.errors, "reads": keys_of(asked.get("srcs", ()))}

    def restore_env(
        self,
        env: dict[str, Any],  # noqa: ARG002 - names of the protocol
        load_state: None,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Set up a task, and start to fetch what it will read."""
        if chunk := chunk_task():
            for reader in (reader for step in chunk["srcs"] for reader in step):
                reader.prepare(chunk["gbox"], chunk["cfg"])
        return nullcontext()

    def open(self, src: RasterSource, ctx: None) -> RasterReader:  # noqa: ARG002 - likewise
        """Start to fetch a source; does not block."""
        step = step_of(src)
        return _Reader(
            StepSource(self.fetcher, step, errors=self.errors, raw=self.raw, cube=self.cube)
        )


class _Reader:
    """A reader for odc-loader."""

    def __init__(self, source: StepSource) -> None:
        self._source = source

    def prepare(self, geobox: GeoBox, params: RasterLoadParams) -> None:
        """Start to fetch what a read of this grid needs; does not block."""
        self._source.prepare(geobox, params)

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
            AssetReadError: The source cannot be read. It is also a ``RasterioIOError``.
        """
        del selection  # bands are variables, not a dimension
        try:
            pixels = self._source.read(dst_geobox, cfg)
        except AssetReadError as error:
            failure = as_engine_error(error)
        else:
            roi, values = pixels.roi, pixels.values
            if dst is not None:
                dst[roi] = values
                values = dst[roi]
            return roi, values
        raise failure


def band_metadata(band: Band, *, raw: bool = False) -> RasterBandMetadata:
    """Describe a band's variable to odc-loader: dtype, fill, unit and CF attributes."""
    dtype = output_dtype(band, raw=raw)
    attributes = band.cf_attributes(dtype)
    if band.is_mask:
        attributes["flag_values"] = list(band.flag_values)  # odc-stac compares attributes
    if raw and band.is_coded:
        attributes |= {"scale_factor": band.scale, "add_offset": band.offset}
    if raw and not band.is_mask and band.nodata is not None:
        # the name for xarray.decode_cf and in files
        attributes["_FillValue"] = np.dtype(dtype).type(fill_of(band, raw=True))
    return RasterBandMetadata(
        data_type=dtype,
        nodata=fill_of(band, raw=raw),
        units=band.unit or "1",
        attrs=attributes,
    )


def keys_of(sources: Iterable[Mapping[str, RasterSource | None]]) -> str:
    """Return a token of what sources are read as, as part of dask's keys.

    odc-loader's task keys depend on a source's URI and band number, but not on its ``driver_data``:
    the same file with another scale, unit or mask would get the same key.
    """
    reads = [
        sorted((name, source.driver_data) for name, source in each.items() if source is not None)
        for each in sources
    ]
    keys = [[(name, getattr(read, "key", read)) for name, read in each] for each in reads]
    return hashlib.sha256(repr(keys).encode()).hexdigest()


class _LayerParser:
    """Parses item metadata for odc-stac."""

    def __init__(self, resolver: AssetResolver, config: ItemConfig, *, raw: bool) -> None:
        self._resolver = resolver
        self._config = config
        self._raw = raw

    def extract(self, md: pystac.Item) -> RasterGroupMetadata:
        """Return the bands of an item and their aliases."""
        bands: dict[BandKey, RasterBandMetadata | AuxBandMetadata] = {}
        aliases: dict[str, list[BandKey]] = {}
        collection = md.collection_id
        for key in md.assets:
            known = not is_unknown(md, key)
            for band in asset_bands(md, key):
                described = band_metadata(band, raw=self._raw).patch(driver_data=band)
                bands[key, band.index] = self._config.applied_to(
                    described, collection, key, known=known
                )
                for name in (band.name, band.common_name, *band.aliases):
                    if name and name != key:
                        aliases.setdefault(name, []).append((key, band.index))
        for alias, band_key in self._config.of(collection).aliases.items():
            aliases[alias] = [band_key]  # odc-stac takes the first of several
        for number, (name, wanted) in enumerate(self._config.properties(collection).items(), 1):
            bands[_PROPERTIES, number] = wanted
            aliases[name] = [(_PROPERTIES, number)]
        return RasterGroupMetadata(bands, aliases)

    def driver_data(self, md: pystac.Item, band_key: BandKey) -> Any:
        """Return what is read of a source (:class:`BandRead`), or the value of a property."""
        key, index = band_key
        if key == _PROPERTIES:
            wanted = self._config.of(md.collection_id).with_props[index - 1]
            return md.properties.get(wanted.key)
        self._resolver.remember(md)
        band = asset_bands(md, key)[index - 1]
        return BandRead(str(asset_ref(md, key)), band, stated=stated_geobox(md, key))


_: type[ReaderDriver] = OdcDriver
