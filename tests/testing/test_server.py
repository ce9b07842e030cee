"""The server: which requests its scripts are for, what it writes down, and what it leaves behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.errors import UsageError
from asyncbatch.testing import Asked, Cut, Empty, FaultyServer, HangUp, Missing, Stall, Status, random_faults

from ..support.leaks import nothing_left_open, until
from .asking import NAMES, ask, connected, hear, is_well, request_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def _client(server: FaultyServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, follow_redirects=True, timeout=30)


@pytest.mark.parametrize("redirect", [True, False])
async def test_a_batch_counts_once(root: Path, *, redirect: bool) -> None:
    async with FaultyServer(root, [None, Empty(), None], redirect=redirect) as server:
        assert is_well(await ask(server.url))
        assert (await ask(server.url)).body == b""
        assert is_well(await ask(server.url))
        assert [asked.fault for asked in server.requests] == [None, Empty(), None]
        assert server.object_requests == []


async def test_what_was_asked(root: Path) -> None:
    async with FaultyServer(root, object_faults=[Stall(0)]) as server:
        async with _client(server) as http:
            await http.request(
                "GET", "/v1/ml/moss/b?provider=ais", json={"in": [{"objname": "o1", "start": 5}]}
            )
            await http.request("GET", "/v1/ml/moss", json={"in": [{"objname": "ö", "bucket": "b"}]})
            await http.request("GET", "/v1/ml/moss/b", content=b"{")
            await http.post("/v1/ml/moss/b", content=b"{}")
            await http.get("/v1/objects/b/a%20b?archpath=x")
        first, second, third = server.requests
        assert (first.method, first.path, first.query) == ("GET", "/v1/ml/moss/b", "provider=ais")
        assert first.entries == [{"objname": "o1", "start": 5}]
        assert (second.path, second.entries) == ("/v1/ml/moss", [{"objname": "ö", "bucket": "b"}])
        assert (third.body, third.entries) == (b"{", [])
        assert server.object_requests == [Asked("GET", "/v1/objects/b/a b", "archpath=x", b"", Stall(0))]


async def test_many_at_once_have_each_its_own(root: Path) -> None:
    """Between the hops of one come those of others."""

    def by_name(asked: Asked) -> Cut:
        return Cut(int(asked.entries[0]["objname"][1:]), "end")

    async with FaultyServer(root, by_name) as server:
        answers = await asyncio.gather(*(ask(server.url, [name]) for name in NAMES))
        assert [len(answer.body) for answer in answers] == list(range(10))


async def test_faults_of_objects(root: Path) -> None:
    faults = [Status(503, 0), Cut(100), Cut(100, "end"), HangUp(hop="target"), Missing(0), None]
    async with FaultyServer(root, object_faults=faults) as server, _client(server) as http:
        assert (await http.get("/v1/objects/b/o1")).status_code == 503
        with pytest.raises(httpx.ReadError):
            await http.get("/v1/objects/b/o1")
        with pytest.raises(httpx.RemoteProtocolError, match="received 100 bytes, expected 900"):
            await http.get("/v1/objects/b/o1")
        with pytest.raises(httpx.ReadError):
            await http.put("/v1/objects/b/new", content=b"data")
        for _ in range(3):
            assert (await http.get("/v1/objects/b/o1")).content == b"object 1\n" * 100
        # Who says that he was redirected is at the target at once.
        server.object_faults.append(Status(500, hop="target"))
        assert (await http.get("/v1/objects/b/o1?pid=p&utm=1")).status_code == 500
        assert [asked.method for asked in server.object_requests] == ["GET"] * 3 + ["PUT"] + ["GET"] * 4
        assert server.requests == []


async def test_a_redirect_to_an_object_is_good_for_more_than_one_use(root: Path) -> None:
    async with FaultyServer(root, object_faults=[Status(503, hop="target")]) as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            location = (await http.get("/v1/objects/b/o1")).headers["location"]
            assert (await http.get(location)).status_code == 503
            assert (await http.get(location)).status_code == 200


async def test_other_requests_are_none_of_its_business(root: Path) -> None:
    faults = [HangUp()]
    async with FaultyServer(root, faults, object_faults=faults) as server, _client(server) as http:
        assert (await http.get("/v1/health")).status_code == 200
        assert (await http.get("/v1/buckets/b?provider=ais")).status_code in {200, 400}
        assert server.requests == server.object_requests == []
        with pytest.raises(httpx.ReadError):
            await http.get("/v1/objects/b/o1")


async def test_a_client_that_leaves_during_its_request(root: Path) -> None:
    async with nothing_left_open(), FaultyServer(root, [Empty()]) as server:
        tasks = asyncio.all_tasks()
        with connected(server.url) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, request_of(NAMES)[:-1])
            await until(lambda: len(asyncio.all_tasks()) > len(tasks))
        await until(lambda: asyncio.all_tasks() <= tasks)
        assert server.requests == []
        assert (await ask(server.url)).body == b""


async def test_a_request_too_large(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncbatch.testing._app._MAX_REQUEST", 100)
    async with FaultyServer(root) as server:
        assert (await hear(server.url, request_of(NAMES))).status == 413


async def test_a_server_can_run_again_but_not_twice(root: Path) -> None:
    server = FaultyServer(root, [Empty()])
    assert server.url == ""
    async with server:
        with pytest.raises(UsageError, match="runs already"):
            await server.__aenter__()
    assert server.url == ""
    async with server:
        assert (await ask(server.url)).body == b""


async def test_the_root_must_be_a_folder(root: Path) -> None:
    with pytest.raises(UsageError):
        FaultyServer(root / "nothing")


@pytest.mark.parametrize("seed", range(3))
async def test_by_chance_nothing_is_left_behind(root: Path, seed: int) -> None:
    async with nothing_left_open():
        async with FaultyServer(root, random_faults(seed, entries=10, size=15_000)) as server:
            for number in range(50):
                await ask(server.url, strm=number % 2 == 0)
            server.faults.clear()
            assert is_well(await ask(server.url))
            assert len(server.requests) == 51
