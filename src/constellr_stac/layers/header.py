"""What the head of a GeoTIFF says: where its pixels are and how they are stored.

A value that is handed in from above: this package reads no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .band import Band

__all__ = ["FileBand", "Header"]


@dataclass(frozen=True)
class FileBand:
    """How a file itself says that a band is stored."""

    dtype: str
    """As numpy names it."""
    scale: float | None = None
    """What a stored number is multiplied by, if the file says so."""
    offset: float | None = None
    """What is added after the multiplication, if the file says so."""
    nodata: float | None = None
    """The stored number that means no data, if the file says so."""
    unit: str | None = None
    """The unit of the physical value, if the file says so."""

    @classmethod
    def of(cls, dataset: Any, index: int) -> FileBand:
        """Take what an open rasterio dataset says of a band.

        Args:
            dataset: A ``rasterio.DatasetReader``.
            index: The band's number, from 1.
        """
        scale, offset = dataset.scales[index - 1], dataset.offsets[index - 1]
        # GDAL gives 1 and 0 for a file that states no scale and offset.
        states = (scale, offset) != (1.0, 0.0)
        return cls(
            dataset.dtypes[index - 1],
            scale if states else None,
            offset if states else None,
            dataset.nodatavals[index - 1],
            dataset.units[index - 1] or None,
        )

    def applied_to(self, band: Band) -> Band:
        """Return ``band`` as this file stores it.

        The file is believed before the documents, and the item before the file.
        """
        words = {"scale": self.scale, "offset": self.offset, "nodata": self.nodata}
        heard = {name: word for name, word in words.items() if name not in band.settled}
        return band.stored_as(self.dtype, unit=self.unit, **heard)


@dataclass(frozen=True)
class Header:
    """Where a file's pixels are, and how its bands are stored.

    Example:
        >>> Header("EPSG:32611", (400, 400), (30, 0, 381060, 0, -30, 3746640)).gsd
        30.0
    """

    crs: str
    """``EPSG:`` and a number, or WKT where there is no such number."""
    shape: tuple[int, int]
    """Rows and columns."""
    transform: tuple[float, float, float, float, float, float]
    """Pixel to CRS, in the order of ``affine.Affine`` and of STAC's ``proj:transform``."""
    bands: tuple[FileBand, ...] = ()
    """How the bands are stored, where that was looked at."""

    @classmethod
    def of(cls, dataset: Any) -> Header:
        """Take the header of an open rasterio dataset.

        Args:
            dataset: A ``rasterio.DatasetReader`` with a CRS.

        Raises:
            ValueError: The file has no CRS: nobody can say where its pixels are.
        """
        if dataset.crs is None:
            msg = f"{dataset.name} has no coordinate reference system."
            raise ValueError(msg)
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
        """The EPSG number, where the CRS has one."""
        return int(self.crs[5:]) if self.crs.startswith("EPSG:") else None
