"""What ``cube.constellr`` shows of itself: the cube's content, and its methods."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from constellr_stac.cube.mask import masks_of, values_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["as_html", "as_text"]

_METHODS = {
    "celsius": "temperatures in °C",
    "clear(mask_buffer=)": "mask clouds and shadows",
    "table()": "summary of each time step",
    "timeseries(geometry)": "a point or an area over time",
    "zonal(areas)": "statistics of areas; then to_geodataframe()",
    "composite(by=)": "maps of months, seasons, years",
    "anomaly(baseline=)": "difference from the usual",
    "clear_fraction()": "how often each pixel is clear",
    "quicklook()": "figure of the scenes",
    "to_geotiff(path)": "files for a GIS",
}


def as_text(cube: xr.Dataset) -> str:
    """Return the content and the methods as lines of text.

    Args:
        cube: Any; nothing is computed.
    """
    rows = {**_content(cube), **{f".{name}": text for name, text in _METHODS.items()}}
    width = max(map(len, rows))
    return "\n".join(["cube.constellr", *(f"  {k:<{width}}  {v}" for k, v in rows.items())])


def as_html(cube: xr.Dataset) -> str:
    """Return the content and the methods as tables.

    Args:
        cube: Any; nothing is computed.
    """
    parts = []
    for rows, tag in ((_content(cube), "b"), (_METHODS, "code")):
        lines = "".join(
            f"<tr><td style='text-align:left'><{tag}>{html.escape(name)}</{tag}></td>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in rows.items()
        )
        parts.append(f"<table>{lines}</table>")
    return "".join(parts)


def _content(cube: xr.Dataset) -> dict[str, str]:
    values = {name: each.attrs.get("units", "") for name, each in values_of(cube).items()}
    masks = {
        name: str(each.attrs.get("flag_meanings", "")) for name, each in masks_of(cube).items()
    }
    rows = {
        "values": ", ".join(f"{k} ({v})" if v else k for k, v in values.items()) or "none",
        "masks": "; ".join(f"{k}: {v}" for k, v in masks.items()) or "none",
        "time": _times(cube),
    }
    geobox = cube.odc.geobox
    if geobox is not None and geobox.crs is not None:
        sides = " x ".join(map(str, geobox.shape))
        step = f"{abs(geobox.resolution.x):g} {geobox.crs.units[0]}"
        rows["grid"] = f"{sides} pixels of {step}, {_crs(geobox.crs)}"
    return rows


def _crs(crs: object) -> str:
    epsg = getattr(crs, "epsg", None)
    return f"EPSG:{epsg}" if epsg else "CRS without an EPSG code"


def _times(cube: xr.Dataset) -> str:
    if "time" not in cube.coords:
        return "none"
    times = np.atleast_1d(cube["time"].to_numpy())
    if not times.size:
        return "no step"
    first, last = (str(np.datetime_as_string(time, "m")) for time in (times.min(), times.max()))
    if times.size == 1:
        return first.replace("T", " ") + " UTC"
    return f"{times.size} steps, {first[:10]} to {last[:10]}"
