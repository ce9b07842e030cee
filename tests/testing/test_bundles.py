"""Faults of what Tigris's clients ask for: bundles, with their trailers, and objects."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.testing import Cut, FaultyServer, Missing, Short, Stall, Status

from ..support.leaks import nothing_left_open
from .asking import NAMES, hear

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.testing import Fault

pytestmark = pytest.mark.anyio

HEADERS = {"x-tigris-bundle-format": "tar", "content-type": "application/json"}


async def _ask(server: FaultyServer) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        return await http.post("/b?bundle", json={"keys": NAMES}, headers=HEADERS)


def _names(answer: httpx.Response) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        return tar.getnames()


@pytest.mark.parametrize("redirect", [True, False])
async def test_bundles_take_the_faults_of_batches(root: Path, *, redirect: bool) -> None:
    async with nothing_left_open(), FaultyServer(root, redirect=redirect) as server:
        assert _names(await _ask(server)) == NAMES
        server.faults.append(Status(503, retry_after=1, hop="target"))
        answer = await _ask(server)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "<Code>ServiceUnavailable</Code>" in answer.text
        server.faults.append(Short(1))
        assert _names(await _ask(server)) == NAMES[:1]
        server.faults.append(Missing(0))
        assert _names(await _ask(server)) == [*NAMES[1:], "__bundle_errors.json"]
        server.faults.append(Cut(700, "close"))
        with pytest.raises(httpx.RemoteProtocolError):
            await _ask(server)
        assert [(asked.method, asked.path, asked.query) for asked in server.requests] == [
            ("POST", "/b", "bundle")
        ] * 5


@pytest.mark.parametrize("fault", [None, Stall(0, at=512), Cut(512, "end")])
async def test_trailers_tell_what_should_have_come(root: Path, fault: Fault | None) -> None:
    async with FaultyServer(root, [fault]) as server:
        body = b'{"keys": ["%b"]}' % NAMES[0].encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        head = f"POST /b?bundle HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}"
        request = f"{head}Connection: close\r\n\r\n".encode() + body
        answer = await hear(server.url, request)
    assert b"\r\n0\r\nx-tigris-bundle-count: 1\r\n" in answer.data
    assert (b"\r\n200\r\n" in answer.data) == (fault is not None)  # a chunk of 512 bytes


async def test_objects_of_s3_take_the_faults_of_objects(root: Path) -> None:
    faults = [Status(500), None]
    async with FaultyServer(root, object_faults=faults) as server, httpx.AsyncClient() as http:
        answer = await http.get(f"{server.url}/b/{NAMES[0]}")
        assert (answer.status_code, "<Code>InternalError</Code>" in answer.text) == (500, True)
        answer = await http.get(f"{server.url}/b/{NAMES[0]}")
        assert answer.status_code == 200
        assert (await http.get(server.url)).status_code == 200
        assert [asked.path for asked in server.object_requests] == [f"/b/{NAMES[0]}"] * 2
