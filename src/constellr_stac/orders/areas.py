"""Areas of interest and products: the client that orders build on.

An API of either age is understood: the older one names an area's polygon ``geometry``, the newer
one ``geojson``. Which it is shows in its first answer about an area, and is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from constellr_stac.errors import (
    APIError,
    AreaOfInterestExistsError,
    ConflictError,
    ForbiddenError,
    MissingExtraError,
    ValidationError,
)

from .files import is_path, read_area, upload_of
from .geometry import geojson_of, polygon_from, same_area
from .paging import PAGE_SIZE, listing, page_from
from .payloads import AreaOfInterest, GeometryInfo, Product
from .wire import ApiClient, about, each_of, nothing, parsed, path_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import TypeVar

    import shapely

    from .paging import Page

    V = TypeVar("V")

__all__ = ["AREAS", "AreasClient"]

AreaField: TypeAlias = Literal["geometry", "geojson"]
"""What an API calls an area's polygon."""

AREAS = "/areas-of-interest"
_INFO = f"{AREAS}/geometry-info"
_CONVERT = f"{AREAS}/convert"
_WITHOUT_API = "With the extra constellr-stac[geo], such files are read without the API."


class AreasClient(ApiClient):
    """Areas of interest and products of an organization; arguments as :class:`ApiClient`."""

    _only_read = (_INFO, _CONVERT)
    _area_field: AreaField | None = None
    """What the API calls an area's polygon, once it has shown it."""

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
            name: Its name, which the organization has not used for another.
            geometry: What :func:`.polygon_from` takes (GeoJSON, shapely, one row of geopandas in
                any CRS), or a file: GeoJSON, GeoPackage, KML, KMZ, a zipped Shapefile.
            description: A few words about it.

        Keyword Args:
            exist_ok: Return the area of this name if there is one with the same geometry.

        Raises:
            InvalidAreaError: No area can be made of the geometry; nothing was sent.
            AreaOfInterestExistsError: The name is taken; ``existing`` is the area that bears it.
            MissingExtraError: The extra ``geo`` is needed to read this file.
            APIError: The API refused.
            APIConnectionError: The API did not answer. Repeat it with ``exist_ok=True``.
        """
        polygon = geojson_of(self._polygon(geometry))
        fields = {"name": name}
        if description is not None:
            fields["description"] = description
        try:
            return self._created(fields, polygon)
        except ConflictError as conflict:
            existing = self._named(name)
            if exist_ok and existing is not None and same_area(existing.geometry, polygon):
                return existing
            raise _exists(conflict, existing, exist_ok=exist_ok) from conflict

    def get_aoi(self, id: str | AreaOfInterest) -> AreaOfInterest:  # noqa: A002 - the API's own word
        """Return an area of interest, given its id, or as it was, as it is now.

        Raises:
            NotFoundError: There is none of this id.
        """
        return self._told(self._area, "GET", path_of(AREAS, id))

    def list_aois(
        self, limit: int | None = None, sort: str | None = "-created"
    ) -> Iterator[AreaOfInterest]:
        """Return an iterator over the organization's areas of interest, each once.

        Args:
            limit: How many at most; default all.
            sort: ``-created``, the newest first, or ``+created``.
        """
        return self._listed(self._area, AREAS, limit, sort)

    def delete_aoi(self, id: str | AreaOfInterest) -> None:  # noqa: A002 - the API's own word
        """Delete an area of interest (newer API).

        Raises:
            ConflictError: Orders of it are active.
            NotFoundError: There is none of this id.
            APIError: 405, where the API is older than this.
        """
        hints = {
            405: "The older API deletes no areas.",
            409: "An area goes when all of its orders are closed or rejected.",
        }
        self._told(nothing, "DELETE", path_of(AREAS, id), hints=hints)

    def geometry_info(self, geometry: Any) -> GeometryInfo:
        """Return the size of an area as the API measures it; :func:`.measure` does so locally.

        Args:
            geometry: As for :meth:`create_aoi`.

        Raises:
            InvalidAreaError: No area can be made of the geometry; nothing was sent.
            BadRequestError: The API takes it for no area.
        """
        feature = {
            "type": "Feature",
            "properties": {},
            "geometry": geojson_of(self._polygon(geometry)),
        }
        return self._told(partial(parsed, GeometryInfo), "POST", _INFO, json=feature)

    def convert_aoi(self, path: str | os.PathLike[str]) -> AreaOfInterest:
        """Let the API read a KML, a KMZ or a zipped Shapefile (newer API).

        Args:
            path: The file, of 10 MB at most.

        Returns:
            What is in it; it has no id, for nothing is stored.

        Raises:
            InvalidAreaError: It is no such file, or too large; nothing was sent.
            BadRequestError: The API could not read it.
            NotFoundError: The API is older than this endpoint.
            ServerError: The API's converter is down (502).
        """
        upload = upload_of(path)
        return self._told(
            self._area,
            "POST",
            _CONVERT,
            data={"file_format": upload.file_format},
            files={"file": (upload.name, upload.content)},
            hints=dict.fromkeys((404, 405, 502), _WITHOUT_API),
        )

    def products(self) -> list[Product]:
        """Return the products that the organization may order."""
        return self._told(partial(each_of, Product), "GET", "/products")

    def _polygon(self, geometry: Any) -> shapely.Polygon:
        """Return the polygon of a geometry or a file; without ``geo``, the API reads the file."""
        if not is_path(geometry):
            return polygon_from(geometry)
        try:
            return polygon_from(read_area(geometry))
        except MissingExtraError:
            if str(geometry).lower().endswith(".gpkg"):
                raise
            return polygon_from(self.convert_aoi(geometry).geometry)

    def _created(self, fields: Mapping[str, str], polygon: Mapping[str, Any]) -> AreaOfInterest:
        """Send an area in the form that the API knows; where that is open, in one, then the other.

        A 422 says that the form was wrong, and that nothing was created. So does one that asks
        for the other form after all: the API may have got newer meanwhile.
        """
        form = self._area_field or "geometry"
        other: AreaField = "geojson" if form == "geometry" else "geometry"
        is_open = self._area_field is None
        try:
            return self._sent(fields, form, polygon)
        except ValidationError as refusal:
            if not is_open and not _asks_for(other, refusal):
                raise
            try:
                return self._sent(fields, other, polygon)
            except ValidationError as second:
                # Something else was wrong: the API says what in answer to the form it knows.
                raise (second if is_open and _mentions(other, refusal) else refusal) from None

    def _sent(
        self,
        fields: Mapping[str, str],
        form: AreaField,
        polygon: Mapping[str, Any],
    ) -> AreaOfInterest:
        try:
            area = self._told(self._area, "POST", AREAS, json={**fields, form: polygon})
        except ConflictError:
            self._area_field = form  # it was understood
            raise
        self._area_field = form
        return area

    def _area(self, content: Any) -> AreaOfInterest:
        """Return an area that the API answered with, and learn the API's age from it."""
        if isinstance(content, Mapping) and self._area_field is None:
            if "geojson" in content:
                self._area_field = "geojson"
            elif "geometry" in content:
                self._area_field = "geometry"
        return parsed(AreaOfInterest, content)

    def _named(self, name: str) -> AreaOfInterest | None:
        try:
            return next((area for area in self.list_aois() if area.name == name), None)
        except ForbiddenError:
            return None  # to create and to list are two permissions

    def _listed(
        self, read: Callable[[Any], V], path: str, limit: int | None, sort: str | None
    ) -> Iterator[V]:
        if limit is not None and limit < 1:
            return
        size = min(PAGE_SIZE, limit or PAGE_SIZE)
        items = listing(lambda o, n: self._page(path, o, n, sort), page_size=size)
        for item in islice(items, limit):
            with about("GET", self.base_url + path, 200):
                value = read(item)
            yield value

    def _page(self, path: str, offset: int, limit: int, sort: str | None) -> Page:
        params = {"limit": limit, "offset": offset, "sort": sort}
        return self._told(page_from, "GET", path, params=params)


def _exists(
    conflict: APIError, existing: AreaOfInterest | None, *, exist_ok: bool
) -> AreaOfInterestExistsError:
    if existing is None:
        hint = "It is not among the areas that this account may list; choose another name."
    elif exist_ok:
        hint = f"Its geometry ({existing.id}) is another; choose another name."
    else:
        hint = f"Use it ({existing.id}), say exist_ok=True, or choose another name."
    error = AreaOfInterestExistsError(
        f"{conflict.method} {conflict.request_url} answered {conflict.status_code}: "
        f"{conflict.detail}. {hint}",
        status_code=conflict.status_code,
        request_url=conflict.request_url,
    )
    error.method, error.detail = conflict.method, conflict.detail
    error.hint, error.existing = hint, existing
    return error


def _asks_for(field: str, refusal: APIError) -> bool:
    return re.search(rf"(^|; ){field}: ", refusal.detail) is not None


def _mentions(field: str, refusal: APIError) -> bool:
    return re.search(rf"\b{field}\b", refusal.detail) is not None
