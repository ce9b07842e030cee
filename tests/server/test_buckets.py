"""Buckets and listings over HTTP: what the official SDK never asks."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.server import running
from asyncbatch.server._app import serve_store
from asyncbatch.server._folder import FolderStore
from asyncbatch.server._store import ObjectInfo, Page

if TYPE_CHECKING:
    from pathlib import Path

import httpx
import msgpack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b"[]", 'the body is not {"action": '),
        (b"{}", 'the body is not {"action": '),
        (b'{"action": 1}', 'the body is not {"action": '),
        (b'{"action": "list", "value": [1]}', "is not an object"),
        (b'{"action": "list", "value": {"prefix": 1}}', '"prefix" of a listing is a string'),
        (b'{"action": "list", "value": {"pagesize": "1"}}', '"pagesize" of a listing is a number'),
        (b'{"action": "list", "value": {"pagesize": -1}}', '"pagesize" of a listing is a number'),
        (b'{"action": "list", "value": {"flags": "x"}}', '"flags" of a listing is a number'),
        (b'{"action": "list", "value": {"flags": "%s"}}' % (b"1" * 5000), '"flags" of a listing is a number'),
        (b'{"action": "list", "value": {"prefix": "\\ud800"}}', "valid UTF-8"),
    ],
)
async def test_actions_that_are_none(http: httpx.AsyncClient, body: bytes, message: str) -> None:
    answer = await http.request("GET", "/v1/buckets/b", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/v1/buckets", "summary-bck"),
        ("GET", "/v1/buckets/b", "summary-bck"),
        ("POST", "/v1/buckets/b", "move-bck"),
        ("DELETE", "/v1/buckets/b", "evict-remote-bck"),
    ],
)
async def test_actions_that_are_not_supported(
    http: httpx.AsyncClient, root: Path, method: str, path: str, action: str
) -> None:
    answer = await http.request(method, path, json={"action": action})
    assert answer.status_code == 501
    assert action in answer.json()["message"]
    assert (root / "b").is_dir()


async def test_a_body_too_large(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/buckets/b", content=b" " * ((1 << 20) + 1))
    assert answer.status_code == 413


async def test_a_bucket_name_that_cannot_be(http: httpx.AsyncClient, root: Path) -> None:
    answer = await http.post("/v1/buckets/.hidden", json={"action": "create-bck"})
    assert answer.status_code == 400
    assert "invalid" in answer.json()["message"]
    assert os.listdir(root) == ["b"]  # noqa: PTH208


async def _list(http: httpx.AsyncClient, accept: str = "application/json", **value: object) -> httpx.Response:
    body = json.dumps({"action": "list", "value": value})
    return await http.request("GET", "/v1/buckets/b", content=body, headers={"Accept": accept})


async def test_pages(http: httpx.AsyncClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncbatch.server._listing._MAX_PAGE", 4)
    for n in range(10):
        (root / "b" / f"o{n}").write_bytes(bytes(n))
    token, names = "", []
    uuids: set[str] = set()
    for size in (0, 3, 100):
        page = (await _list(http, pagesize=size, continuation_token=token, uuid=next(iter(uuids), ""))).json()
        names.append([entry["name"] for entry in page["entries"]])
        token = page["continuation_token"]
        uuids.add(page["uuid"])
    assert [len(found) for found in names] == [4, 3, 3]
    assert sum(names, []) == [f"o{n}" for n in range(10)]  # noqa: RUF017
    assert token == ""
    assert len(uuids) == 1


@pytest.mark.parametrize(("flags", "status"), [("0", 200), ("", 200), ("48", 200), ("8", 501), ("2048", 501)])
async def test_flags(http: httpx.AsyncClient, flags: str, status: int) -> None:
    assert (await _list(http, flags=flags)).status_code == status


@pytest.mark.parametrize("accept", ["application/json", "application/msgpack"])
async def test_an_id_that_is_not_utf_8_is_not_said_back(http: httpx.AsyncClient, accept: str) -> None:
    answer = await _list(http, accept, uuid="a\ud800")
    assert answer.status_code == 200
    uuid = answer.json()["uuid"] if "json" in accept else msgpack.unpackb(answer.content)["UUID"]
    assert uuid == "a"


@pytest.mark.parametrize("accept", ["application/json", "application/msgpack"])
async def test_what_a_store_does_not_know_is_left_out(root: Path, accept: str) -> None:
    class Timeless(FolderStore):
        def list_objects(self, _bucket: str, /, **_where: Any) -> Page:  # noqa: ANN401
            return Page([ObjectInfo("o", 5, None), ObjectInfo("p", 5, 0.0)], more=False)

    async with running(serve_store(Timeless(root))) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await _list(http, accept, props="name,size,atime")
    if accept.endswith("json"):
        entries = answer.json()["entries"]
        assert [entry.get("atime") for entry in entries] == [None, "01 Jan 70 00:00 UTC"]
    else:
        entries = msgpack.unpackb(answer.content)["Entries"]
        assert [entry.get("a") for entry in entries] == [None, "01 Jan 70 00:00 UTC"]
    assert len(entries) == 2


async def test_an_object_without_known_access_time(root: Path) -> None:
    class Timeless(FolderStore):
        def open_object(self, bucket: str, name: str, /) -> Any:  # noqa: ANN401
            stored = super().open_object(bucket, name)
            stored.atime_ns = None
            return stored

    (root / "b" / "o").write_bytes(b"data")
    async with (
        running(serve_store(Timeless(root), redirect=False)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert "ais-atime" not in (await http.head("/v1/objects/b/o")).headers
