"""``/areas-of-interest``: create, get, list, measure; in the newer API also delete."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, Field, RootModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from constellr_stac.sandbox.measure import measure
from constellr_stac.sandbox.orders import Area

from .answers import body_of, listed, path_of
from .convert import convert
from .geojson import AnyArea, Feature, Polygon, polygon_of

if TYPE_CHECKING:
    import shapely
    from starlette.requests import Request

    from constellr_stac.sandbox.measure import Measures

    from .auth_guard import Endpoints, Services

__all__ = ["endpoints"]


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


def endpoints(services: Services) -> Endpoints:
    """Return the endpoints of areas of interest."""
    area = _Endpoints(services)
    base = "/areas-of-interest"
    one = base + "/{area_of_interest_id}"
    found: Endpoints = [
        ("POST", base, area.create),
        ("GET", base, area.list_all),
        ("POST", f"{base}/geometry-info", area.geometry_info),
        ("GET", one, area.get),
    ]
    if services.options.newer:
        found += [("POST", f"{base}/convert", convert), ("DELETE", one, area.delete)]
    return found


class _Endpoints:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._newer = services.options.newer

    async def create(self, request: Request) -> Response:
        field = "geojson" if self._newer else "geometry"
        form: type[_NewArea] = _NewerArea if self._newer else _OlderArea
        body = await body_of(request, form)
        polygon = polygon_of(getattr(body, field))
        order_store = self._services.order_store
        area = Area(
            id=str(uuid4()),
            name=body.name,
            description=body.description,
            geometry=(await request.json())[field],
            polygon=polygon,
            size=_size(polygon),
            created=order_store.stamp(),
        )
        if not order_store.add_area(area):
            raise HTTPException(409, "An Area of Interest with this name already exists.")
        return JSONResponse(area.answer(newer=self._newer), 201)

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._area(request).answer(newer=self._newer))

    async def list_all(self, request: Request) -> Response:
        return listed(request, self._services.order_store.list_areas())

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
        if not self._services.order_store.remove_area(area):
            raise HTTPException(409, "The Area of Interest is used by active orders.")
        return Response(status_code=204)

    def _area(self, request: Request) -> Area:
        area_id = str(path_of(request, _AreaPath).area_of_interest_id)
        area = self._services.order_store.areas.get(area_id)
        if area is None:
            raise HTTPException(404, f"Area of Interest {area_id} does not exist")
        return area


def _size(polygon: shapely.Polygon) -> Measures:
    size = measure(polygon)
    if not all(map(math.isfinite, size)):  # far from its UTM zone
        raise HTTPException(400, "Invalid area of interest: too large to be measured")
    return size
