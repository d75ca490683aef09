"""``POST /areas-of-interest/convert`` of the newer API: KML or Shapefile to GeoJSON."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import python_multipart  # noqa: F401 - Starlette needs it to read forms
import shapely
from shapely.geometry import mapping
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .answers import invalid, missing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["convert"]

_LARGEST_FILE = 10_000_000
_FORMATS = ("kml", "shapefile")


async def convert(request: Request) -> Response:
    """Answer ``{"name", "geojson"}``; nothing is stored.

    Reads files with pyogrio; without it the answer is 502.
    """
    async with request.form() as form:
        absent = [name for name in ("file_format", "file") if name not in form]
        if absent:
            raise missing(*absent)
        file_format, file = form["file_format"], form["file"]
        if file_format not in _FORMATS:
            raise invalid(["body", "file_format"], f"Input should be {' or '.join(_FORMATS)}")
        if not isinstance(file, UploadFile):
            raise invalid(["body", "file"], "Expected UploadFile")
        content = await file.read()
        name = PurePath(file.filename or "area").stem
    if len(content) > _LARGEST_FILE:
        raise _bad(f"the file is larger than {_LARGEST_FILE // 1_000_000} MB")
    return JSONResponse({"name": name, "geojson": _feature(content, str(file_format))})


def _feature(content: bytes, file_format: str) -> dict[str, Any]:
    try:
        import pyogrio.raw  # in the extra ``geo``
        from pyogrio.errors import DataLayerError, DataSourceError
    except ImportError as error:
        raise HTTPException(502, "The conversion service is not available") from error
    is_zip = content.startswith(b"PK")
    if is_zip != (file_format == "shapefile"):
        raise _bad(f"the file is not a {file_format}")
    try:
        # By number: an unnamed layer gets a new name at each read.
        kinds = [kind for _, kind in pyogrio.list_layers(content)]
        read = [
            pyogrio.raw.read(content, layer=number, columns=[], force_2d=True)
            for number, kind in enumerate(kinds)
            if kind is not None
        ]
    except (DataLayerError, DataSourceError, ValueError) as error:
        raise _bad(f"the file cannot be read: {error}") from error
    features = [
        (geometry, meta["crs"]) for meta, _, geometries, _ in read for geometry in geometries
    ]
    if len(features) != 1:
        raise _bad(f"the file has {len(features)} features, exactly one is required")
    geometry = _in_degrees(shapely.from_wkb(features[0][0]), features[0][1])
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise _bad(f"the file has a {geometry.geom_type}, not a polygon")
    return {"type": "Feature", "properties": {}, "geometry": mapping(geometry)}


def _in_degrees(geometry: shapely.Geometry, crs: str | None) -> shapely.Geometry:
    if crs is None:
        return geometry
    from pyproj import Transformer

    transformer = Transformer.from_crs(crs, 4326, always_xy=True)
    return shapely.transform(geometry, transformer.transform, interleaved=False)


def _bad(problem: str) -> HTTPException:
    return HTTPException(400, f"Invalid content: {problem}")
