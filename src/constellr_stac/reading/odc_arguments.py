"""What odc-stac and odc-loader do not tell a driver: arguments, and what a chunk reads.

odc-stac passes ``stac_cfg=`` and ``with_properties=`` to its own parser of items only, and a driver
learns of ``dtype=``, ``nodata=`` and ``patch_url=`` when pixels are read, which is too late for
attributes and dask keys. They are taken from the caller's frame, since there is no other way.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import odc.stac
from odc.loader import RasterLoadParams, RasterSource, _builder
from odc.loader.types import AuxBandMetadata
from odc.stac.model import MDParseConfig

from constellr_stac._text import redact_url
from constellr_stac.errors import UnknownLayerWarning
from constellr_stac.layers.band import Band
from constellr_stac.signing.s3_url import ObjectAddress, is_s3, own_object
from constellr_stac.signing.signer import Signer

from .asset_ref import AssetRef, is_signed
from .band_source import BandRead
from .requested import check_requested
from .resample import METHODS
from .step_source import StepRead

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odc.loader import RasterBandMetadata

    from constellr_stac.config import StorageSettings

__all__ = [
    "ItemConfig",
    "arguments",
    "chunk_task",
    "settle_params",
    "settle_sources",
    "signer_of",
    "source_of",
    "step_of",
]

_CHUNK_TASK = getattr(getattr(_builder, "_dask_loader_tyx", None), "__code__", None)
_REFUSED = {"dims": "bands are variables here", "coords": "bands are variables here"}


def arguments() -> Mapping[str, Any]:
    """Return the local variables of the running ``odc.stac.load``; empty if there is none."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not odc.stac.load.__code__:
        frame = frame.f_back
    return {} if frame is None else frame.f_locals


def chunk_task() -> Mapping[str, Any]:
    """Return the local variables of the task that called the driver; empty if it reads no chunk.

    odc-loader passes a driver one source after another. What a chunk reads is known to its task.
    """
    frame = inspect.currentframe()
    for _ in range(2):  # the driver's method, then its caller
        frame = None if frame is None else frame.f_back
    if frame is None or frame.f_code is not _CHUNK_TASK:
        return {}
    return frame.f_locals if {"srcs", "gbox", "cfg"}.issubset(frame.f_locals) else {}


class ItemConfig:
    """What ``stac_cfg=`` and ``with_properties=`` state, per collection.

    Args:
        stac_cfg: As for ``odc.stac.load``.
        with_properties: As for ``odc.stac.load``.

    Raises:
        ValueError: ``stac_cfg`` asks for additional dimensions.
    """

    def __init__(
        self, stac_cfg: Mapping[str, Any] | None = None, with_properties: Any = None
    ) -> None:
        self._given = {**(stac_cfg or {})}
        if with_properties is not None:
            self._given["with_properties"] = list(with_properties)
        self._parsed: dict[str | None, MDParseConfig] = {}
        for part in (self._given, *self._given.values()):
            for name in _REFUSED.keys() & part if isinstance(part, dict) else ():
                raise ValueError(f"stac_cfg={{{name!r}: ...}} does not apply: {_REFUSED[name]}.")

    def of(self, collection: str | None) -> MDParseConfig:
        """Return the configuration of a collection, parsed by odc-stac."""
        if collection not in self._parsed:
            self._parsed[collection] = MDParseConfig.from_dict(self._given, collection)
        return self._parsed[collection]

    def applied_to(
        self, described: RasterBandMetadata, collection: str | None, key: str, *, known: bool
    ) -> RasterBandMetadata:
        """Return a band's metadata with the dtype, fill and unit that ``stac_cfg`` states.

        As in odc-stac, ``"*"`` applies to assets that neither the item nor the documents describe.
        """
        stated = self._assets(collection)
        own = stated.get(key, {} if known else stated.get("*", {}))
        changes: dict[str, Any] = {
            name: own[name] for name in ("data_type", "nodata") if name in own
        }
        unit = own.get("units", own.get("unit"))
        if unit is not None:
            changes |= {"units": unit, "attrs": described.attrs | {"units": unit}}
        return described.patch(**changes)

    def properties(self, collection: str | None) -> dict[str, AuxBandMetadata]:
        """Return the properties to load, by output name."""
        return {
            wanted.output_name: AuxBandMetadata(
                wanted.dtype, nodata=wanted.nodata, units=wanted.units, driver_data=wanted
            )
            for wanted in self.of(collection).with_props
        }

    def _assets(self, collection: str | None) -> Mapping[str, Mapping[str, Any]]:
        if "assets" in self._given:
            return self._given["assets"] or {}
        shared = self._given.get("*") or {}
        return {**shared, **(self._given.get(collection or "") or {})}.get("assets") or {}


def settle_params(
    load_cfg: dict[str, Any],
    nodata: float | None,
    *,
    raw: bool,
    describe: Callable[..., RasterBandMetadata],
) -> None:
    """Adapt odc-stac's load parameters to the requested dtype and fill value.

    An integer dtype means stored numbers: the variable gets ``scale_factor`` and ``add_offset``,
    and no unit, since that is the unit of decoded values.

    Args:
        load_cfg: The parameters by variable, changed in place.
        nodata: The requested fill value.

    Keyword Args:
        raw: Whether the driver returns stored numbers.
        describe: Returns a band's metadata.

    Raises:
        ValueError: The dtype or fill value does not fit a band; or a resampling method does not
            exist.

    Warns:
        UnknownLayerWarning: Pixels without data cannot be told from 0.
    """
    for name, params in load_cfg.items():
        if not isinstance(params, RasterLoadParams) or params.meta is None:
            continue  # a property
        band, meta, dtype = params.meta.driver_data, params.meta, np.dtype(params.dtype)
        if params.resampling not in METHODS:
            choices = ", ".join(METHODS)
            raise ValueError(
                f"resampling={params.resampling!r} for {name!r}: use one of {choices}."
            )
        stored = (raw or dtype.kind != "f") and not band.is_mask
        fill = params.fill_value
        if dtype.kind != "f" and nodata is None and (fill is None or np.isnan(fill)):
            fill = 0 if band.nodata is None else band.nodata
            if band.nodata is None and not band.is_mask:
                warnings.warn(
                    f"No fill value of {name!r} is known, so pixels without data are 0 in the "
                    f"{dtype.name} variable, like others that hold 0. Pass nodata= or a float "
                    "dtype.",
                    UnknownLayerWarning,
                    stacklevel=4,
                )
        if fill is not None:
            check_requested(band, dtype, fill, fill_name="nodata")
        if stored:
            attributes = describe(band, raw=True).attrs
            if band.is_coded:
                attributes = {
                    key: value
                    for key, value in attributes.items()
                    if key not in ("units", "standard_name")
                } | {"_FillValue": dtype.type(fill)}
            meta = meta.patch(data_type=dtype.name, nodata=fill, attrs=attributes)
        load_cfg[name] = params.patch(fill_value=fill, meta=meta.patch(driver_data=None))


def settle_sources(
    sources: list[dict[str, Any]], load_cfg: Mapping[str, Any], settings: StorageSettings
) -> None:
    """Replace the URLs of sources by references without signatures, in place.

    A location that ``patch_url=`` changed is kept. A signature that it added is removed if reading
    can renew it.

    Args:
        sources: The sources of each item, by variable.
        load_cfg: The settled parameters by variable.
        settings: The object store that the driver signs for.

    Raises:
        ValueError: Stored numbers are requested, but the items differ in scale or offset.
    """
    encodings: dict[str, set[tuple[float, float]]] = {}
    for by_name in sources:
        for name, source in by_name.items():
            if not isinstance(load_cfg[name], RasterLoadParams) or source is None:
                continue
            band = source.driver_data.band
            by_name[name] = _lasting(source, settings)
            encodings.setdefault(name, set()).add((band.scale, band.offset))
    for name, distinct in encodings.items():
        if len(distinct) > 1 and np.dtype(load_cfg[name].dtype).kind != "f":
            raise ValueError(
                f"The scenes store {name!r} with different scales ({sorted(distinct)}), so stored "
                "numbers cannot share a variable. Use a float dtype."
            )


@dataclass(frozen=True)
class _Source(RasterSource):
    """A source that pickles as what is read of it."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if self == source_of(self.driver_data, self.meta):
            return source_of, (self.driver_data, self.meta)
        return super().__reduce_ex__(protocol)


def source_of(step: StepRead, metadata: RasterBandMetadata | None) -> RasterSource:
    """Return what is read of a band in a time step as a source for odc-loader."""
    first = step.layers[0][1]
    return _Source(first.uri, first.band.index, meta=metadata, driver_data=step)


def step_of(source: RasterSource) -> StepRead:
    """Return what is read of a source, which can be one of odc-stac's own."""
    read = source.driver_data or BandRead(source.uri, Band(source.band, ""))
    return read if isinstance(read, StepRead) else StepRead((((), read),))


def signer_of(patch_url: Any) -> Signer | None:
    """Return the signer whose method is given as ``patch_url=``."""
    signer = getattr(patch_url, "__self__", None)
    return signer if isinstance(signer, Signer) else None


def _lasting(source: RasterSource, settings: StorageSettings) -> RasterSource:
    href, reference = str(source.uri), AssetRef.parse(source.driver_data.uri)
    known = (reference.href, str(reference))
    if href not in known and not _only_signed(href, reference, settings):
        reference = AssetRef(href)
    uri = str(reference)
    return source.patch(uri=uri, driver_data=source.driver_data._replace(uri=uri))


def _only_signed(href: str, reference: AssetRef, settings: StorageSettings) -> bool:
    """Return whether ``href`` is the reference's own URL with a signature that can be renewed."""
    if is_s3(reference.href):
        signed = own_object(href, settings)
        return signed is not None and signed.address == ObjectAddress.of(reference.href)
    return reference.renewable and is_signed(href) and redact_url(href) == reference.href
