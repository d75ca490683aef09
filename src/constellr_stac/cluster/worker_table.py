"""The table of :func:`check_workers`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from constellr_stac._text import html_row

__all__ = ["WorkerRow", "WorkerTable"]


@dataclass(frozen=True)
class WorkerRow:
    """The result on one worker."""

    worker: str
    """Address of the worker."""
    constellr_stac: str | None = None
    """Version of this package; ``None`` if nothing could run."""
    gdal: str | None = None
    """Version of rasterio's GDAL; ``None`` without rasterio."""
    credential: str = ""
    """Source of the worker's credential: for ``s3://`` items of AWS, else for the API."""
    read: int = 0
    """Bytes read of the asset."""
    seconds: float = 0.0
    """Time to authenticate and read."""
    problem: str = ""
    """Why the worker failed; empty on success."""


class WorkerTable(tuple[WorkerRow, ...]):
    """One row per worker; its repr is a table."""

    __slots__ = ()

    def cells(self) -> list[list[str]]:
        """Return the table as text: a row of headings, then one row per worker."""
        names = [field.name for field in fields(WorkerRow)]
        return [names, *([_format(getattr(row, name)) for name in names] for row in self)]

    def __repr__(self) -> str:
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    def _repr_html_(self) -> str:
        head, *rows = self.cells()
        below = "".join(html_row(*row) for row in rows)
        return f"<table>{html_row(*head, headings=len(head))}{below}</table>"


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value).partition("\n")[0]
