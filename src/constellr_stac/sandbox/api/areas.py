"""``/areas-of-interest``: create, get, list, measure; in the newer form also delete."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, Field, RootModel
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from constellr_stac.sandbox.measure import measure
from constellr_stac.sandbox.orders import Area

from .answers import Refused, body_of, path_of
from .auth_guard import guarded
from .convert import convert
from .geojson import AnyArea, Feature, Polygon, polygon_of
from .listing import listed

if TYPE_CHECKING:
    import shapely
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from constellr_stac.sandbox.measure import Measures

    from .auth_guard import World

__all__ = ["routes"]


class _NewArea(BaseModel):
    name: str = Field(min_length=1)
    description: str | None = None


class _OlderArea(_NewArea):
    geometry: Polygon


class _NewerArea(_NewArea):
    geojson: AnyArea


class _OlderShape(RootModel[Annotated[Polygon | Feature, Field(discriminator="type")]]):
    pass


class _NewerShape(RootModel[AnyArea]):
    pass


class _AreaPath(BaseModel):
    area_of_interest_id: UUID


def routes(world: World) -> list[BaseRoute]:
    """Return the routes of areas of interest."""
    endpoints = _Endpoints(world)
    base = "/areas-of-interest"
    one = base + "/{area_of_interest_id}"
    doors = [
        ("POST", base, endpoints.create),
        ("GET", base, endpoints.list_all),
        ("POST", f"{base}/geometry-info", endpoints.geometry_info),
        ("GET", one, endpoints.get),
    ]
    if world.options.newer:
        doors += [("POST", f"{base}/convert", convert), ("DELETE", one, endpoints.delete)]
    return [
        Route(path, guarded(world, "areas", endpoint), methods=[method])
        for method, path, endpoint in doors
    ]


class _Endpoints:
    def __init__(self, world: World) -> None:
        self._world = world
        self._newer = world.options.newer

    async def create(self, request: Request) -> Response:
        field = "geojson" if self._newer else "geometry"
        form: type[_NewArea] = _NewerArea if self._newer else _OlderArea
        asked = await body_of(request, form)
        polygon = polygon_of(getattr(asked, field))
        bookings = self._world.bookings
        area = Area(
            id=str(uuid4()),
            name=asked.name,
            description=asked.description,
            geometry=(await request.json())[field],
            polygon=polygon,
            size=_size(polygon),
            created=bookings.stamp(),
        )
        if not bookings.add_area(area):
            raise Refused(HTTPStatus.CONFLICT, "An Area of Interest with this name already exists.")
        return JSONResponse(area.answer(newer=self._newer), HTTPStatus.CREATED)

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._area(request).answer(newer=self._newer))

    async def list_all(self, request: Request) -> Response:
        return listed(request, self._world.bookings.told_areas())

    async def geometry_info(self, request: Request) -> Response:
        form: type[RootModel[Any]] = _NewerShape if self._newer else _OlderShape
        shape = await body_of(request, form)
        size = _size(polygon_of(shape.root))
        return JSONResponse(
            {
                "bbox_width": round(size.width, 1),
                "bbox_height": round(size.height, 1),
                "area": round(size.area, 1),
            }
        )

    async def delete(self, request: Request) -> Response:
        area = self._area(request)
        if not self._world.bookings.remove_area(area):
            raise Refused(
                HTTPStatus.CONFLICT, "The Area of Interest is used by orders that are active."
            )
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _area(self, request: Request) -> Area:
        area_id = str(path_of(request, _AreaPath).area_of_interest_id)
        area = self._world.bookings.area(area_id)
        if area is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"Area of Interest {area_id} does not exist")
        return area


def _size(polygon: shapely.Polygon) -> Measures:
    size = measure(polygon)
    if not all(map(math.isfinite, size)):  # a quarter of the world from its UTM zone
        problem = "Invalid area of interest: it is too large to be measured"
        raise Refused(HTTPStatus.BAD_REQUEST, problem)
    return size
