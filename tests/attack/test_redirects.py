"""Redirects and links: no credential leaves the API's origin, whatever a server answers."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING

from constellr_stac import ApiKey, Password, Token, open_client
from constellr_stac.errors import ConstellrError
from replaying import Replayed, replaying

if TYPE_CHECKING:
    from constellr_stac.auth.credentials import Credential

STATUSES = (301, 302, 303, 307, 308, 300, 305)
PATHS = ("/stac", "/stac/search", "/stac/collections", "/stac/collections/c", "/token")
SECRETS = ("key-4711", "token-4711", "password-4711")
CREDENTIALS: tuple[Credential, ...] = (
    ApiKey("key-4711"),
    Token("token-4711"),
    Password("user", "password-4711"),
)


def _forms(foreign: str) -> list[str]:
    """Return ways to write the URL of another origin."""
    host = foreign.removeprefix("http://")
    return [
        f"{foreign}/stac",
        f"//{host}/stac",
        f"HTTP://{host.upper()}/stac",
        f"http://localhost:{host.partition(':')[2]}/stac",
        f"http://user:pass@{host}/stac",
        f"http://api.constellr.com@{host}/stac",
        f"\\\\{host}\\stac",
        f"/\\{host}/stac",
        f" {foreign}/stac",
        f"http:\\\\{host}/stac",
        f"{foreign}#@api.constellr.com/stac",
        f"{foreign}/stac/../stac",
    ]


def test_no_credential_leaves_the_origin(attack: bool) -> None:  # noqa: FBT001 - a fixture
    """Neither a redirect nor a next link carries a credential to another origin."""
    landing = {
        "type": "Catalog",
        "id": "a",
        "stac_version": "1.0.0",
        "description": "",
        "links": [],
        "conformsTo": [],
    }
    tried = 0
    with replaying() as api, replaying() as foreign:
        foreign.answers["/stac"] = Replayed(json.dumps(landing).encode())
        forms = itertools.product(PATHS, STATUSES, _forms(foreign.url), CREDENTIALS)
        for number, (path, status, form, credential) in enumerate(forms):
            if number % (1 if attack else 23):
                continue
            tried += 1
            next_link = {"rel": "next", "href": form, "method": "POST", "headers": {"a": "b"}}
            page = {"features": [], "collections": [], "links": [next_link]}
            api.answers.clear()
            api.answers["/stac"] = Replayed(json.dumps(landing).encode())
            api.answers["/token"] = Replayed(b'{"access_token": "token-4711"}')
            for each in ("/stac/search", "/stac/collections"):
                api.answers[each] = Replayed(json.dumps(page).encode())
            api.answers[path] = Replayed(b"", status, {"Location": form})
            for use in ("search", "get_collections"):
                with contextlib.suppress(ConstellrError):
                    client = open_client(api.url, auth=credential)
                    found = getattr(client, use)()
                    list(found.items() if use == "search" else found)
        sent = json.dumps(foreign.seen)
    assert tried > (1000 if attack else 40)
    assert not any(secret in sent for secret in SECRETS)
    print(f"{tried} redirect and link forms, {len(foreign.seen)} requests to the other origin")  # noqa: T201
