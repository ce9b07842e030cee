"""Single objects over HTTP: ranges, whole uploads or none, and names that try to get out."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import tarfile
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asyncbatch.server import create_app, running
from asyncbatch.server._app import serve_store
from asyncbatch.server._errors import ApiError
from asyncbatch.server._objects import parse_range

from .doubles import Gate, WatchedStore, connection, exchange, open_files, until

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio

SECRET = b"hush hush"
# What is put behind /v1/objects/, none of which may lead to the secret beside the root.
ESCAPES = [
    "b/../../secret",
    "b/..%2f..%2fsecret",
    "b/%2e%2e/%2e%2e/secret",
    "b/%2E%2E%2F%2E%2E%2Fsecret",
    "b/x/../../../secret",
    "../secret",
    "..%2f/secret",
    "%2e%2e/secret",
    "b//etc/passwd",
    "b/%2fetc%2fpasswd",
    "b/..\\..\\secret",
    "b/..%5c..%5csecret",
    "b/secret%00",
    "b/.",
    "b/..",
    "b/%c0%ae%c0%ae/%c0%ae%c0%ae/secret",
    "b/link",
    "b/folder/secret",
    "linked/secret",
    ".asyncbatch/left",
    ".",
]


@pytest.fixture
def traps(root: Path, tmp_path: Path) -> Path:
    (root / "b" / "link").symlink_to(tmp_path / "secret")
    (root / "b" / "folder").symlink_to(tmp_path)
    (root / "linked").symlink_to(tmp_path)
    (root / ".asyncbatch").mkdir()
    (root / ".asyncbatch" / "left").write_bytes(SECRET)
    return tmp_path


def _raw(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
async def test_no_name_leads_outside(url: str, traps: Path, method: str, path: str) -> None:
    answer = await exchange(
        url, _raw(method, f"/v1/objects/{path}?pid=x&utm=x", b"overwritten" * (method == "PUT"))
    )
    status = int(answer.split()[1])
    replaced = method == "PUT" and path in {"b/link", "b/..\\..\\secret", "b/..%5c..%5csecret"}
    assert (200 if replaced else 400) <= status < (201 if replaced else 500)
    assert SECRET not in answer
    assert (traps / "secret").read_bytes() == SECRET
    assert (traps / "root" / ".asyncbatch" / "left").read_bytes() == SECRET
    assert sorted(os.listdir(traps)) == ["root", "secret"]  # noqa: PTH208


async def test_a_newline_in_a_name(http: httpx.AsyncClient, root: Path) -> None:
    await http.put("/v1/objects/b/line%0Abreak%0A", content=b"data")
    assert (root / "b" / "line\nbreak\n").read_bytes() == b"data"
    head = await http.head("/v1/objects/b/line%0Abreak%0A")
    assert head.headers["content-length"] == "4"
    assert "ais-name" not in head.headers
    assert (await http.delete("/v1/objects/b/line%0Abreak%0A")).status_code == 200


async def test_names_that_are_not_utf_8(http: httpx.AsyncClient, root: Path) -> None:
    answer = await http.put("/v1/objects/b/%FF", content=b"data")
    assert answer.status_code == 400
    assert list((root / "b").iterdir()) == []
    # The character that stands for such bytes is as good as any other.
    assert (await http.put("/v1/objects/b/%ef%bf%bd", content=b"data")).status_code == 200
    assert (root / "b" / "\ufffd").read_bytes() == b"data"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 4)),
        ("bytes=2-", (2, 8)),
        ("bytes=2-100", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-100", (0, 10)),
        (" bytes=9-9 ", (9, 1)),
        # What is not understood, or need not be answered, is answered with all.
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("bytes=0-" + "9" * 100, (0, 10)),
        (f"bytes={'9' * 5000}-", None),
        ("bytes=\u0662-\u0665", None),
        ("", None),
    ],
)
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=11-12", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)],
)
def test_ranges_that_do_not_exist(header: str, size: int) -> None:
    with pytest.raises(ApiError, match=f"size={size}: not satisfiable range") as caught:
        parse_range(header, size)
    assert caught.value.status == 416
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}


async def test_a_range_of_another_version_is_the_whole(http: httpx.AsyncClient, root: Path) -> None:
    (root / "b" / "o").write_bytes(b"0123456789")
    etag = (await http.head("/v1/objects/b/o")).headers["etag"]
    headers = {"Range": "bytes=8-"}
    assert (await http.get("/v1/objects/b/o", headers=headers | {"If-Range": etag})).content == b"89"
    other = await http.get("/v1/objects/b/o", headers=headers | {"If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, b"0123456789")


async def test_a_file_in_a_shard_has_no_ranges(http: httpx.AsyncClient, root: Path) -> None:
    (root / "b" / "s.tar").write_bytes(_tar("f", b"0123456789"))
    for method in ("GET", "HEAD"):
        answer = await http.request(method, "/v1/objects/b/s.tar?archpath=f", headers={"Range": "bytes=1-2"})
        assert (answer.status_code, answer.headers["content-length"]) == (200, "10")


def _tar(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3_000_000])
async def test_what_was_put_is_what_is_got(http: httpx.AsyncClient, size: int) -> None:
    data = os.urandom(size)
    put = await http.put("/v1/objects/b/dir/o", content=data)
    got = await http.get("/v1/objects/b/dir/o")
    assert got.content == data
    assert got.headers["content-length"] == str(size)
    assert (
        put.headers["etag"] == got.headers["etag"] == (await http.head("/v1/objects/b/dir/o")).headers["etag"]
    )
    if size:
        part = await http.get("/v1/objects/b/dir/o", headers={"Range": f"bytes={size // 2}-"})
        assert (part.status_code, part.content) == (206, data[size // 2 :])


async def test_redirects_can_be_left_out(root: Path) -> None:
    async with running(create_app(root, redirect=False)) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.put("/v1/objects/b/o", content=b"data")).status_code == 200
        assert (await http.get("/v1/objects/b/o")).content == b"data"
        assert (await http.head("/v1/objects/b/o")).headers["content-length"] == "4"
        assert (await http.delete("/v1/objects/b/o")).status_code == 200


async def test_mounted_under_a_path(root: Path) -> None:
    app = Starlette(routes=[Mount("/ais", create_app(root))])
    async with running(app) as url, httpx.AsyncClient(base_url=f"{url}/ais", follow_redirects=True) as http:
        assert (await http.put("/v1/objects/b/o", content=b"data")).status_code == 200
        assert (await http.get("/v1/objects/b/o")).content == b"data"
        batch = await http.request("GET", "/v1/ml/moss/b", json={"in": [{"objname": "o"}], "strm": True})
        assert b"data" in batch.content


@pytest.mark.parametrize("name", ["append_type", "uploadId", "etl_name", "object_to", "archpath"])
async def test_puts_that_are_none_write_nothing(http: httpx.AsyncClient, root: Path, name: str) -> None:
    answer = await http.put(f"/v1/objects/b/o?{name}=x", content=b"data")
    assert answer.status_code == 501
    assert list((root / "b").iterdir()) == []


async def test_put_into_no_bucket(http: httpx.AsyncClient, root: Path) -> None:
    answer = await http.put("/v1/objects/no/o", content=b"data")
    assert (answer.status_code, answer.json()["tcode"]) == (404, "ErrBckNotFound")
    assert not (root / "no").exists()


async def test_names_in_each_others_way(http: httpx.AsyncClient) -> None:
    await http.put("/v1/objects/b/a", content=b"data")
    answer = await http.put("/v1/objects/b/a/b", content=b"data")
    assert answer.status_code == 409
    assert (await http.get("/v1/objects/b/a")).content == b"data"


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.EACCES, 403), (errno.ENOSPC, 507), (errno.ENAMETOOLONG, 400), (errno.EIO, 500), (None, 500)],
)
async def test_errors_of_the_system(root: Path, number: int | None, status: int) -> None:
    class Broken(WatchedStore):
        def delete_object(self, _bucket: str, _name: str, /) -> None:
            raise OSError(number, "why") if number else OSError("why")

    async with (
        running(serve_store(Broken(root), redirect=False)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        answer = await http.delete("/v1/objects/b/o")
        assert (answer.status_code, answer.json()["message"]) == (status, "why")


async def test_an_error_of_ours_is_json_too(root: Path) -> None:
    class Broken(WatchedStore):
        def delete_object(self, _bucket: str, _name: str, /) -> None:
            raise ZeroDivisionError

    async with (
        running(serve_store(Broken(root), redirect=False)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        answer = await http.delete("/v1/objects/b/o")
        assert (answer.status_code, answer.json()["message"]) == (500, "internal error: ZeroDivisionError")


PARTIAL = {
    "length": b"Content-Length: 1000000\r\n\r\n" + bytes(400_000),
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n" + b"61a80\r\n" + bytes(400_000) + b"\r\n",
}


@pytest.mark.parametrize("body", PARTIAL.values(), ids=PARTIAL)
@pytest.mark.parametrize("end", ["close", "half-close"])
async def test_an_upload_is_seen_whole_or_not_at_all(root: Path, body: bytes, end: str) -> None:
    (root / "b" / "o").write_bytes(b"old")
    store = WatchedStore(root)
    hidden = root / ".asyncbatch"
    tasks = asyncio.all_tasks()
    async with running(serve_store(store, redirect=False)) as url, httpx.AsyncClient(base_url=url) as http:
        serving = asyncio.all_tasks()
        async with connection(url) as (_, writer):
            writer.write(b"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\n" + body)
            # The first bytes are on the disk, and nobody sees them.
            await until(lambda: hidden.exists() and any(path.stat().st_size for path in hidden.iterdir()))
            assert (await http.get("/v1/objects/b/o")).content == b"old"
            answer = await http.request("GET", "/v1/buckets/b", json={"action": "list"})
            assert [entry["name"] for entry in answer.json()["entries"]] == ["o"]
            if end == "half-close":
                writer.write_eof()
                await until(lambda: not list(hidden.iterdir()))
        await until(lambda: not list(hidden.iterdir()))
        assert (await http.get("/v1/objects/b/o")).content == b"old"
        await until(lambda: not open_files() & {str(path) for path in root.rglob("*")})
        assert asyncio.all_tasks() == serving
    assert asyncio.all_tasks() == tasks


async def test_readers_and_writers_at_once_see_whole_versions(http: httpx.AsyncClient) -> None:
    versions = [bytes([n]) * (300_000 + n) for n in range(8)]
    await http.put("/v1/objects/b/o", content=versions[0])

    async def write() -> None:
        for version in versions:
            assert (await http.put("/v1/objects/b/o", content=version)).status_code == 200

    async def read() -> None:
        for _ in range(8):
            assert (await http.get("/v1/objects/b/o")).content in versions
            answer = await http.request("GET", "/v1/ml/moss/b", json={"in": [{"objname": "o"}], "strm": True})
            length = len(answer.content[512:-1024].rstrip(b"\0"))
            assert length == 0 or answer.content[512 : 512 + length] in versions

    async with asyncio.TaskGroup() as group:
        for work in (write, write, read, read, read):
            group.create_task(work())


@pytest.mark.parametrize("change", ["truncate", "overwrite"])
async def test_an_object_that_changes_while_it_is_sent_is_cut(root: Path, change: str) -> None:
    path = root / "b" / "o"
    path.write_bytes(bytes(1_000_000))
    os.utime(path, (1, 1))
    gate = Gate(create_app(root, redirect=False))
    async with running(gate) as url, httpx.AsyncClient(base_url=url) as http:
        get = asyncio.create_task(http.get("/v1/objects/b/o"))
        await gate.reached.wait()
        if change == "truncate":
            os.truncate(path, 500_000)
        else:
            with path.open("r+b") as file:
                file.write(b"x")
        gate.opened.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await get
        assert (await http.get("/v1/objects/b/o")).status_code == 200


async def test_an_object_that_changes_before_anything_was_sent(root: Path) -> None:
    path = root / "b" / "o"
    path.write_bytes(b"data")
    store = WatchedStore(root, lambda _name, _offset: os.truncate(path, 2))
    async with running(serve_store(store, redirect=False)) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/v1/objects/b/o")
        assert answer.status_code == 503
        assert "changed while it was read" in answer.json()["message"]
        store.on_read = lambda _name, _offset: None
        assert (await http.get("/v1/objects/b/o")).content == b"da"


async def test_a_body_shorter_than_its_length_is_refused_even_if_the_server_lets_it_pass(root: Path) -> None:
    app = create_app(root, redirect=False)

    async def careless(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [
            (name, b"99" if name == b"content-length" else value) for name, value in scope["headers"]
        ]
        await app(scope, receive, send)

    async with running(careless) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.put("/v1/objects/b/o", content=b"data")
        assert (answer.status_code, answer.json()["message"]) == (400, "the body ended after 4 bytes")
        assert list((root / "b").iterdir()) == list((root / ".asyncbatch").iterdir()) == []
