"""Areas of interest: register, fetch, list, delete, measure, convert.

The older API calls an area's polygon ``geometry``, the newer one ``geojson``. Which one is learnt
from the first response about an area.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from constellr_stac.errors import (
    APIError,
    AreaOfInterestExistsError,
    ConflictError,
    ForbiddenError,
    MissingExtraError,
    ValidationError,
)
from constellr_stac.geometry.files import upload_of

from .geometry import geojson_of, polygon_from, same_area
from .payloads import AreaOfInterest, GeometryInfo
from .records import Listed
from .wire import AREA_CONVERSION, AREA_SIZE, AREAS, ignore_body, parse, path_of

if TYPE_CHECKING:
    import os

    import shapely

    from .wire import Api

__all__ = ["Areas"]

AreaField: TypeAlias = Literal["geometry", "geojson"]
"""The API's field for an area's polygon."""

_READ_LOCALLY = "Install constellr-stac[geo] to read such files locally."


class Areas:
    """The areas of interest of an organization; :class:`.OrdersClient` has the same methods."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.field: AreaField | None = None
        """The API's field for polygons; ``None`` until it is known."""

    def create_aoi(
        self,
        name: str,
        geometry: Any,
        description: str | None = None,
        *,
        exist_ok: bool = False,
    ) -> AreaOfInterest:
        """Register an area of interest.

        Args:
            name: A name, unique in the organization.
            geometry: Any input of :func:`.polygon_from` (GeoJSON, shapely, one row of geopandas in
                any CRS), or the path of a GeoJSON, GeoPackage, KML, KMZ or zipped Shapefile.
            description: A description.

        Keyword Args:
            exist_ok: Return an existing area of this name if its geometry is the same.

        Raises:
            InvalidAreaError: The geometry cannot be an area; nothing was sent.
            AreaOfInterestExistsError: The name is taken; ``existing`` is that area.
            MissingExtraError: Reading this file needs the extra ``geo``.
            APIError: The API refused.
            APIConnectionError: The API did not answer. Retry with ``exist_ok=True``.
        """
        polygon = geojson_of(self._polygon(geometry))
        fields = {"name": name}
        if description is not None:
            fields["description"] = description
        try:
            return self._post_area(fields, polygon)
        except ConflictError as conflict:
            existing = self._find_by_name(name)
            if exist_ok and existing is not None and same_area(existing.geometry, polygon):
                return existing
            raise _exists_error(conflict, existing, exist_ok=exist_ok) from conflict

    def get_aoi(self, id: str | AreaOfInterest) -> AreaOfInterest:  # noqa: A002 - the API's own word
        """Fetch an area of interest.

        Args:
            id: Its id, or an :class:`AreaOfInterest` to fetch again.

        Raises:
            NotFoundError: There is no area with this id.
        """
        return self._api.call(self._parse_area, "GET", path_of(AREAS, id))

    def list_aois(
        self, limit: int | None = None, sort: str | None = "-created"
    ) -> Iterator[AreaOfInterest]:
        """Iterate over the organization's areas of interest, each once.

        Args:
            limit: Maximum number of areas; default all.
            sort: ``-created`` (newest first) or ``+created``.
        """
        return Listed(self._api.iterate(self._parse_area, AREAS, limit, sort))

    def delete_aoi(self, id: str | AreaOfInterest) -> None:  # noqa: A002 - the API's own word
        """Delete an area of interest (newer API).

        Raises:
            ConflictError: It has active orders.
            NotFoundError: There is no area with this id.
            APIError: 405 from the older API.
        """
        hints = {
            405: "The older API cannot delete areas.",
            409: "Delete an area once all of its orders are closed or rejected.",
        }
        self._api.call(ignore_body, "DELETE", path_of(AREAS, id), hints=hints)

    def geometry_info(self, geometry: Any) -> GeometryInfo:
        """Return the size of an area as measured by the API; :func:`.measure` does so locally.

        Args:
            geometry: As for :meth:`create_aoi`.

        Raises:
            InvalidAreaError: The geometry cannot be an area; nothing was sent.
            BadRequestError: The API refused the geometry.
        """
        feature = {
            "type": "Feature",
            "properties": {},
            "geometry": geojson_of(self._polygon(geometry)),
        }
        return self._api.call(partial(parse, GeometryInfo), "POST", AREA_SIZE, json=feature)

    def convert_aoi(self, path: str | os.PathLike[str]) -> AreaOfInterest:
        """Convert a KML, KMZ or zipped Shapefile with the API (newer API).

        Args:
            path: The file, at most 10 MB.

        Returns:
            The area, without an id: it is not registered.

        Raises:
            InvalidAreaError: The file is of another kind or too large; nothing was sent.
            BadRequestError: The API could not read it.
            NotFoundError: The older API has no converter.
            ServerError: The API's converter is down (502).
        """
        upload = upload_of(path)
        return self._api.call(
            self._parse_area,
            "POST",
            AREA_CONVERSION,
            data={"file_format": upload.file_format},
            files={"file": (upload.name, upload.content)},
            hints=dict.fromkeys((404, 405, 502), _READ_LOCALLY),
        )

    def _polygon(self, geometry: Any) -> shapely.Polygon:
        """Return the polygon of a geometry or a file; without ``geo``, the API reads the file."""
        try:
            return polygon_from(geometry)
        except MissingExtraError:
            if str(geometry).lower().endswith(".gpkg"):
                raise
            return polygon_from(self.convert_aoi(geometry).geometry)

    def _post_area(self, fields: Mapping[str, str], polygon: Mapping[str, Any]) -> AreaOfInterest:
        """Post an area with the API's polygon field; if a 422 asks for the other one, with that.

        A 422 means that nothing was created. A known field may become wrong when the API is
        upgraded.
        """
        known = self.field is not None
        field = self.field or "geometry"
        other: AreaField = "geojson" if field == "geometry" else "geometry"
        try:
            return self._post_as(field, fields, polygon)
        except ValidationError as refusal:
            if known and not re.search(rf"(^|; ){other}: ", refusal.detail):
                raise
            try:
                return self._post_as(other, fields, polygon)
            except ValidationError as second:
                # Both were refused, so another field is wrong: report the one that names it.
                other_was_right = not known and re.search(rf"\b{other}\b", refusal.detail)
                raise (second if other_was_right else refusal) from None

    def _post_as(
        self, field: AreaField, fields: Mapping[str, str], polygon: Mapping[str, Any]
    ) -> AreaOfInterest:
        try:
            area = self._api.call(self._parse_area, "POST", AREAS, json={**fields, field: polygon})
        except ConflictError:
            self.field = field  # the body was valid
            raise
        self.field = field
        return area

    def _parse_area(self, content: Any) -> AreaOfInterest:
        """Parse an area and learn the API's polygon field from it."""
        if isinstance(content, Mapping) and self.field is None:
            if "geojson" in content:
                self.field = "geojson"
            elif "geometry" in content:
                self.field = "geometry"
        return parse(AreaOfInterest, content)

    def _find_by_name(self, name: str) -> AreaOfInterest | None:
        try:
            return next((area for area in self.list_aois() if area.name == name), None)
        except ForbiddenError:
            return None  # creating and listing are separate permissions


def _exists_error(
    conflict: APIError, existing: AreaOfInterest | None, *, exist_ok: bool
) -> AreaOfInterestExistsError:
    if existing is None:
        hint = "This account cannot list that area; choose another name."
    elif exist_ok:
        hint = f"Its geometry differs ({existing.id}); choose another name."
    else:
        hint = f"Use it ({existing.id}), pass exist_ok=True, or choose another name."
    error = AreaOfInterestExistsError(
        f"{conflict.method} {conflict.request_url} answered {conflict.status_code}: "
        f"{conflict.detail}. {hint}",
        status_code=conflict.status_code,
        request_url=conflict.request_url,
    )
    error.method, error.detail = conflict.method, conflict.detail
    error.hint, error.existing = hint, existing
    return error
