"""The arguments of :func:`constellr_stac.load`, as types and as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from os import PathLike

    from odc.geo.geobox import GeoBox
    from odc.geo.geom import Geometry as OdcGeometry

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer

__all__ = [
    "Bands",
    "Chunks",
    "CubeArguments",
    "Engine",
    "Errors",
    "Geometry",
    "GridArguments",
    "GroupBy",
    "LoadArguments",
    "Mask",
    "MaskClass",
    "Overlap",
    "Resampling",
    "ResamplingMethod",
    "Units",
]

Bands: TypeAlias = str | Sequence[str] | None
Engine: TypeAlias = Literal["odc", "stackstac"]
Errors: TypeAlias = Literal["raise", "nan"]
Overlap: TypeAlias = Literal["first", "last"]
GroupBy: TypeAlias = (
    Literal["time", "overpass", "solar_day", "id"]  # noqa: PYI051 - shown in docs
    | str
    | Callable[..., Any]
    | None
)
Units: TypeAlias = Literal["K", "degC", "C", "celsius"]
Chunks: TypeAlias = Literal["auto"] | Mapping[str, Any] | None
MaskClass: TypeAlias = Literal["thick", "thin", "shadow", "castshadow", "water", "land"]
Mask: TypeAlias = Literal["clear"] | MaskClass | Sequence[MaskClass] | None
ResamplingMethod: TypeAlias = Literal[
    "nearest",
    "bilinear",
    "cubic",
    "cubic_spline",
    "lanczos",
    "average",
    "mode",
    "max",
    "min",
    "med",
    "q1",
    "q3",
    "sum",
    "rms",
]
Resampling: TypeAlias = ResamplingMethod | Mapping[str, ResamplingMethod] | None


class HasGeoInterface(Protocol):
    """A shapely geometry, or any other object with a ``__geo_interface__``."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """The geometry as GeoJSON."""


Geometry: TypeAlias = "OdcGeometry | HasGeoInterface | Mapping[str, Any] | str | PathLike[str]"
"""GeoJSON, shapely, geopandas, WKT, or the path of a file."""


class GridArguments(TypedDict, total=False):
    """The arguments that choose the grid, as in :func:`odc.stac.load`."""

    geobox: GeoBox | None
    like: Any
    crs: Any
    resolution: Any
    anchor: Any
    align: Any
    bbox: Sequence[float] | None
    lon: tuple[float, float] | None
    lat: tuple[float, float] | None
    x: tuple[float, float] | None
    y: tuple[float, float] | None
    geopolygon: Geometry | None
    intersects: Geometry | None


class LoadArguments(GridArguments, total=False):
    """The keyword arguments of :func:`constellr_stac.load` but ``group_by_resolution``."""

    engine: Engine
    chunks: Chunks
    mask: Mask
    mask_buffer: float
    units: Units
    raw: bool
    groupby: GroupBy
    overlap: Overlap
    resampling: Resampling
    errors: Errors
    with_metadata: bool
    auth: ConstellrAuth | Credential | None
    signer: Signer | None
    limits: Limits | None
    local_files: bool


class CubeArguments(LoadArguments, total=False):
    """Those and what is done with the cube."""

    clip: bool
