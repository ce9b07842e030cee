"""Proxies of the environment: what httpx does by itself, where the transport is ours."""

from __future__ import annotations

import httpx
import pytest
from httpx._utils import get_environment_proxies

from asyncbatch.transport import DEFAULT_TIMEOUT, open_http_client
from asyncbatch.transport._proxies import environment_proxies

from ..support.wire import WireServer, reply

pytestmark = pytest.mark.anyio

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HTTP_PROXY": "http://proxy:1"},
        {"http_proxy": "proxy:1", "HTTPS_PROXY": "https://proxy:2", "ALL_PROXY": "socks5://proxy:3"},
        {"HTTP_PROXY": "", "NO_PROXY": ""},
        {"HTTP_PROXY": "proxy", "NO_PROXY": "*"},
        {"HTTP_PROXY": "proxy", "NO_PROXY": "example.org, *"},
        {"HTTP_PROXY": "proxy", "NO_PROXY": "example.org, .example.com,, localhost, LOCALHOST"},
        {"HTTP_PROXY": "proxy", "NO_PROXY": "127.0.0.1,10.0.0.0/8,::1,fe80::/10,1.2.3"},
        {"HTTP_PROXY": "proxy", "NO_PROXY": "http://example.org,all://x"},
        {"NO_PROXY": "example.org"},
    ],
)
async def test_the_environment_is_understood_as_httpx_does(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment_proxies() == get_environment_proxies()


async def test_requests_pass_through_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with WireServer(reply(200, b"proxied")) as proxy, WireServer(reply(200, b"direct")) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with open_http_client(timeout=DEFAULT_TIMEOUT) as client:
            assert (await client.get("http://somewhere.invalid/path")).text == "proxied"
            assert proxy.asked[0].target == "http://somewhere.invalid/path"
            response = await client.get(server.url)
            assert response.text == "direct"
            assert "asyncbatch.stream" in response.extensions


async def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://proxy")
    with pytest.raises(ValueError, match="proxy"):
        open_http_client(timeout=DEFAULT_TIMEOUT)
    with pytest.raises(ValueError, match="proxy"):
        httpx.AsyncClient()
