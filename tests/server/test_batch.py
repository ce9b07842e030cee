"""GetBatch: what is refused, where archives end, and what is never made up."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch.server import create_app, running
from asyncbatch.server._app import serve_store
from asyncbatch.server._errors import ApiError
from asyncbatch.server._folder import FolderStore
from asyncbatch.server._getbatch import RangeError, parse_batch

from . import golden
from .doubles import Gate, WatchedStore, connection, open_files, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asyncbatch.server._getbatch import Batch

pytestmark = pytest.mark.anyio


def _parse(request: dict[str, Any], bucket: str | None = "b") -> Any:  # noqa: ANN401
    return parse_batch(json.dumps(request).encode(), bucket)


def test_defaults() -> None:
    batch = _parse({"in": [{"objname": "o"}]})
    assert (batch.format, batch.continue_on_error, batch.streaming) == (".tar", False, False)
    (entry,) = batch.entries
    assert (entry.bucket, entry.provider, entry.member, entry.cut(7)) == ("b", "ais", "b/o", (0, 7))


def test_null_is_as_good_as_nothing() -> None:
    request = {"in": [{"objname": "o", "opaque": None, "start": None}], "mime": None, "coer": None}
    assert _parse(request) == _parse({"in": [{"objname": "o"}]})


@pytest.mark.parametrize(
    ("mime", "expected"),
    [
        ("", ".tar"),
        (".tar", ".tar"),
        (".tgz", ".tgz"),
        (".tar.gz", ".tgz"),
        (".tar.lz4", ".tar.lz4"),
        ("application/x-tar", ".tar"),
        ("application/tar.lz4", ".tar"),
        (".zip", ".zip"),
        ("application/zip", ".zip"),
        ("application/gzip", ".zip"),
    ],
)
def test_formats(mime: str, expected: str) -> None:
    assert _parse({"in": [{"objname": "o"}], "mime": mime}).format == expected


@pytest.mark.parametrize("mime", [".rar", ".TAR", "tgx", "application/x-lz4", ".tar.zst", " "])
def test_formats_that_nobody_knows(mime: str) -> None:
    with pytest.raises(ApiError, match="unknown mime type") as caught:
        _parse({"in": [{"objname": "o"}], "mime": mime})
    assert (caught.value.status, caught.value.code) == (400, "errUnknownMime")


@pytest.mark.parametrize(
    ("entry", "member"),
    [
        ({"objname": "o"}, "b/o"),
        ({"objname": "d/o", "bucket": "c", "provider": "ais"}, "c/d/o"),
        ({"objname": "s.tar", "archpath": "x/y"}, "b/s.tar/x/y"),
        ({"uname": "ais/@#/c/d/o"}, "c/d/o"),
        ({"objname": "..."}, "b/..."),
    ],
)
def test_names_in_the_archive(entry: dict[str, Any], member: str) -> None:
    assert _parse({"in": [entry]}).entries[0].member == member
    assert _parse({"in": [entry], "onob": True}).entries[0].member == member.partition("/")[2]


@pytest.mark.parametrize(
    ("name", "archpath"), [("s.tar", "x/"), ("n" * 65_526, ""), ("ü" * 32_763, ""), ("s.tar", "n" * 65_530)]
)
def test_names_that_no_zip_can_hold(name: str, archpath: str) -> None:
    request = {"in": [{"objname": "o"}, {"objname": name, "archpath": archpath}]}
    assert _parse(request).format == ".tar"
    with pytest.raises(ApiError, match="a zip cannot have a file") as caught:
        _parse(request | {"mime": ".zip"})
    assert (caught.value.status, len(caught.value.message) < 200) == (400, True)


async def test_the_longest_name_of_a_zip(http: httpx.AsyncClient) -> None:
    entry = {"objname": "n" * 65_525, "bucket": "b", "provider": "s3"}  # which no folder is asked for
    answer = await _ask(http, [entry], strm=True, coer=True, mime=".zip")
    ((name, content),) = golden.read_archive(answer.content, ".zip")
    assert (len(name), name[:12], content) == (65_535, "__404__/b/nn", b"")


def test_providers_have_aliases() -> None:
    entries = [
        {"objname": "o", "bucket": "x", "provider": name}
        for name in ("", "ais", "s3", "gs", "az", "oc", "ht")
    ]
    found = [entry.provider for entry in _parse({"in": entries}).entries]
    assert found == ["ais", "ais", "aws", "gcp", "azure", "oci", "ht"]


BAD_REQUESTS: list[tuple[str, str]] = [
    ("", "invalid JSON"),
    ("[]", "not an object"),
    ("[" * 100_000, "invalid JSON"),
    ("\udc80", "invalid JSON"),
    ("{}", "moss: empty input"),
    ('{"in": 1}', '"in" is not a JSON array'),
    ('{"in": [1]}', "an entry is not an object"),
    ('{"in": [{}]}', 'invalid object name ""'),
    ('{"in": [{"objname": 1}]}', '"objname" is not a JSON string'),
    ('{"in": [{"objname": "o"}], "coer": 1}', '"coer" is not a JSON boolean'),
    ('{"in": [{"objname": "o"}], "mime": 1}', '"mime" is not a JSON string'),
    ('{"in": [{"objname": "o", "start": true}]}', '"start" is not a JSON integer'),
    ('{"in": [{"objname": "o", "start": 1.0, "length": 1}]}', '"start" is not a JSON integer'),
    ('{"in": [{"objname": "o", "start": -1, "length": 1}]}', "not satisfiable range"),
    ('{"in": [{"objname": "o", "length": -2}]}', "not satisfiable range"),
    ('{"in": [{"objname": "o", "start": 5}]}', "not satisfiable range"),
    ('{"in": [{"objname": "o", "opaque": "YQ"}]}', "illegal base64 data at input byte 0"),
    ('{"in": [{"objname": "o", "opaque": "YWJjYQ"}]}', "illegal base64 data at input byte 4"),
    ('{"in": [{"objname": "o", "opaque": "YW_j"}]}', "illegal base64 data at input byte 2"),
    ('{"in": [{"objname": "o", "opaque": "Y W Jj"}]}', "illegal base64 data at input byte 1"),
    ('{"in": [{"objname": "o", "opaque": "ü"}]}', "illegal base64 data at input byte 0"),
    ('{"in": [{"uname": "o"}]}', 'invalid uname "o"'),
    ('{"in": [{"uname": "ais/@x#y/b/o"}]}', "invalid uname"),
    ('{"in": [{"objname": "o", "bucket": ".."}]}', 'invalid bucket name ".."'),
    ('{"in": [{"objname": "o", "bucket": "a/b"}]}', 'invalid bucket name "a/b"'),
    ('{"in": [{"objname": "o", "bucket": "a\\u0000"}]}', "invalid name"),
    ('{"in": [{"objname": "o", "archpath": "a\\u0000"}]}', "invalid name"),
    ('{"in": [{"objname": "o\\u0000"}]}', "invalid name"),
    ('{"in": [{"objname": "\\udc80"}]}', "invalid name"),
    *(
        (f'{{"in": [{{"objname": "{name}"}}]}}', f'invalid object name "{name}"')
        for name in ("a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/.", "~/a")
    ),
]


@pytest.mark.parametrize(("body", "message"), BAD_REQUESTS)
def test_requests_that_are_none(body: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_batch(body.encode("utf-8", "surrogateescape"), "b")
    assert caught.value.status == 400
    assert message in caught.value.message


def test_an_entry_without_a_bucket() -> None:
    with pytest.raises(ApiError, match="no bucket") as caught:
        _parse({"in": [{"objname": "o"}]}, bucket=None)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("start", "length", "size", "expected"),
    [
        (0, 0, 10, (0, 10)),
        (0, -1, 10, (0, 10)),
        (3, -1, 10, (3, 7)),
        (10, -1, 10, (10, 0)),
        (0, 10, 10, (0, 10)),
        (9, 1, 10, (9, 1)),
        (0, 0, 0, (0, 0)),
        (11, -1, 10, None),
        (0, 11, 10, None),
        (9, 2, 10, None),
        (2**70, 1, 10, None),
    ],
)
def test_ranges(start: int, length: int, size: int, expected: tuple[int, int] | None) -> None:
    (entry,) = _parse({"in": [{"objname": "o", "start": start, "length": length}]}).entries
    if expected is None:
        with pytest.raises(RangeError, match=f"size={size}"):
            entry.cut(size)
    else:
        assert entry.cut(size) == expected


async def _ask(http: httpx.AsyncClient, names: list[Any], **options: Any) -> httpx.Response:  # noqa: ANN401
    entries = [{"objname": name} if isinstance(name, str) else name for name in names]
    return await http.request("GET", "/v1/ml/moss/b", json={"in": entries, **options})


@asynccontextmanager
async def _serving(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield http


@pytest.mark.parametrize("where", ["bucket", "provider"])
async def test_a_bucket_that_does_not_exist(http: httpx.AsyncClient, root: Path, where: str) -> None:
    (root / "b" / "o").write_bytes(b"data")
    other = (
        {"objname": "x", "bucket": "no"}
        if where == "bucket"
        else {"objname": "o", "bucket": "b", "provider": "s3"}
    )
    uri = "ais://no" if where == "bucket" else "aws://b"
    answer = await _ask(http, [other, "o"], strm=True, coer=True)
    name = f"__404__/{other['bucket']}/{other['objname']}"
    assert golden.read_archive(answer.content) == [(name, b""), ("b/o", b"data")]
    assert golden.read_archive((await _ask(http, ["o", other], strm=True)).content) == [("b/o", b"data")]
    answer = await _ask(http, [other, "o"], strm=True, coer=True, mime=".zip")
    assert golden.read_archive(answer.content, ".zip") == [(name, b""), ("b/o", b"data")]
    metadata, _ = _parts(await _ask(http, [other, "o"], coer=True))
    assert metadata["out"][0]["err_msg"] == f'bucket "{uri}" does not exist'
    refused = await _ask(http, [other, "o"])
    assert (refused.status_code, refused.json()["tcode"]) == (404, "ErrBckNotFound")


@pytest.mark.parametrize("query", ["provider=aws", "provider=s3", "provider=x", "namespace=@u%23n"])
async def test_other_providers_and_namespaces_have_no_buckets(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.request("GET", f"/v1/ml/moss/b?{query}", json={"in": [{"objname": "o"}]})
    assert (answer.status_code, answer.json()["tcode"]) == (404, "ErrBckNotFound")


def _parts(answer: httpx.Response) -> tuple[dict[str, Any], bytes]:
    assert answer.status_code == 200
    return golden.read_parts(answer.content, answer.headers["content-type"])


async def test_the_query_survives_the_redirect(http: httpx.AsyncClient, root: Path) -> None:
    (root / "b" / "o").write_bytes(b"data")
    answer = await http.request(
        "GET",
        "/v1/ml/moss/b?provider=ais&namespace=%40%23&coloc=1",
        json={"in": [{"objname": "o"}], "strm": True},
    )
    assert golden.read_archive(answer.content) == [("b/o", b"data")]
    assert answer.url.params["coloc"] == "1"


async def test_what_is_changed_between_the_two_requests_is_checked_again(http: httpx.AsyncClient) -> None:
    good = {"in": [{"objname": "o"}]}
    answer = await http.request("GET", "/v1/ml/moss/b", json=good, follow_redirects=False)
    assert (await http.request("GET", answer.headers["location"], content=b"{")).status_code == 400


@pytest.mark.parametrize("problem", ["range", "shard"])
async def test_what_cannot_be_had_ends_the_archive_even_if_errors_are_allowed(
    http: httpx.AsyncClient, root: Path, problem: str
) -> None:
    for name in ("a", "z", "bad.tar"):
        (root / "b" / name).write_bytes(b"data")
    bad = (
        {"objname": "a", "start": 3, "length": 2}
        if problem == "range"
        else {"objname": "bad.tar", "archpath": "x"}
    )
    answer = await _ask(http, ["a", bad, "z"], strm=True, coer=True)
    assert golden.read_archive(answer.content) == [("b/a", b"data")]
    refused = await _ask(http, ["a", bad, "z"], coer=True)
    assert refused.status_code == 400
    assert ("size=4" if problem == "range" else "cannot be read as an archive") in refused.json()["message"]


async def test_many_and_large_entries(http: httpx.AsyncClient, root: Path) -> None:
    """More than one hop to a thread, and more than one survey of sizes."""
    sizes = [0, 1, 511, 512, 513, 262_143, 262_144, 262_145, 1_000_000, *([100] * 1200)]
    for n, size in enumerate(sizes):
        (root / "b" / f"o{n}").write_bytes(os.urandom(size))
    expected = [(f"b/o{n}", (root / "b" / f"o{n}").read_bytes()) for n in range(len(sizes))]
    names = [f"o{n}" for n in range(len(sizes))]
    for mime in (".tar", ".tgz", ".tar.lz4", ".zip"):
        streamed = await _ask(http, names, mime=mime, strm=True)
        assert golden.read_archive(streamed.content, mime) == expected
        metadata, archive = _parts(await _ask(http, names, mime=mime))
        assert [entry["size"] for entry in metadata["out"]] == sizes
        assert golden.read_archive(archive, mime) == expected


async def test_members_carry_the_age_of_the_object(http: httpx.AsyncClient, root: Path) -> None:
    (root / "b" / "o").write_bytes(b"data")
    os.utime(root / "b" / "o", (1, 1_234_567_890.75))
    answer = await _ask(http, ["o"], strm=True)
    # A fraction of a second would cost a PAX header for each member.
    assert len(answer.content) == 512 + 512 + 1024
    assert int(answer.content[136:147], 8) == 1_234_567_890


async def test_opaque_comes_back_as_it_went(http: httpx.AsyncClient) -> None:
    marks = [base64.b64encode(bytes(range(n))).decode() for n in range(30)]
    entries = [{"objname": "no", "opaque": mark} for mark in marks]
    metadata, _ = _parts(await _ask(http, entries, coer=True))
    assert [entry.get("opaque", "") for entry in metadata["out"]] == marks


async def test_a_limit_of_zero_missing_entries(root: Path) -> None:
    (root / "b" / "o").write_bytes(b"data")
    async with _serving(create_app(root, redirect=False, max_soft_errors=0)) as http:
        answer = await _ask(http, ["o", "no", "o"], strm=True, coer=True)
        assert golden.read_archive(answer.content) == [("b/o", b"data")]
        refused = await _ask(http, ["o", "no", "o"], coer=True)
        assert refused.status_code == 400
        assert "exceeded soft-errors limit: 1 (max: 0)" in refused.json()["message"]


def _shrink(path: Path) -> None:
    os.truncate(path, 5)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x")


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("change", [_shrink, _overwrite, _grow])
@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small", "large"])
@pytest.mark.parametrize("mime", [".tar", ".tgz", ".zip"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_object_that_changes_while_it_is_read_cuts_the_connection(
    root: Path, change: Callable[[Path], None], size: int, mime: str, *, streaming: bool
) -> None:
    """What came before is whole; of the changed object at least a byte is missing; nothing is made up."""
    (root / "b" / "a").write_bytes(b"first")
    data = bytes(range(256)) * 4096
    path = root / "b" / "m"
    path.write_bytes(data[:size])
    os.utime(path, (1, 1))

    def on_read(name: str, offset: int) -> None:
        if name == "m" and offset == (0 if size == 10 else 262_144 * 3):
            change(path)

    async with _serving(serve_store(WatchedStore(root, on_read), redirect=False)) as http:
        request = {
            "in": [{"objname": "a"}, {"objname": "m"}, {"objname": "a"}],
            "mime": mime,
            "strm": streaming,
        }
        received = bytearray()

        async def receive() -> None:
            async with http.stream("GET", "/v1/ml/moss/b", content=json.dumps(request)) as answer:
                async for chunk in answer.aiter_raw():
                    received.extend(chunk)

        with pytest.raises(httpx.RemoteProtocolError):
            await receive()
        if mime == ".tar":
            start = received.find(b"b/a\0")
            assert received[start + 512 : start + 517] == b"first"
            assert len(received) - start - 1024 - 512 < size
        again = await http.get("/v1/objects/b/a")
        assert again.content == b"first"


@pytest.mark.parametrize("change", ["deleted", "larger", "smaller"])
async def test_metadata_that_no_longer_holds_cuts_the_connection(root: Path, change: str) -> None:
    for name in ("a", "m"):
        (root / "b" / name).write_bytes(b"0123456789")

    def on_read(name: str, _offset: int) -> None:
        """The first object is read after the sizes of both were told."""
        if name == "a":
            (root / "b" / "m").unlink()
            if change != "deleted":
                (root / "b" / "m").write_bytes(b"x" * (11 if change == "larger" else 0))

    store = WatchedStore(root, on_read)
    async with _serving(serve_store(store, redirect=False)) as http:
        entries = [{"objname": "a"}, {"objname": "m", "start": 5, "length": -1}]
        with pytest.raises(httpx.RemoteProtocolError):
            await _ask(http, entries)


async def test_what_was_missing_stays_missing_until_the_batch_is_over(root: Path) -> None:
    (root / "b" / "a").write_bytes(b"data")

    def on_read(_name: str, _offset: int) -> None:
        (root / "b" / "m").write_bytes(b"late")

    store = WatchedStore(root, on_read)
    async with _serving(serve_store(store, redirect=False)) as http:
        metadata, archive = _parts(await _ask(http, ["a", "m"], coer=True))
        assert [entry["size"] for entry in metadata["out"]] == [4, 0]
        assert golden.read_archive(archive) == [("b/a", b"data"), ("__404__/b/m", b"")]


async def test_reading_stops_when_the_client_is_gone(root: Path) -> None:
    for n in range(4):
        (root / "b" / f"o{n}").write_bytes(os.urandom(1 << 20))
    store = WatchedStore(root)
    files = open_files()
    async with running(serve_store(store, redirect=False)) as url:
        tasks = asyncio.all_tasks()
        body = json.dumps({"in": [{"objname": f"o{n % 4}"} for n in range(5000)], "strm": True}).encode()
        async with connection(url) as (reader, writer):
            writer.write(
                b"GET /v1/ml/moss/b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await reader.readexactly(3 << 20)
        await until(lambda: asyncio.all_tasks() == tasks)
        assert store.opened < 1000
        assert open_files() == files


async def test_a_client_that_leaves_during_the_survey(root: Path) -> None:
    """Of a multipart batch nothing is sent until all sizes are known: a gone client is noticed even so."""
    (root / "b" / "o").write_bytes(b"data")
    looked_up = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(WatchedStore):
        def open_object(self, bucket: str, name: str, /) -> Any:  # noqa: ANN401
            loop.call_soon_threadsafe(looked_up.set)
            return super().open_object(bucket, name)

    store = Slow(root)
    async with running(serve_store(store, redirect=False)) as url:
        tasks = asyncio.all_tasks()
        body = json.dumps({"in": [{"objname": "o"}] * 200_000}).encode()
        async with connection(url) as (_, writer):
            writer.write(
                b"GET /v1/ml/moss/b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await looked_up.wait()
        await until(lambda: asyncio.all_tasks() == tasks)
        assert store.opened < 200_000


async def test_nothing_is_read_ahead_of_a_client_that_does_not_take_it(root: Path) -> None:
    (root / "b" / "o").write_bytes(bytes(1 << 20))
    store = WatchedStore(root)
    gate = Gate(serve_store(store, redirect=False), count=3)
    async with _serving(gate) as http:
        ask = asyncio.create_task(_ask(http, ["o"] * 100, strm=True))
        await gate.reached.wait()
        reads = store.reads
        for _ in range(1000):
            await asyncio.sleep(0)
        assert store.reads == reads <= 5
        gate.opened.set()
        assert len(golden.read_archive((await ask).content)) == 100


async def test_nobody_waits_for_the_parsing_of_a_large_request(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def parse(body: bytes, bucket: str | None) -> Batch:
        threads.append(threading.current_thread())
        return parse_batch(body, bucket)

    monkeypatch.setattr("asyncbatch.server._batch.parse_batch", parse)
    await _ask(http, ["o"], strm=True)
    assert len(threads) == 2  # as proxy and as target
    assert threading.main_thread() not in threads


async def test_a_request_too_large(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncbatch.server._batch._MAX_REQUEST", 100)
    assert (await _ask(http, ["o" * 100])).status_code == 413


async def test_a_client_that_leaves_during_its_request(root: Path) -> None:
    app = create_app(root)
    ended = asyncio.Event()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        ended.set()

    async with running(watched) as url:
        tasks = asyncio.all_tasks()
        async with connection(url) as (_, writer):
            writer.write(b"GET /v1/ml/moss/b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            await until(lambda: len(asyncio.all_tasks()) > len(tasks))
        await ended.wait()  # and not with an error
        await until(lambda: asyncio.all_tasks() == tasks)


def test_a_store_is_all_it_takes(root: Path) -> None:
    assert serve_store(FolderStore(root)).routes
