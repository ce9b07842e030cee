"""Bundles: as Tigris's own client asks for them, and in every way in which they can be wrong."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import json
import os
import tarfile
import tracemalloc
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
import zstandard
from anyio.to_thread import run_sync
from botocore.config import Config
from tigris_boto3_ext import BundleError, bundle_objects

from asyncbatch.server import create_app, running
from asyncbatch.server._alteration import alter
from asyncbatch.server._app import serve_store
from asyncbatch.server._bundle_request import MAX_BODY
from asyncbatch.testing import Missing, Short, WrongName
from asyncbatch.testing._alterations import as_alteration
from asyncbatch.tigris.wire import Credentials

from .doubles import Gate, WatchedStore, connection, exchange, open_files, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from asyncbatch.testing import Fault

pytestmark = pytest.mark.anyio

HEADERS = {"x-tigris-bundle-format": "tar", "content-type": "application/json"}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "gzip": gzip.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
ODD = [
    "n\nn",
    "\n",
    "n\n",
    "\x01\x7f\r",
    "%2e%2e/%00 +&?#",
    "ü\U0001f600",
    "x" * 100 + "/" + "y" * 100,
    "/".join(["d" * 200] * 5) + "/" + "e" * 19,
    "/".join(["ü" * 100] * 5) + "/" + "ü" * 9 + "e",
]


def _body(*keys: str) -> bytes:
    return json.dumps({"keys": keys}).encode()


def _read(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        members = [(member, tar.extractfile(member)) for member in tar]
        return [(member.name, file.read() if file else b"") for member, file in members]


async def _ask(http: httpx.AsyncClient, *keys: str, **headers: str) -> httpx.Response:
    named = {f"x-tigris-bundle-{name.replace('_', '-')}": value for name, value in headers.items()}
    return await http.post("/b?bundle", content=_body(*keys), headers=HEADERS | named)


async def _exchange(url: str, *keys: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    """Ask by hand, and return the body as it came, and the trailers."""
    body = _body(*keys)
    lines = [f"{name}: {value}" for name, value in (HEADERS | headers).items()]
    head = "\r\n".join(
        ["POST /b?bundle HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *lines]
    )
    answer = await exchange(url, head.encode() + b"\r\n\r\n" + body)
    _, last_chunk, end = answer.rpartition(b"\r\n0\r\n")
    lines = end.decode().split("\r\n") if last_chunk else []
    return answer, dict(line.split(": ") for line in lines if line)


@pytest.fixture
def objects(root: Path) -> Path:
    (root / "b" / "d").mkdir()
    (root / "b" / "a").write_bytes(b"one")
    (root / "b" / "d" / "b").write_bytes(b"second")
    (root / "b" / "empty").write_bytes(b"")
    return root


@pytest.fixture
async def http(url: str, objects: Path) -> Any:  # noqa: ANN401 - an AsyncClient, in the end
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("compression", list(DECOMPRESS))
async def test_the_official_client(objects: Path, compression: str) -> None:
    def work(url: str) -> None:
        s3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="auto",
            aws_access_key_id="key",
            aws_secret_access_key="secret",  # noqa: S106
            config=Config(retries={"total_max_attempts": 1}),
        )
        s3.put_object(Bucket="b", Key=ODD[0], Body=b"odd")
        with bundle_objects(s3, "b", ["d/b", "x", ODD[0], "a", "a"], compression=compression) as response:
            assert response.content_type.startswith("application/")
            members = _read(DECOMPRESS[compression](response.read()))
        *found, (name, errors) = members
        assert found == [("d/b", b"second"), (ODD[0], b"odd"), ("a", b"one"), ("a", b"one")]
        assert (name, json.loads(errors)) == (
            "__bundle_errors.json",
            {"skipped": [{"key": "x", "reason": "NoSuchKey"}]},
        )
        with bundle_objects(s3, "b", ["a"], compression=compression, on_error="fail") as response:
            assert _read(DECOMPRESS[compression](response.read())) == [("a", b"one")]
        with pytest.raises(BundleError) as caught:
            bundle_objects(s3, "b", ["x", "a", "y"], compression=compression, on_error="fail")
        assert (caught.value.status_code, caught.value.code) == (404, "BundleKeyNotFound")
        assert "<MissingKeys><Key>x</Key><Key>y</Key></MissingKeys>" in caught.value.body
        s3.close()

    async with running(create_app(objects, credentials=Credentials("key", "secret"))) as url:
        await run_sync(work, url)


async def test_what_it_counts(url: str, objects: Path) -> None:
    answer, trailers = await _exchange(url, "d/b", "a", "x", "a", "empty")
    assert b"trailer: x-tigris-bundle-count, x-tigris-bundle-bytes, x-tigris-bundle-skipped" in answer
    assert trailers == {
        "x-tigris-bundle-count": "4",
        "x-tigris-bundle-bytes": "12",
        "x-tigris-bundle-skipped": "1",
    }
    for compression in ("gzip", "zstd"):
        _, again = await _exchange(url, "a", **{"x-tigris-bundle-compression": compression})
        assert list(again.values()) == ["1", "3", "0"]


async def test_another_server_has_no_trailers(objects: Path) -> None:
    """One that does not know of the extension: httpx plays it."""
    transport = httpx.ASGITransport(create_app(objects))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        answer = await _ask(http, "a")
    assert (answer.status_code, _read(answer.content)) == (200, [("a", b"one")])
    assert "trailer" not in answer.headers


@pytest.mark.parametrize("key", ODD, ids=range(len(ODD)))
async def test_any_key(http: httpx.AsyncClient, key: str) -> None:
    assert len(key.encode()) <= 1024
    await http.put("/b/" + "".join(f"%{byte:02x}" for byte in key.encode()), content=b"odd")
    assert _read((await _ask(http, key)).content) == [(key, b"odd")]
    reason = {"skipped": [{"key": key + "x", "reason": "NoSuchKey"}]}
    ((_, report),) = _read((await _ask(http, key + "x")).content)
    assert json.loads(report) == reason


@pytest.mark.parametrize("key", ["", "\0", "a\0", "/", "../secret", "\ud800", "x" * 5000, "d"])
async def test_keys_that_no_object_has(http: httpx.AsyncClient, key: str) -> None:
    ((name, report),) = _read((await _ask(http, key)).content)
    assert (name, json.loads(report)["skipped"]) == (
        "__bundle_errors.json",
        [{"key": key, "reason": "NoSuchKey"}],
    )
    answer = await _ask(http, key, on_error="fail")
    assert (answer.status_code, answer.text.count("<Key>")) == (404, 1)


async def test_xml(http: httpx.AsyncClient) -> None:
    namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = f"<Bundle {namespace}><Object><Key>a</Key></Object><Object><Key>d/b</Key></Object></Bundle>"
    answer = await http.post("/b?bundle", content=body, headers=HEADERS | {"content-type": "application/xml"})
    assert [name for name, _ in _read(answer.content)] == ["a", "d/b"]


async def test_errors_are_s3s(http: httpx.AsyncClient) -> None:
    async def status(path: str, content: bytes = _body("a"), **headers: str) -> tuple[int, str]:
        answer = await http.post(path, content=content, headers=HEADERS | headers)
        assert answer.headers["content-type"] == "application/xml"
        return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]

    assert await status("/x?bundle") == (404, "NoSuchBucket")
    assert await status("/b?bundle", b"x" * (MAX_BODY + 1)) == (400, "EntityTooLarge")
    assert await status("/b?bundle", b"{") == (400, "InvalidRequest")
    assert await status("/b") == (501, "NotImplemented")


class _Failing(WatchedStore):
    """A store in which opening an object of a name fails, for the n-th time."""

    def __init__(self, root: Path, number: int, name: str, after: int = 0) -> None:
        super().__init__(root)
        self._failure = number, name
        self._left = after

    def open_object(self, bucket: str, name: str, /) -> Any:  # noqa: ANN401
        if name == self._failure[1]:
            self._left -= 1
            if self._left < 0:
                raise OSError(self._failure[0], "for a test")
        return super().open_object(bucket, name)


async def test_an_object_that_may_not_be_read_is_left_out(objects: Path) -> None:
    async with (
        running(serve_store(_Failing(objects, 13, "a"))) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        (_, content), (name, report) = _read((await _ask(http, "a", "d/b")).content)
        assert (content, json.loads(report)["skipped"]) == (
            b"second",
            [{"key": "a", "reason": "AccessDenied"}],
        )
        assert name == "__bundle_errors.json"
        assert (await _ask(http, "a", "d/b", on_error="fail")).status_code == 404


async def test_an_object_that_may_be_there_is_not_left_out(objects: Path) -> None:
    async with (
        running(serve_store(_Failing(objects, 5, "a"))) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await _ask(http, "d/b", "a")
        answer = await _ask(http, "d/b", "a", on_error="fail")
        assert (answer.status_code, "ServiceUnavailable" in answer.text) == (503, True)


async def test_an_object_that_went_away_behind_the_check_cuts_it(objects: Path) -> None:
    store = _Failing(objects, errno.ENOENT, "a", after=1)
    async with running(serve_store(store)) as url, httpx.AsyncClient(base_url=url) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await _ask(http, "d/b", "a", on_error="fail")


async def test_an_object_that_changes_cuts_it(objects: Path) -> None:
    path = objects / "b" / "large"
    path.write_bytes(bytes(1 << 20))

    def change(name: str, offset: int) -> None:
        if name == "large" and offset:
            path.write_bytes(b"x" * (1 << 20))

    async with running(serve_store(WatchedStore(objects, change))) as url:
        answer, trailers = await _exchange(url, "a", "large")
        assert b"200 OK" in answer
        assert trailers == {}
    assert str(path) not in open_files()


@pytest.mark.parametrize(
    ("fault", "names", "counts"),
    [
        (Short(members=1), ["a"], ["1", "3", "0"]),
        (Missing(0), ["d/b", "__bundle_errors.json"], ["1", "6", "1"]),
        (WrongName(1, "other"), ["a", "other"], ["2", "9", "0"]),
    ],
    ids=["short", "missing", "name"],
)
async def test_faults_for_tests_of_clients(
    objects: Path,
    fault: Fault,
    names: list[str],
    counts: list[str],
) -> None:
    app = create_app(objects)

    async def altered(scope: Scope, receive: Receive, send: Send) -> None:
        alter(scope, as_alteration(fault))
        await app(scope, receive, send)

    async with running(altered) as url, httpx.AsyncClient(base_url=url) as http:
        assert [name for name, _ in _read((await _ask(http, "a", "d/b")).content)] == names
        assert list((await _exchange(url, "a", "d/b"))[1].values()) == counts


async def test_a_client_that_goes_away_while_all_is_checked(objects: Path) -> None:
    app = create_app(objects)
    ended = asyncio.Event()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        messages: Iterator[Any] = iter(
            [{"type": "http.request", "body": _body(*["a"] * 2000)}, {"type": "http.disconnect"}]
        )

        async def gone() -> Any:  # noqa: ANN401
            return next(messages)

        await app(scope, gone, send)
        ended.set()

    async with running(watched) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await _ask(http, "a", on_error="fail")
    assert (answer.status_code, answer.content) == (200, b"")
    assert ended.is_set()


async def test_a_client_that_goes_away_while_it_is_sent(objects: Path) -> None:
    path = objects / "b" / "large"
    with path.open("wb") as file:
        file.truncate(256 << 20)
    gate = Gate(create_app(objects), 3)
    async with running(gate) as url:
        async with connection(url) as (_, writer):
            body = _body("large")
            lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
            writer.write(f"POST /b?bundle HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode())
            writer.write(f"{lines}\r\n".encode() + body)
            await gate.reached.wait()
        gate.opened.set()
        await until(lambda: str(path) not in open_files())


async def test_memory_does_not_grow_with_the_bundle(objects: Path) -> None:
    with (objects / "b" / "large").open("wb") as file:
        os.truncate(file.fileno(), 32 << 20)
    async with running(create_app(objects)) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        tracemalloc.start()
        try:
            size = 0
            async with http.stream(
                "POST", "/b?bundle", content=_body(*["large"] * 4), headers=HEADERS
            ) as answer:
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size > 128 << 20
    assert peak < 12 << 20
