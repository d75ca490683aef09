"""Secrets: what errors keep, what objects show, and what a server repeats."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

import constellr_stac
from constellr_stac import ApiKey, ConstellrAuth, Password, Signer, open_client
from constellr_stac.sandbox import Fault, Sandbox
from kept_frames import frames_with
from stored_files import when

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2+and/more"
FAULTS: dict[str, dict[str, Any]] = {
    "refused": {"status": 401, "body": b'{"detail": "no"}'},
    "reset": {"kind": "reset"},
    "echoed": {"status": 422, "body": b'{"detail": "hunter2+and/more hunter2%2Band%2Fmore"}'},
    "broken": {"status": 500, "body": b"hunter2+and/more"},
    "no token": {"status": 200, "body": b'{"access_token": 5, "you": "hunter2+and/more"}'},
}


def _kept(call: Callable[[], object], secret: str) -> list[str]:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        call()
    assert secret not in str(caught.value)
    forms = {secret, quote_plus(secret)}  # a form of POST /token is percent-encoded
    return [each for form in forms for each in frames_with(caught.value, form)]


@pytest.mark.fails
@pytest.mark.parametrize(
    ("credential", "name"),
    [
        *((Password("u", SECRET), name) for name in FAULTS),
        # An answer that is no error may hold what it likes, a key as well.
        *((ApiKey(SECRET), name) for name in FAULTS if name != "no token"),
    ],
)
def test_errors_keep_no_credential(name: str, credential: Any) -> None:
    """No frame of an error, and no message, holds a password or a key."""
    password = isinstance(credential, Password)
    with Sandbox(api_key_mode=not password) as sandbox:
        sandbox.fail(Fault("/token" if password else "/stac", times=None, **FAULTS[name]))
        assert not _kept(lambda: open_client(sandbox.api_url, auth=credential), SECRET)


def test_an_interrupted_token_request_keeps_no_password() -> None:
    """A signal during POST /token leaves no form in a frame."""
    with Sandbox() as sandbox:
        sandbox.fail(Fault("/token", kind="stall", seconds=120))

        def interrupt() -> None:
            with when(lambda: sandbox.requests, lambda: os.kill(os.getpid(), signal.SIGINT)):
                open_client(sandbox.api_url, auth=Password("u", SECRET))

        assert not _kept(interrupt, SECRET)


@pytest.mark.fails
def test_errors_keep_no_signed_url(sandbox: Sandbox) -> None:
    """No frame of an error about an asset holds its signature."""
    [item] = open_client().search(max_items=1).items()
    for fault in ({"status": 404}, {"kind": "reset"}, {"status": 200, "body": b"<VRTDataset/>"}):
        sandbox.clear_faults()
        sandbox.fail(Fault("lst.tiff", server="store", times=None, **fault))
        cube = lambda: constellr_stac.load([item], ["lst"]).lst.values  # noqa: E731
        assert not _kept(cube, "X-Amz-Signature")


def test_objects_show_no_secret() -> None:
    """Neither the repr nor vars() of an auth shows a secret; half-made objects have a repr."""
    auth = ConstellrAuth(Password("u", SECRET))
    assert SECRET not in repr((auth, vars(auth), [vars(each) for each in (auth._explicit,)]))
    for kind in (ConstellrAuth, Signer, ApiKey, Password):
        assert kind.__name__ in repr(kind.__new__(kind))
