"""Logging in at AIStore's authentication server."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from asyncbatch import AuthenticationError, RemoteError, UsageError
from asyncbatch.aistore import login
from asyncbatch.transport import RetryPolicy

from ..support.wire import WireServer, redirect, reply

pytestmark = pytest.mark.anyio

GRANTED = reply(200, b'{"token": "granted"}', Content_Type="application/json")


async def test_a_token_is_granted() -> None:
    async with WireServer(GRANTED, GRANTED) as server:
        assert await login(server.url, "al ice", "pässword") == "granted"
        assert await login(server.url, "alice", "password", expires_in=1.5) == "granted"
    first, second = server.asked
    assert (first.method, first.target) == ("POST", "/v1/users/al%20ice")
    assert first.headers["content-type"] == "application/json"
    assert "authorization" not in first.headers
    assert json.loads(first.body) == {"password": "pässword"}
    assert json.loads(second.body) == {"password": "password", "expires_in": 1_500_000_000}


async def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIS_AUTHN_URL", raising=False)
    with pytest.raises(UsageError, match="AIS_AUTHN_URL"):
        await login(None, "alice", "password")
    async with WireServer(GRANTED) as server:
        monkeypatch.setenv("AIS_AUTHN_URL", f"{server.url}/")
        assert await login(None, "alice", "password", timeout=5) == "granted"


async def test_an_http_client_of_ones_own_stays_open() -> None:
    async with httpx.AsyncClient(trust_env=False) as http, WireServer(GRANTED) as server:
        assert await login(server.url, "alice", "password", http_client=http) == "granted"
        assert not http.is_closed


async def test_a_gateway_may_have_a_password_too() -> None:
    async with WireServer(GRANTED) as server:
        url = server.url.replace("://", "://user:password@")
        assert await login(url, "alice", "secret") == "granted"
    assert server.asked[0].headers["authorization"] == "Basic dXNlcjpwYXNzd29yZA=="


async def test_a_server_that_is_busy_is_asked_again() -> None:
    async with WireServer(reply(500), reply(503), GRANTED) as server:
        policy = RetryPolicy(base_delay=0)
        assert await login(server.url, "alice", "password", retry=policy) == "granted"


async def test_a_wrong_password_is_an_error() -> None:
    async with WireServer(reply(401, b"invalid credentials")) as server:
        with pytest.raises(AuthenticationError, match="/v1/users/alice: invalid credentials") as caught:
            await login(server.url, "alice", "password")
    assert "password" not in str(caught.value)


async def test_a_password_is_sent_to_nobody_else() -> None:
    async with WireServer() as other, WireServer(redirect(other.url)) as server:
        with pytest.raises(RemoteError) as caught:
            await login(server.url, "alice", "password")
    assert caught.value.status == 307
    assert not other.asked


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token": "a b"}', b"\xff"])
async def test_an_answer_without_a_token_is_an_error(body: bytes) -> None:
    async with WireServer(reply(200, body)) as server:
        with pytest.raises(RemoteError, match="there is no token in the answer") as caught:
            await login(server.url, "alice", "password")
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"user": ""}, "not empty"),
        ({"user": "../clusters"}, "no slash"),
        ({"user": ".."}, "neither"),
        ({"user": "\udc80"}, "not valid Unicode"),
        ({"password": " "}, "the password is empty"),
        ({"expires_in": -1}, "expires_in=-1"),
        ({"expires_in": float("nan")}, "expires_in=nan"),
        ({"expires_in": float("inf")}, "expires_in=inf"),
        ({"expires_in": 1e10}, "expires_in="),
        ({"authn_url": "localhost:52001"}, "endpoint 'localhost:52001'"),
    ],
)
async def test_what_can_never_be_granted_is_refused(options: Any, reason: str) -> None:  # noqa: ANN401
    async with WireServer() as server:
        with pytest.raises(UsageError, match=reason):
            await login(**{"authn_url": server.url, "user": "alice", "password": "password"} | options)
    assert not server.asked
