"""The proxy's half: tickets, and where a redirect leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.server import create_app, running
from asyncbatch.server._redirect import Tickets

from .doubles import exchange

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    tickets.issue("a")
    assert not tickets.redeem("b")
    assert tickets.redeem("a")
    assert not tickets.redeem("a")


def test_a_ticket_is_good_for_its_time() -> None:
    now = 0.0
    tickets = Tickets(lifetime=300, clock=lambda: now)
    tickets.issue("a")
    tickets.issue("b")
    now = 299.9
    assert tickets.redeem("a")
    now = 300
    assert not tickets.redeem("b")


def test_old_tickets_are_dropped() -> None:
    now = 0.0
    tickets = Tickets(capacity=3, lifetime=10, clock=lambda: now)
    for name in "abcd":
        tickets.issue(name)
        now += 1
    assert len(tickets) == 3
    assert not tickets.redeem("a")
    assert tickets.redeem("b")
    now = 12.5  # past the end of c's time, not of d's
    tickets.issue("e")
    assert len(tickets) == 2
    assert tickets.redeem("d")


async def test_it_leads_where_the_client_came_from(url: str) -> None:
    for host in ("proxy.example:81", "proxy.example", "[::1]:81"):
        request = (
            f"GET /v1/objects/b/a%20b%2Fc?provider=ais HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        head = (await exchange(url, request.encode())).decode()
        assert f"\r\nlocation: http://{host}/v1/objects/b/a%20b%2Fc?provider=ais&pid=" in head


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_client_that_names_no_host(root: Path, host: str) -> None:
    """HTTP/1.0 asks for none."""
    app = create_app(root)

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        scope["server"] = (host, 8080)
        await app(scope, receive, send)

    async with running(elsewhere) as url:
        head = (await exchange(url, b"DELETE /v1/objects/b/o HTTP/1.0\r\n\r\n")).decode()
    expected = "127.0.0.1" if host == "127.0.0.1" else "[::1]"
    assert f"\r\nlocation: http://{expected}:8080/v1/objects/b/o?pid=" in head


async def test_a_server_that_keeps_no_raw_path(root: Path) -> None:
    """ASGI does not ask for one."""
    app = create_app(root)

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        del scope["raw_path"]
        await app(scope, receive, send)

    async with running(without) as url, httpx.AsyncClient(base_url=url, follow_redirects=True) as http:
        await http.put("/v1/objects/b/a%20b/%C3%BC", content=b"data")
        assert (root / "b" / "a b" / "ü").read_bytes() == b"data"


async def test_the_cluster_map_of_an_odd_host(url: str) -> None:
    answer = await exchange(url, b"GET /v1/daemon?what=smap HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b'"node_ip_addr":"a","daemon_port":"","direct_url":"http://a"' in answer


async def test_what_a_daemon_does_not_tell(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/daemon?what=config")
    assert (answer.status_code, "config" in answer.json()["message"]) == (501, True)


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/objects", "/v1/objects/b", "/v1/buckets/b/"]
)
async def test_paths_that_lead_nowhere(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.json()["message"] == f"invalid URL path {path!r}"


async def test_a_path_of_nobody(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{str(http.base_url).rstrip('/')}//")
    assert (answer.status_code, answer.json()["message"]) == (404, "invalid URL path '//'")


async def test_a_client_that_cannot_be_named(root: Path) -> None:
    """On a Unix socket, for one, the peer has no address."""
    app = create_app(root)

    async def nameless(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"] = None
        await app(scope, receive, send)

    async with running(nameless) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/v1/nothing")).json()["remote_addr"] == ""
