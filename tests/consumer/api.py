"""A program that uses every public name as people do; mypy reads it, and nobody runs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import odc.stac
import pystac
import pystac_client
import requests
import xarray as xr

import constellr_stac
from constellr_stac import orders, sandbox

if TYPE_CHECKING:
    from odc.loader.types import ReaderDriver
    from stackstac.reader_protocol import Reader

    from constellr_stac.accessor import ConstellrAccessor


def credentials() -> constellr_stac.ConstellrAuth:
    key = constellr_stac.ApiKey("key")
    account = constellr_stac.Password("me", "secret")
    token = constellr_stac.Token("token", expires_at=datetime.now(UTC) + timedelta(hours=1))
    for credential in (key, account, token, constellr_stac.default_credential()):
        constellr_stac.ConstellrAuth(credential, base_url="https://api.constellr.com")
    auth = constellr_stac.ConstellrAuth()
    requests.get("https://api.constellr.com/products", auth=auth, timeout=10)
    return auth


def search(auth: constellr_stac.ConstellrAuth) -> pystac.ItemCollection:
    pystac_client.Client.open(
        "https://api.constellr.com/stac",
        request_modifier=constellr_stac.request_modifier,
        modifier=constellr_stac.sign_inplace,
    )
    pystac_client.Client.open(
        "https://api.constellr.com/stac",
        request_modifier=constellr_stac.make_request_modifier(auth),
    )
    client = constellr_stac.open_client(auth=auth, sign=True)
    return client.search(collections=["lstprecision"]).item_collection()


def sign(items: pystac.ItemCollection, item: pystac.Item, search: pystac_client.ItemSearch) -> None:
    assert_type(constellr_stac.sign(items), pystac.ItemCollection)
    assert_type(constellr_stac.sign(item, copy=False), pystac.Item)
    assert_type(constellr_stac.sign("s3://bucket/lst.tiff"), str)
    assert_type(constellr_stac.sign(search), pystac.ItemCollection)
    constellr_stac.sign_inplace(item)
    assert_type(constellr_stac.Signer(expires_in=timedelta(minutes=5)).sign(item), pystac.Item)


def rejected(items: pystac.ItemCollection) -> None:
    """A type checker rejects misspelt arguments and choices; an unused ignore is an error."""
    constellr_stac.load(items, maks="clear")  # type: ignore[call-overload]
    constellr_stac.load(items, mask="claer")  # type: ignore[arg-type]
    constellr_stac.load(items, units="F")  # type: ignore[call-overload]
    constellr_stac.load(items, engine="gdal")  # type: ignore[call-overload]
    constellr_stac.load(items, resampling="closest")  # type: ignore[call-overload]
    constellr_stac.explain(items, unit="K")  # type: ignore[call-arg]


def cube(items: pystac.ItemCollection) -> xr.Dataset:
    whole = constellr_stac.describe(items)
    assert_type(whole.items, pystac.ItemCollection)
    assert_type(constellr_stac.load(items, bands=["lst"], engine="stackstac"), xr.Dataset)
    odc.stac.load(items, driver="constellr_stac.OdcDriver")
    driver: ReaderDriver = constellr_stac.OdcDriver()
    reader: type[Reader] = constellr_stac.StackstacReader
    ds = constellr_stac.load(items, "lst", mask="clear", units="degC", crs="utm", resolution=30)
    print(constellr_stac.explain(ds), driver, reader)
    return ds


def analyze(ds: xr.Dataset, items: pystac.ItemCollection) -> None:
    """Xarray types ``ds.constellr`` as Any; naming its class gives a type checker its methods."""
    cube: ConstellrAccessor = ds.constellr
    assert_type(cube.celsius, xr.Dataset)
    assert_type(cube.timeseries("POINT (8.1 49.1)", statistic="mean"), xr.Dataset)
    assert_type(cube.zonal("districts.gpkg", statistics=["mean", "p90"]), xr.Dataset)
    assert_type(cube.composite("month"), xr.Dataset)
    assert_type(cube.to_geotiff("maps"), list[Path])
    cube.zonal("districts.gpkg", weight=True)  # type: ignore[call-arg]
    constellr_stac.load(items, groupby=lambda item: item.id)
    constellr_stac.load(items, geopolygon="area.gpkg", clip=True)
    table = constellr_stac.scenes(items, area="area.gpkg")
    constellr_stac.load(table[table.daytime], ["lst"])
    constellr_stac.download(table.iloc[0], "scenes")


def order() -> list[orders.Order]:
    try:
        with orders.OrdersClient() as client:
            return client.create(
                [{"area_of_interest_id": "id", "product_name": "LSTprecision"}], use_case="heat"
            )
    except constellr_stac.OrderValidationError as error:
        assert_type(error.status_code, int | None)
        raise
    except constellr_stac.errors.APIError as error:
        assert_type(error.request_url, str | None)
        raise


def rehearse() -> dict[str, str]:
    with sandbox.Sandbox(latency=0.01) as here:
        return here.environment()
