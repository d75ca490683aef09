"""The header of a GeoTIFF as a value: its grid and the encoding of its bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FileBand", "Header"]


@dataclass(frozen=True)
class FileBand:
    """The encoding of a band as the file states it; ``None`` for fields not stated."""

    dtype: str
    """The NumPy dtype."""
    scale: float | None = None
    """The factor of a stored value."""
    offset: float | None = None
    """Added after scaling."""
    nodata: float | None = None
    """The stored value for no data."""
    unit: str | None = None
    """The unit of the physical value."""

    @classmethod
    def of(cls, dataset: Any, index: int) -> FileBand:
        """Read the encoding of a band of an open rasterio dataset.

        Args:
            dataset: A ``rasterio.DatasetReader``.
            index: The band's number, from 1.
        """
        scale, offset = dataset.scales[index - 1], dataset.offsets[index - 1]
        # GDAL returns 1 and 0 for a file without scale and offset.
        states = (scale, offset) != (1.0, 0.0)
        return cls(
            dataset.dtypes[index - 1],
            scale if states else None,
            offset if states else None,
            dataset.nodatavals[index - 1],
            dataset.units[index - 1] or None,
        )


@dataclass(frozen=True)
class Header:
    """The grid of a file and the encoding of its bands.

    Example:
        >>> Header("EPSG:32611", (400, 400), (30, 0, 381060, 0, -30, 3746640)).gsd
        30.0
    """

    crs: str
    """``EPSG:`` and a code, or WKT for a CRS without one."""
    shape: tuple[int, int]
    """Rows and columns."""
    transform: tuple[float, float, float, float, float, float]
    """Pixel to CRS, in the order of ``affine.Affine`` and of STAC's ``proj:transform``."""
    bands: tuple[FileBand, ...] = ()
    """The encoding of the bands; empty if not read."""

    @classmethod
    def of(cls, dataset: Any) -> Header:
        """Read the header of an open rasterio dataset.

        Args:
            dataset: A ``rasterio.DatasetReader`` with a CRS.

        Raises:
            ValueError: The file has no CRS.
        """
        if dataset.crs is None:
            raise ValueError("the file has no coordinate reference system")
        epsg = dataset.crs.to_epsg()
        return cls(
            crs=dataset.crs.to_wkt() if epsg is None else f"EPSG:{epsg}",
            shape=(dataset.height, dataset.width),
            transform=tuple(dataset.transform)[:6],
            bands=tuple(FileBand.of(dataset, index) for index in dataset.indexes),
        )

    @property
    def gsd(self) -> float:
        """The pixel's width, in units of the CRS."""
        return float(abs(self.transform[0]))

    @property
    def epsg(self) -> int | None:
        """The EPSG code, if the CRS has one."""
        return int(self.crs[5:]) if self.crs.startswith("EPSG:") else None
