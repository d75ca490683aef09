"""One token at the right moment, for the API's origin only, shown nowhere."""

from __future__ import annotations

import base64
import functools
import json
import logging
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pystac_client
import pytest
import requests
from pystac_client.stac_api_io import StacApiIO

import constellr_stac
from constellr_stac import (
    APIConnectionError,
    ApiKey,
    AuthenticationError,
    ConstellrAuth,
    CredentialsNotFoundError,
    InsecureURLError,
    Password,
    Token,
    make_request_modifier,
)
from constellr_stac.auth.credentials import Secret
from constellr_stac.auth.session import api_session
from constellr_stac.auth.token import _timed
from constellr_stac.sandbox import Exchange, Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLENTY = 50


def password_of(sandbox: Sandbox) -> Password:
    """The account's password."""
    return Password(sandbox.username, sandbox.password)


def auth_of(sandbox: Sandbox) -> ConstellrAuth:
    """An auth object for the sandbox's account."""
    return ConstellrAuth(password_of(sandbox), base_url=sandbox.api_url)


def sent(sandbox: Sandbox, path: str) -> list[Exchange]:
    """What arrived at a path of the sandbox."""
    return [exchange for exchange in sandbox.requests if exchange.path == path]


def together(count: int, call: Callable[[], Any]) -> list[Any]:
    """Call from many threads at the same moment; return answers and errors."""
    everyone = threading.Barrier(count)

    def one() -> Any:
        everyone.wait(10)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(count)]]


def products(sandbox: Sandbox, auth: ConstellrAuth) -> requests.Response:
    """Ask for something that needs a credential."""
    return requests.get(sandbox.api_url + "/products", auth=auth, timeout=10)


# One token, at the right moment


def test_fifty_threads_without_a_token_ask_for_one(sandbox: Sandbox) -> None:
    """A missing token is one ``POST /token``, also for auth objects made apart."""
    answers = together(PLENTY, lambda: products(sandbox, auth_of(sandbox)).status_code)
    assert answers == [200] * PLENTY
    assert len(sent(sandbox, "/token")) == 1


def test_fifty_threads_on_a_revoked_token_ask_for_one(sandbox: Sandbox) -> None:
    """A 401 renews the token once, and sends each request a second time, not a third."""
    auth = auth_of(sandbox)
    products(sandbox, auth)
    sandbox.revoke_tokens()
    sandbox.clear_requests()
    answers = together(PLENTY, lambda: products(sandbox, auth).status_code)
    assert answers == [200] * PLENTY
    assert len(sent(sandbox, "/token")) == 1
    statuses = [exchange.status for exchange in sent(sandbox, "/products")]
    assert statuses.count(200) == PLENTY
    assert statuses.count(401) <= PLENTY


def test_a_token_is_renewed_before_it_ends() -> None:
    """Requests that go on for longer than a token lives never meet a 401."""
    with Sandbox(token_lifetime=timedelta(seconds=1)) as sandbox:
        auth = auth_of(sandbox)
        until = datetime.now(UTC) + timedelta(seconds=2.2)
        while datetime.now(UTC) < until:
            assert products(sandbox, auth).status_code == 200
        assert {exchange.status for exchange in sent(sandbox, "/products")} == {200}
        assert 2 < len(sent(sandbox, "/token")) <= 5


def test_a_second_401_names_the_source_and_not_the_value(sandbox: Sandbox) -> None:
    """What a new token does not help is an error; it says where the credential came from."""
    sandbox.fail(Fault("/products", status=401, times=None))
    auth = ConstellrAuth()
    with pytest.raises(AuthenticationError) as caught:
        products(sandbox, auth)
    assert len(sent(sandbox, "/products")) == 2
    assert len(sent(sandbox, "/token")) == 2
    assert caught.value.status_code == 401
    assert caught.value.request_url == sandbox.api_url + "/products"
    assert "CONSTELLR_USERNAME" in str(caught.value)
    assert sandbox.password not in str(caught.value)


def test_a_wrong_password_is_tried_once(sandbox: Sandbox) -> None:
    """Many tasks with a wrong password do not lock the account."""
    auth = ConstellrAuth(Password(sandbox.username, "wrong"), base_url=sandbox.api_url)
    answers = together(PLENTY, lambda: products(sandbox, auth))
    answers += together(2, lambda: products(sandbox, auth))
    assert {type(answer) for answer in answers} == {AuthenticationError}
    assert "wrong" not in str(answers[0])
    assert answers[0].status_code == 401
    assert [exchange.path for exchange in sandbox.requests] == ["/token"]


def test_the_body_of_a_request_is_sent_again_whole(sandbox: Sandbox) -> None:
    """A POST that met a revoked token arrives complete with the new one."""
    auth = auth_of(sandbox)
    products(sandbox, auth)
    sandbox.revoke_tokens()
    answer = requests.post(
        sandbox.api_url + "/stac/search", json={"limit": 3}, auth=auth, timeout=10
    )
    assert len(answer.json()["features"]) == 3
    assert [step.status_code for step in answer.history] == [401]
    assert len({exchange.body for exchange in sent(sandbox, "/stac/search")}) == 1


def test_a_body_that_is_used_up_is_not_sent_again_empty(sandbox: Sandbox) -> None:
    """What was given piece by piece is gone: the caller hears of it, and can send it again."""
    auth = auth_of(sandbox)
    auth.token()
    sandbox.revoke_tokens()
    headers = {"Content-Type": "application/json"}

    def search() -> requests.Response:
        pieces = (piece for piece in (b'{"limit"', b": 2}"))
        return requests.post(
            f"{sandbox.api_url}/stac/search", data=pieces, headers=headers, auth=auth, timeout=10
        )

    with pytest.raises(requests.exceptions.UnrewindableBodyError, match="Send the request again"):
        search()
    assert len(search().json()["features"]) == 2
    assert len(sent(sandbox, "/stac/search")) == 2


def test_a_file_as_a_body_is_sent_again_from_its_beginning(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """An upload is rewound before it is sent a second time."""
    auth = auth_of(sandbox)
    products(sandbox, auth)
    sandbox.revoke_tokens()
    body = tmp_path / "search.json"
    body.write_bytes(b'{"limit": 2}')
    with body.open("rb") as file:
        answer = requests.post(
            sandbox.api_url + "/stac/search",
            data=file,
            headers={"Content-Type": "application/json"},
            auth=auth,
            timeout=10,
        )
    assert len(answer.json()["features"]) == 2


def test_an_api_key_is_sent_and_a_revoked_one_is_refused_once() -> None:
    """A key has no token to renew: its 401 is the end."""
    with Sandbox(api_key_mode=True) as sandbox:
        auth = ConstellrAuth(ApiKey(sandbox.api_key), base_url=sandbox.api_url)
        assert products(sandbox, auth).status_code == 200
        sandbox.revoke_api_key()
        sandbox.clear_requests()
        with pytest.raises(AuthenticationError, match="given in code"):
            products(sandbox, auth)
        assert [exchange.path for exchange in sandbox.requests] == ["/products"]


def test_a_key_that_was_replaced_in_the_environment_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a 401 a credential that was found is looked for again."""
    with Sandbox(api_key_mode=True) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        auth = ConstellrAuth()
        assert products(sandbox, auth).status_code == 200
        fresh = sandbox.revoke_api_key()
        with pytest.raises(AuthenticationError, match="CONSTELLR_API_KEY"):
            products(sandbox, auth)
        monkeypatch.setenv("CONSTELLR_API_KEY", fresh)
        assert products(sandbox, auth).status_code == 200


def test_a_corrected_password_is_noticed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused password was looked up: with the right one in its place, the same auth works."""
    monkeypatch.setenv("CONSTELLR_PASSWORD", "wrong")
    auth = ConstellrAuth()
    with pytest.raises(AuthenticationError, match="CONSTELLR_PASSWORD"):
        products(sandbox, auth)
    monkeypatch.setenv("CONSTELLR_PASSWORD", sandbox.password)
    assert products(sandbox, auth).status_code == 200


def test_the_modules_own_modifier_reads_the_environment_each_time(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another account in the environment is the one whose next request it is."""
    stac_io = StacApiIO(request_modifier=constellr_stac.request_modifier)
    stac_io.request(f"{sandbox.api_url}/stac")
    viewer = sandbox.accounts["viewer"]
    monkeypatch.setenv("CONSTELLR_USERNAME", viewer.username)
    monkeypatch.setenv("CONSTELLR_PASSWORD", viewer.password)
    with pytest.raises(pystac_client.exceptions.APIError, match="not authorized"):
        stac_io.request(f"{sandbox.api_url}/stac")


def test_an_ended_token_is_not_sent(sandbox: Sandbox) -> None:
    """A token that cannot renew itself says that it has ended."""
    ended = Token("t0ken", datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(AuthenticationError, match="expired at 2026-01-01"):
        products(sandbox, ConstellrAuth(ended, base_url=sandbox.api_url))
    assert sandbox.requests == []


def test_an_account_without_a_confirmed_address_is_told_so(sandbox: Sandbox) -> None:
    """The server's own words reach the user, after one request."""
    unconfirmed = sandbox.accounts["unconfirmed"]
    credential = Password(unconfirmed.username, unconfirmed.password)
    with pytest.raises(AuthenticationError, match=r"(?i)confirm"):
        products(sandbox, ConstellrAuth(credential, base_url=sandbox.api_url))
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(("status", "times"), [(503, 2), (429, 1)])
def test_a_busy_token_endpoint_is_asked_again(sandbox: Sandbox, status: int, times: int) -> None:
    """A server that says "later" is taken at its word."""
    sandbox.fail(Fault("/token", status=status, times=times, headers={"Retry-After": "0"}))
    assert products(sandbox, auth_of(sandbox)).status_code == 200


def test_an_answer_without_a_token_is_an_error(sandbox: Sandbox) -> None:
    """What is no API of ours is not taken for one."""
    sandbox.fail(Fault("/token", status=200, body=b"<html>hello</html>"))
    with pytest.raises(constellr_stac.APIError, match="access_token"):
        products(sandbox, auth_of(sandbox))


def test_another_server_is_told_from_a_missing_order(sandbox: Sandbox) -> None:
    """Where nobody gives tokens, the URL is what has to be looked at."""
    for status in (404, 405):
        sandbox.fail(Fault("/token", status=status))
        with pytest.raises(constellr_stac.APIError, match=r"Is this the API's URL\?"):
            products(sandbox, auth_of(sandbox))


def test_an_api_that_is_not_there_is_a_connection_error(sandbox: Sandbox) -> None:
    """A refused connection names the URL and carries no password along, not in a frame either."""
    gone = ConstellrAuth(password_of(sandbox), base_url="http://127.0.0.1:9")
    with pytest.raises(APIConnectionError) as caught:
        requests.get("http://127.0.0.1:9/products", auth=gone, timeout=10)
    assert "http://127.0.0.1:9/token" in str(caught.value)
    assert getattr(caught.value.__cause__, "request", None) is None
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(trace.format())
    assert "Connection refused" in shown
    assert sandbox.password not in shown
    assert quote_plus(sandbox.password) not in shown


def jwt(issued_at: datetime, life: timedelta) -> Token:
    """A token that says itself when it was issued and when it ends."""
    claims = {"iat": issued_at.timestamp(), "exp": (issued_at + life).timestamp()}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return Token(f"e30.{payload}.c2ln")


def test_a_tokens_end_is_put_on_this_machines_clock() -> None:
    """With a clock a day ahead or behind, a token still lives as long as the server says."""
    now = datetime.now(UTC)
    for skew in (timedelta(days=1), timedelta(days=-1), timedelta(seconds=5)):
        server_now = now - skew
        token = Token("t0ken", server_now + timedelta(hours=2))
        timed = _timed(token, format_datetime(server_now)).expires_at
        assert timed is not None
        assert abs(timed - now - timedelta(hours=2)) < timedelta(seconds=10)
        its_own = _timed(jwt(server_now, timedelta(hours=2)), None).expires_at
        assert its_own is not None
        assert abs(its_own - now - timedelta(hours=2)) < timedelta(seconds=10)
    opaque = _timed(Token("t0ken"), None).expires_at
    assert opaque is not None
    assert abs(opaque - now - timedelta(hours=24)) < timedelta(seconds=10)


# To the API's origin and nowhere else


def getting(auth: ConstellrAuth, *, with_session: bool) -> Callable[..., requests.Response]:
    """GET with an auth object: by a session of ours, or by ``requests`` itself."""
    return api_session(auth).get if with_session else functools.partial(requests.get, auth=auth)


def credentials_of(sandbox: Sandbox) -> list[ConstellrAuth]:
    """A token and a key, for the sandbox's origin."""
    return [
        auth_of(sandbox),
        ConstellrAuth(ApiKey("k3y-of-the-workspace"), base_url=sandbox.api_url),
    ]


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_no_credential_crosses_a_redirect_to_another_origin(
    sandbox: Sandbox, *, with_session: bool
) -> None:
    """Neither a token nor a key arrives at the host that a redirect names."""
    with Sandbox() as stranger:
        for auth in credentials_of(sandbox):
            sandbox.fail(
                Fault("/products", status=307, headers={"Location": stranger.api_url + "/catch"})
            )
            getting(auth, with_session=with_session)(sandbox.api_url + "/products", timeout=10)
        caught = sent(stranger, "/catch")
        assert len(caught) == 2
        for exchange in caught:
            assert "authorization" not in exchange.headers
            assert "x-api-key" not in exchange.headers


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_no_credential_goes_to_another_origin(sandbox: Sandbox, *, with_session: bool) -> None:
    """An auth object adds nothing to a request that goes elsewhere, an object store say."""
    with Sandbox() as stranger:
        for auth in credentials_of(sandbox):
            getting(auth, with_session=with_session)(stranger.s3_url + "/catch", timeout=10)
        assert len(stranger.requests) == 2
        for exchange in stranger.requests:
            assert exchange.headers.keys().isdisjoint({"authorization", "x-api-key"})
    assert sandbox.requests == []


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_no_credential_crosses_a_redirect_after_a_renewal(
    sandbox: Sandbox, *, with_session: bool
) -> None:
    """Where a request that was sent again is redirected away, neither token follows."""
    auth = auth_of(sandbox)
    products(sandbox, auth)
    sandbox.revoke_tokens()
    with Sandbox() as stranger:
        away = {"Location": stranger.api_url + "/catch"}
        sandbox.fail(Fault("/products", skip=1, status=307, headers=away))
        getting(auth, with_session=with_session)(sandbox.api_url + "/products", timeout=10)
        [caught] = sent(stranger, "/catch")
        assert "authorization" not in caught.headers
    assert [exchange.status for exchange in sent(sandbox, "/products")] == [200, 401, 307]


def test_a_modifier_gives_nothing_to_the_host_of_a_next_link(sandbox: Sandbox) -> None:
    """pystac-client follows links to any host; the credential stays behind."""
    with Sandbox() as stranger:
        for auth in credentials_of(sandbox):
            modifier = make_request_modifier(auth)
            stac_io = StacApiIO(request_modifier=modifier)
            with pytest.raises(pystac_client.exceptions.APIError):
                stac_io.read_text(stranger.api_url + "/stac/search")
            left_alone = modifier(requests.Request("GET", stranger.api_url))
            assert left_alone is not None
            assert left_alone.auth is None  # or what .netrc has for that host would not be sent
        assert len(stranger.requests) == 2
        for exchange in stranger.requests:
            assert "authorization" not in exchange.headers
            assert "x-api-key" not in exchange.headers


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_netrc_does_not_displace_the_credential(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_session: bool
) -> None:
    """An entry for the API's host displaces nothing.

    Where ``requests`` itself puts it in after a redirect, a 401 brings the credential back.
    """
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login other password 0ther\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    auth = auth_of(sandbox)
    sandbox.fail(Fault("/stac", status=307, headers={"Location": sandbox.api_url + "/products"}))
    answer = getting(auth, with_session=with_session)(sandbox.api_url + "/stac", timeout=10)
    assert answer.status_code == 200
    assert "authorization" not in sent(sandbox, "/token")[0].headers
    assert len(sent(sandbox, "/token")) == 1
    assert sent(sandbox, "/products")[-1].headers["authorization"].startswith("Bearer ")


def test_the_password_does_not_follow_a_redirect_of_the_token_endpoint(sandbox: Sandbox) -> None:
    """A 307 would carry the form along; it is not followed."""
    with Sandbox() as stranger:
        sandbox.fail(Fault("/token", status=307, headers={"Location": stranger.api_url + "/token"}))
        with pytest.raises(constellr_stac.APIError, match="307"):
            products(sandbox, auth_of(sandbox))
        assert stranger.requests == []


@pytest.mark.parametrize("url", ["http://api.constellr.com", "http://192.168.1.2/stac"])
def test_plain_http_is_refused_before_anything_is_sent(url: str) -> None:
    """Only this machine may be talked to in the clear."""
    with pytest.raises(InsecureURLError, match="https://"):
        ConstellrAuth(ApiKey("k3y"), base_url=url)


def test_without_a_credential_nothing_is_sent(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes before the request."""
    monkeypatch.delenv("CONSTELLR_USERNAME")
    with pytest.raises(CredentialsNotFoundError, match="CONSTELLR_USERNAME: not set"):
        products(sandbox, ConstellrAuth())
    assert sandbox.requests == []


# Shown nowhere


def test_no_secret_is_logged_shown_or_pickled(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """DEBUG logs of everyone, reprs and pickles are free of password, token and key."""
    caplog.set_level(logging.DEBUG)
    with Sandbox(api_key_mode=True) as keyed:
        auths = [
            auth_of(sandbox),
            ConstellrAuth(ApiKey(keyed.api_key), base_url=keyed.api_url),
        ]
        shown = ""
        for auth in auths:
            stac_io = StacApiIO(request_modifier=make_request_modifier(auth))
            stac_io.request(f"{auth.base_url}/stac")
            answer = requests.get(f"{auth.base_url}/products", auth=auth, timeout=10)
            shown += f"{auth!r} {vars(auth)} {answer.request.headers}"
            shown += f"{pickle.dumps(auth)!r} {pickle.dumps(answer)!r}"
        token = auths[0].token()
        assert token is not None
        secrets = [sandbox.password, Secret(token.value).reveal(), keyed.api_key]
    assert "GET" in caplog.text
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in shown


def test_an_unpickled_auth_finds_a_credential_where_it_is(sandbox: Sandbox) -> None:
    """What travels is where to look, not what was found."""
    travelled = pickle.loads(pickle.dumps(auth_of(sandbox)))  # noqa: S301 - made here
    assert products(sandbox, travelled).status_code == 200
    assert "CONSTELLR_USERNAME" in travelled.credential.source


def test_the_modifier_works_with_plain_pystac_client(sandbox: Sandbox) -> None:
    """The module's own modifier authenticates a client that nobody else touched."""
    with pytest.warns(pystac_client.warnings.NoConformsTo):  # the documented landing page
        client = pystac_client.Client.open(
            sandbox.api_url + "/stac", request_modifier=constellr_stac.request_modifier
        )
    assert client.id == "constellr-stacapi"
