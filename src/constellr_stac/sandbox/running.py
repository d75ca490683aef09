"""The assembled sandbox. Imported lazily, since it needs the ``sandbox`` extra."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from .access_keys import Keyring
from .accounts import Accounts
from .api import build_api
from .api.auth_guard import Services
from .catalog import Catalogue
from .faults import FaultPlan
from .objects import StoredObject
from .options import Clock
from .order_store import OrderStore
from .scenes import read_scenes
from .server import LoopbackServer
from .signatures import presign
from .store import ObjectStore
from .wire import Middleware

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Literal

    from .exchange import Exchange
    from .options import Options
    from .wire import ASGIApp

__all__ = ["Running"]

_ARCHIVE_ORDER = "a3c1f7d2-0000-4000-8000-15ca1ab1e000"


class Running:
    """Both servers and their state."""

    def __init__(self, folder: Path | None, options: Options, host: str) -> None:
        scenes = read_scenes(folder, newer=options.newer)
        self.options = options
        self.clock = Clock()
        self.request_log: list[Exchange] = []
        self.faults = FaultPlan()
        self.accounts = Accounts(options, self.clock)
        self.keyring = Keyring(self.clock, options.session_lifetime)
        self.catalogue = Catalogue()
        self.order_store = OrderStore(scenes, self.catalogue, options, self.clock)
        self.api_url = self.s3_url = ""  # while it is stopped
        for scene in scenes:
            for key, path in scene.files.items():
                self.catalogue.objects[key] = StoredObject.from_file(key, path)
            if options.delivery is None:
                self.catalogue.add_item(_archived(scene.item) if options.newer else scene.item)
        services = Services(
            options, self.clock, self.accounts, self.catalogue, self.order_store, self._presign
        )
        store = ObjectStore(self.catalogue, self.keyring, self.clock)
        self._api = self._server(build_api(services), "api", host)
        self._store = self._server(store, "store", host)

    def start(self) -> None:
        """Start both servers."""
        self.s3_url = self._store.start()  # first: the API signs URLs of the store
        try:
            self.api_url = self._api.start()
        except BaseException:
            self._store.stop()
            self.s3_url = ""
            raise

    def stop(self) -> None:
        """Stop both servers."""
        self._api.stop()
        self._store.stop()
        self.api_url = self.s3_url = ""

    def _server(self, app: ASGIApp, server: Literal["api", "store"], host: str) -> LoopbackServer:
        wrapped = Middleware(
            app,
            server=server,
            request_log=self.request_log,
            faults=self.faults,
            clock=self.clock,
            latency=self.options.latency,
        )
        return LoopbackServer(wrapped, name=f"constellr-sandbox-{server}", host=host)

    def _presign(self, href: str) -> str:
        path = quote(href.removeprefix("s3://"), safe="/-_.~")
        url = f"{self.s3_url}/{path}"
        return presign(url, self.keyring.server, self.options.url_lifetime, self.clock.now())


def _archived(item: dict[str, Any]) -> dict[str, Any]:
    """Return the item as delivered for an earlier order."""
    return {**item, "properties": {**item["properties"], "order:id": _ARCHIVE_ORDER}}
