"""Tokens are renewed once, sent to the API's origin only, and never shown."""

from __future__ import annotations

import base64
import functools
import json
import logging
import pickle
import threading
import time
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

THREADS = 50


def password_of(sandbox: Sandbox) -> Password:
    """The sandbox account's password."""
    return Password(sandbox.username, sandbox.password)


def auth_of(sandbox: Sandbox) -> ConstellrAuth:
    """An auth object for the sandbox's account."""
    return ConstellrAuth(password_of(sandbox), base_url=sandbox.api_url)


def requests_to(sandbox: Sandbox, path: str) -> list[Exchange]:
    """Return the requests that the sandbox received for a path."""
    return [exchange for exchange in sandbox.requests if exchange.path == path]


def run_together(count: int, call: Callable[[], Any]) -> list[Any]:
    """Call from many threads at the same moment; return results and exceptions."""
    everyone = threading.Barrier(count)

    def one() -> Any:
        everyone.wait(60)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - checked by the test
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(count)]]


def get_products(sandbox: Sandbox, auth: ConstellrAuth) -> requests.Response:
    """GET ``/products``, which requires a credential."""
    return requests.get(sandbox.api_url + "/products", auth=auth, timeout=60)


# Token renewal


def test_missing_token_is_fetched_once(sandbox: Sandbox) -> None:
    """Fifty threads with separate auth objects share one ``POST /token``."""
    answers = run_together(THREADS, lambda: get_products(sandbox, auth_of(sandbox)).status_code)
    assert answers == [200] * THREADS
    assert len(requests_to(sandbox, "/token")) == 1


def test_revoked_token_is_renewed_once(sandbox: Sandbox) -> None:
    """On 401, fifty threads share one renewal and re-send each request once."""
    auth = auth_of(sandbox)
    get_products(sandbox, auth)
    sandbox.revoke_tokens()
    sandbox.clear_requests()
    answers = run_together(THREADS, lambda: get_products(sandbox, auth).status_code)
    assert answers == [200] * THREADS
    assert len(requests_to(sandbox, "/token")) == 1
    statuses = [exchange.status for exchange in requests_to(sandbox, "/products")]
    assert statuses.count(200) == THREADS
    assert statuses.count(401) <= THREADS


def test_repeated_request_has_the_current_token(sandbox: Sandbox) -> None:
    """A token that was replaced while the request waited is not sent again."""
    auth = auth_of(sandbox)
    sandbox.fail(Fault("/products", status=503, headers={"Retry-After": "1"}))
    with api_session(auth) as session, ThreadPoolExecutor() as pool:
        waiting = pool.submit(session.get, sandbox.api_url + "/products")
        while not requests_to(sandbox, "/products"):
            time.sleep(0.01)
        sandbox.revoke_tokens()
        get_products(sandbox, auth)
        assert waiting.result().status_code == 200
    assert [each.status for each in requests_to(sandbox, "/products")] == [503, 401, 200, 200]


def test_prepared_request_is_sent_again_with_a_new_token(sandbox: Sandbox) -> None:
    """After each of several revocations."""
    with requests.Session() as session:
        request = session.prepare_request(
            requests.Request("GET", sandbox.api_url + "/products", auth=auth_of(sandbox))
        )
        for _ in range(4):
            assert session.send(request).status_code == 200
            sandbox.revoke_tokens()


def test_token_is_renewed_before_expiry() -> None:
    """Requests over several token lifetimes never get a 401."""
    with Sandbox(token_lifetime=timedelta(seconds=3)) as sandbox:
        auth = auth_of(sandbox)
        until = datetime.now(UTC) + timedelta(seconds=6.6)
        while datetime.now(UTC) < until:
            time.sleep(0.05)
            assert get_products(sandbox, auth).status_code == 200
        assert {exchange.status for exchange in requests_to(sandbox, "/products")} == {200}
        assert 2 < len(requests_to(sandbox, "/token")) <= 5


def test_second_401_names_the_credential_source(sandbox: Sandbox) -> None:
    """A 401 with a new token raises; the error names the source and not the value."""
    sandbox.fail(Fault("/products", status=401, times=None))
    auth = ConstellrAuth()
    with pytest.raises(AuthenticationError) as caught:
        get_products(sandbox, auth)
    assert len(requests_to(sandbox, "/products")) == 2
    assert len(requests_to(sandbox, "/token")) == 2
    assert caught.value.status_code == 401
    assert caught.value.request_url == sandbox.api_url + "/products"
    assert "CONSTELLR_USERNAME" in str(caught.value)
    assert sandbox.password not in str(caught.value)


def test_wrong_password_is_tried_once(sandbox: Sandbox) -> None:
    """Fifty threads with a wrong password send one token request."""
    auth = ConstellrAuth(Password(sandbox.username, "wrong"), base_url=sandbox.api_url)
    answers = run_together(THREADS, lambda: get_products(sandbox, auth))
    answers += run_together(2, lambda: get_products(sandbox, auth))
    assert {type(answer) for answer in answers} == {AuthenticationError}
    assert "wrong" not in str(answers[0])
    assert answers[0].status_code == 401
    assert [exchange.path for exchange in sandbox.requests] == ["/token"]


def test_body_is_resent_after_401(sandbox: Sandbox) -> None:
    """A POST with a revoked token is re-sent with its complete body."""
    auth = auth_of(sandbox)
    get_products(sandbox, auth)
    sandbox.revoke_tokens()
    answer = requests.post(
        sandbox.api_url + "/stac/search", json={"limit": 3}, auth=auth, timeout=60
    )
    assert len(answer.json()["features"]) == 3
    assert [step.status_code for step in answer.history] == [401]
    assert len({exchange.body for exchange in requests_to(sandbox, "/stac/search")}) == 1


def test_generator_body_is_not_resent(sandbox: Sandbox) -> None:
    """A consumed body raises an error that says to send the request again."""
    auth = auth_of(sandbox)
    auth.token()
    sandbox.revoke_tokens()
    headers = {"Content-Type": "application/json"}

    def search() -> requests.Response:
        pieces = (piece for piece in (b'{"limit"', b": 2}"))
        return requests.post(
            f"{sandbox.api_url}/stac/search", data=pieces, headers=headers, auth=auth, timeout=60
        )

    with pytest.raises(requests.exceptions.UnrewindableBodyError, match="Send the request again"):
        search()
    assert len(search().json()["features"]) == 2
    assert len(requests_to(sandbox, "/stac/search")) == 2


def test_file_body_is_rewound_before_resending(sandbox: Sandbox, tmp_path: Path) -> None:
    """An upload is re-sent from its first byte after a 401."""
    auth = auth_of(sandbox)
    get_products(sandbox, auth)
    sandbox.revoke_tokens()
    body = tmp_path / "search.json"
    body.write_bytes(b'{"limit": 2}')
    with body.open("rb") as file:
        answer = requests.post(
            sandbox.api_url + "/stac/search",
            data=file,
            headers={"Content-Type": "application/json"},
            auth=auth,
            timeout=60,
        )
    assert len(answer.json()["features"]) == 2


def test_revoked_api_key_is_not_retried() -> None:
    """An API key has no token to renew, so a 401 is final."""
    with Sandbox(api_key_mode=True) as sandbox:
        auth = ConstellrAuth(ApiKey(sandbox.api_key), base_url=sandbox.api_url)
        assert get_products(sandbox, auth).status_code == 200
        sandbox.revoke_api_key()
        sandbox.clear_requests()
        with pytest.raises(AuthenticationError, match="given in code"):
            get_products(sandbox, auth)
        assert [exchange.path for exchange in sandbox.requests] == ["/products"]


def test_replaced_api_key_is_read_from_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a 401, the credential sources are searched again."""
    with Sandbox(api_key_mode=True) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        auth = ConstellrAuth()
        assert get_products(sandbox, auth).status_code == 200
        fresh = sandbox.revoke_api_key()
        with pytest.raises(AuthenticationError, match="CONSTELLR_API_KEY"):
            get_products(sandbox, auth)
        monkeypatch.setenv("CONSTELLR_API_KEY", fresh)
        assert get_products(sandbox, auth).status_code == 200


def test_corrected_password_is_read_from_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refused password, the same auth object reads the corrected one."""
    monkeypatch.setenv("CONSTELLR_PASSWORD", "wrong")
    auth = ConstellrAuth()
    with pytest.raises(AuthenticationError, match="CONSTELLR_PASSWORD"):
        get_products(sandbox, auth)
    monkeypatch.setenv("CONSTELLR_PASSWORD", sandbox.password)
    assert get_products(sandbox, auth).status_code == 200


def test_request_modifier_reads_environment_each_time(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the account in the environment affects the next request."""
    stac_io = StacApiIO(request_modifier=constellr_stac.request_modifier)
    stac_io.request(f"{sandbox.api_url}/stac")
    viewer = sandbox.accounts["viewer"]
    monkeypatch.setenv("CONSTELLR_USERNAME", viewer.username)
    monkeypatch.setenv("CONSTELLR_PASSWORD", viewer.password)
    with pytest.raises(pystac_client.exceptions.APIError, match="not authorized"):
        stac_io.request(f"{sandbox.api_url}/stac")


def test_expired_token_is_not_sent(sandbox: Sandbox) -> None:
    """An expired token raises before a request is sent."""
    expired = Token("t0ken", datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(AuthenticationError, match="expired at 2026-01-01"):
        get_products(sandbox, ConstellrAuth(expired, base_url=sandbox.api_url))
    assert sandbox.requests == []


def test_unconfirmed_account_gets_the_servers_message(sandbox: Sandbox) -> None:
    """The server's message reaches the user after one request."""
    unconfirmed = sandbox.accounts["unconfirmed"]
    credential = Password(unconfirmed.username, unconfirmed.password)
    with pytest.raises(AuthenticationError, match=r"(?i)confirm"):
        get_products(sandbox, ConstellrAuth(credential, base_url=sandbox.api_url))
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(("status", "times"), [(503, 2), (429, 1)])
def test_busy_token_endpoint_is_retried(sandbox: Sandbox, status: int, times: int) -> None:
    """503 and 429 from ``/token`` are retried after ``Retry-After``."""
    sandbox.fail(Fault("/token", status=status, times=times, headers={"Retry-After": "0"}))
    assert get_products(sandbox, auth_of(sandbox)).status_code == 200


def test_response_without_token_is_an_error(sandbox: Sandbox) -> None:
    """A 200 from ``/token`` without ``access_token`` raises."""
    sandbox.fail(Fault("/token", status=200, body=b"<html>hello</html>"))
    with pytest.raises(constellr_stac.APIError, match="access_token"):
        get_products(sandbox, auth_of(sandbox))


def test_missing_token_endpoint_suggests_wrong_url(sandbox: Sandbox) -> None:
    """404 and 405 from ``/token`` suggest that the API's URL is wrong."""
    for status in (404, 405):
        sandbox.fail(Fault("/token", status=status))
        with pytest.raises(constellr_stac.APIError, match=r"Is this the API's URL\?"):
            get_products(sandbox, auth_of(sandbox))


@pytest.mark.fails
def test_unreachable_api_is_a_connection_error(sandbox: Sandbox) -> None:
    """The error names the URL; neither it nor its frames hold the password."""
    unreachable = ConstellrAuth(password_of(sandbox), base_url="http://127.0.0.1:9")
    with pytest.raises(APIConnectionError) as caught:
        requests.get("http://127.0.0.1:9/products", auth=unreachable, timeout=60)
    assert "http://127.0.0.1:9/token" in str(caught.value)
    assert getattr(caught.value.__cause__, "request", None) is None
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(trace.format())
    assert "Connection refused" in shown
    assert sandbox.password not in shown
    assert quote_plus(sandbox.password) not in shown


def jwt_token(issued_at: datetime, life: timedelta) -> Token:
    """Make a JWT with ``iat`` and ``exp`` claims."""
    claims = {"iat": issued_at.timestamp(), "exp": (issued_at + life).timestamp()}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return Token(f"e30.{payload}.c2ln")


def test_token_expiry_is_corrected_for_clock_skew() -> None:
    """With a clock that is off by a day, the token's lifetime is still the server's."""
    now = datetime.now(UTC)
    for skew in (timedelta(days=1), timedelta(days=-1), timedelta(seconds=5)):
        server_now = now - skew
        token = Token("t0ken", server_now + timedelta(hours=2))
        timed = _timed(token, format_datetime(server_now)).expires_at
        assert timed is not None
        assert abs(timed - now - timedelta(hours=2)) < timedelta(minutes=1)
        from_claims = _timed(jwt_token(server_now, timedelta(hours=2)), None).expires_at
        assert from_claims is not None
        assert abs(from_claims - now - timedelta(hours=2)) < timedelta(minutes=1)
    opaque = _timed(Token("t0ken"), None).expires_at
    assert opaque is not None
    assert abs(opaque - now - timedelta(hours=24)) < timedelta(minutes=1)


# Origin of the API only


def getter(auth: ConstellrAuth, *, with_session: bool) -> Callable[..., requests.Response]:
    """Return the ``get`` of an API session, or ``requests.get`` with the auth object."""
    return api_session(auth).get if with_session else functools.partial(requests.get, auth=auth)


def credentials_of(sandbox: Sandbox) -> list[ConstellrAuth]:
    """Auth objects with a token and with a key, for the sandbox's origin."""
    return [
        auth_of(sandbox),
        ConstellrAuth(ApiKey("k3y-of-the-workspace"), base_url=sandbox.api_url),
    ]


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_redirect_to_another_origin_drops_credential(
    sandbox: Sandbox, *, with_session: bool
) -> None:
    """The redirect's target receives neither token nor key."""
    with Sandbox() as other:
        for auth in credentials_of(sandbox):
            sandbox.fail(
                Fault("/products", status=307, headers={"Location": other.api_url + "/catch"})
            )
            getter(auth, with_session=with_session)(sandbox.api_url + "/products", timeout=60)
        caught = requests_to(other, "/catch")
        assert len(caught) == 2
        for exchange in caught:
            assert "authorization" not in exchange.headers
            assert "x-api-key" not in exchange.headers


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_other_origin_gets_no_credential(sandbox: Sandbox, *, with_session: bool) -> None:
    """Requests to other hosts, such as an object store, are left unchanged."""
    with Sandbox() as other:
        for auth in credentials_of(sandbox):
            getter(auth, with_session=with_session)(other.s3_url + "/catch", timeout=60)
        assert len(other.requests) == 2
        for exchange in other.requests:
            assert exchange.headers.keys().isdisjoint({"authorization", "x-api-key"})
    assert sandbox.requests == []


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_redirect_after_renewal_drops_credential(sandbox: Sandbox, *, with_session: bool) -> None:
    """A request re-sent after a 401 and then redirected carries no token."""
    auth = auth_of(sandbox)
    get_products(sandbox, auth)
    sandbox.revoke_tokens()
    with Sandbox() as other:
        away = {"Location": other.api_url + "/catch"}
        sandbox.fail(Fault("/products", skip=1, status=307, headers=away))
        getter(auth, with_session=with_session)(sandbox.api_url + "/products", timeout=60)
        [caught] = requests_to(other, "/catch")
        assert "authorization" not in caught.headers
    assert [exchange.status for exchange in requests_to(sandbox, "/products")] == [200, 401, 307]


def test_modifier_sends_no_credential_to_next_link_host(sandbox: Sandbox) -> None:
    """pystac-client follows links to any host; the credential is not sent there."""
    with Sandbox() as other:
        for auth in credentials_of(sandbox):
            modifier = make_request_modifier(auth)
            stac_io = StacApiIO(request_modifier=modifier)
            with pytest.raises(pystac_client.exceptions.APIError):
                stac_io.read_text(other.api_url + "/stac/search")
            left_alone = modifier(requests.Request("GET", other.api_url))
            assert left_alone is not None
            assert left_alone.auth is None  # so that requests can use .netrc for that host
        assert len(other.requests) == 2
        for exchange in other.requests:
            assert "authorization" not in exchange.headers
            assert "x-api-key" not in exchange.headers


@pytest.mark.parametrize("with_session", [False, True], ids=["requests.get", "api_session"])
def test_netrc_does_not_replace_credential(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_session: bool
) -> None:
    """A ``.netrc`` entry for the API's host is not used.

    Where ``requests`` itself adds it after a redirect, the 401 restores the credential.
    """
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login other password 0ther\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    auth = auth_of(sandbox)
    sandbox.fail(Fault("/stac", status=307, headers={"Location": sandbox.api_url + "/products"}))
    answer = getter(auth, with_session=with_session)(sandbox.api_url + "/stac", timeout=60)
    assert answer.status_code == 200
    assert "authorization" not in requests_to(sandbox, "/token")[0].headers
    assert len(requests_to(sandbox, "/token")) == 1
    assert requests_to(sandbox, "/products")[-1].headers["authorization"].startswith("Bearer ")


def test_token_endpoint_redirect_is_not_followed(sandbox: Sandbox) -> None:
    """A 307 would forward the form with the password."""
    with Sandbox() as other:
        sandbox.fail(Fault("/token", status=307, headers={"Location": other.api_url + "/token"}))
        with pytest.raises(constellr_stac.APIError, match="307"):
            get_products(sandbox, auth_of(sandbox))
        assert other.requests == []


@pytest.mark.parametrize("url", ["http://api.constellr.com", "http://192.168.1.2/stac"])
def test_plain_http_is_refused(url: str) -> None:
    """Only loopback addresses may use plain HTTP."""
    with pytest.raises(InsecureURLError, match="https://"):
        ConstellrAuth(ApiKey("k3y"), base_url=url)


def test_missing_credential_sends_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised before a request is sent."""
    monkeypatch.delenv("CONSTELLR_USERNAME")
    with pytest.raises(CredentialsNotFoundError, match="CONSTELLR_USERNAME: not set"):
        get_products(sandbox, ConstellrAuth())
    assert sandbox.requests == []


# Secrets


def test_no_secret_in_logs_reprs_and_pickles(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """DEBUG logs, reprs and pickles contain no password, token or key."""
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
            answer = requests.get(f"{auth.base_url}/products", auth=auth, timeout=60)
            shown += f"{auth!r} {vars(auth)} {answer.request.headers}"
            shown += f"{pickle.dumps(auth)!r} {pickle.dumps(answer)!r}"
        token = auths[0].token()
        assert token is not None
        secrets = [sandbox.password, Secret(token.value).reveal(), keyed.api_key]
    assert "GET" in caplog.text
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in shown


def test_unpickled_auth_searches_for_a_credential(sandbox: Sandbox) -> None:
    """The pickle holds where to search, not the credential."""
    unpickled = pickle.loads(pickle.dumps(auth_of(sandbox)))  # noqa: S301 - pickled on this line
    assert get_products(sandbox, unpickled).status_code == 200
    assert "CONSTELLR_USERNAME" in unpickled.credential.source


def test_pickles_search_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For whose credential it is: a keyring may ask the user. Pickles of one auth are equal."""
    monkeypatch.setenv("CONSTELLR_API_KEY", "first")
    auth = ConstellrAuth(base_url="https://api.example.com")
    first = pickle.dumps(auth)
    monkeypatch.setenv("CONSTELLR_API_KEY", "second")
    assert pickle.dumps(auth) == first
    assert auth.credential == ApiKey("second")
    assert pickle.dumps(auth) != first


def test_request_modifier_with_plain_pystac_client(sandbox: Sandbox) -> None:
    """``request_modifier`` authenticates a plain ``pystac_client.Client``."""
    with pytest.warns(pystac_client.warnings.NoConformsTo):  # the landing page has no conformsTo
        client = pystac_client.Client.open(
            sandbox.api_url + "/stac", request_modifier=constellr_stac.request_modifier
        )
    assert client.id == "constellr-stacapi"
