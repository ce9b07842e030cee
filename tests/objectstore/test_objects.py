"""Buckets and objects, where buckets are folders."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from obstore.store import LocalStore, MemoryStore

from asyncbatch import (
    BucketNotFoundError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    RemoteError,
    TransportError,
    UsageError,
)
from asyncbatch.objectstore import Client
from asyncbatch.objectstore._upload import _AbandonedError, _Parts
from asyncbatch.transport import RetryPolicy

from ..support.leaks import nothing_left_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncbatch.objectstore import Bucket

pytestmark = pytest.mark.anyio

_LARGE = bytes(range(256)) * 8192  # 2 MiB: in more than one piece
_NAMES = [
    "a b",
    "a%20b",
    "a%b",
    "a#b?c",
    "ü/é",
    "a\\b",
    "a+b&c=d;e,f:g@h!$'()*~",
    "\x85\u2028",
    "..a",
    "x" * 200,
]


async def test_what_is_put_is_got(bucket: Bucket) -> None:
    obj = bucket.object("a/b.bin")
    await obj.put(b"0123456789")
    assert await obj.get() == b"0123456789"
    assert await obj.get(start=3) == b"3456789"
    assert await obj.get(start=3, length=4) == b"3456"
    assert await obj.get(start=8, length=4) == b"89"
    info = await obj.head()
    assert (info.name, info.size) == ("a/b.bin", 10)
    assert info.etag
    assert info.last_modified
    await obj.delete()
    with pytest.raises(ObjectNotFoundError):
        await obj.get()


@pytest.mark.parametrize("name", _NAMES, ids=range(len(_NAMES)))
async def test_names_are_taken_as_they_are(bucket: Bucket, name: str) -> None:
    await bucket.object(name).put(name.encode())
    assert await bucket.object(name).get() == name.encode()
    assert [info.name async for info in bucket.list_objects()] == [name]
    await bucket.object(name).delete()
    assert [info.name async for info in bucket.list_objects()] == []


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
async def test_objects_of_any_size(bucket: Bucket, size: int) -> None:
    await bucket.object("a").put(_LARGE[:size])
    assert await bucket.object("a").get() == _LARGE[:size]
    async with bucket.object("a").open() as body:
        assert b"".join([chunk async for chunk in body]) == _LARGE[:size]


async def test_a_body_tells_of_itself_and_is_read_once(bucket: Bucket) -> None:
    await bucket.object("a").put(_LARGE)
    body = bucket.object("a").open(start=1)
    for use in (lambda: body.info, lambda: aiter(body)):
        with pytest.raises(UsageError, match="inside an 'async with'"):
            use()
    async with body:
        assert (body.info.name, body.info.size) == ("a", len(_LARGE) - 1)
        assert _LARGE[1:].startswith(await anext(aiter(body)))
    with pytest.raises(UsageError, match="closed already"):
        await anext(body)
    with pytest.raises(UsageError, match="closed already"):
        await body.__aenter__()
    await body.aclose()
    await bucket.object("a").open().aclose()


async def test_a_body_has_one_reader(bucket: Bucket) -> None:
    await bucket.object("a").put(_LARGE)
    async with bucket.object("a").open() as body:
        first = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="being read already"):
            await anext(body)
        await first


async def test_closing_a_body_ends_it(bucket: Bucket) -> None:
    await bucket.object("a").put(_LARGE)
    async with nothing_left_open():
        async with bucket.object("a").open() as body:
            reading = asyncio.ensure_future(anext(body))
            await asyncio.sleep(0)
            await body.aclose()
            with pytest.raises(TransportError, match="closed while it was read"):
                await reading


@pytest.mark.parametrize(("start", "length"), [(10, None), (99, None), (10, 1), (99, 9)])
async def test_a_range_outside_of_an_object_is_an_error(
    bucket: Bucket, start: int, length: int | None
) -> None:
    await bucket.object("a").put(b"0123456789")
    with pytest.raises(RemoteError) as caught:
        await bucket.object("a").get(start=start, length=length)
    assert caught.value.status == 416
    assert caught.value.code == "InvalidRange"


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, 0), (0, -1)])
async def test_what_is_no_range_is_refused(bucket: Bucket, start: int, length: int | None) -> None:
    with pytest.raises(UsageError, match="is no range"):
        await bucket.object("a").get(start=start, length=length)


async def test_what_is_missing_is_told(client: Client, bucket: Bucket) -> None:
    missing, nowhere = bucket.object("a"), client.bucket("nowhere").object("a")
    for call in (missing.get, missing.head, missing.delete, missing.open().__aenter__):
        with pytest.raises(ObjectNotFoundError) as caught:
            await call()
        assert (caught.value.status, caught.value.name, caught.value.bucket) == (404, "a", "bucket")
    for call in (nowhere.get, nowhere.head, nowhere.delete, nowhere.open().__aenter__):
        with pytest.raises(BucketNotFoundError) as caught_bucket:
            await call()
        assert (caught_bucket.value.status, caught_bucket.value.bucket) == (404, "nowhere")
    with pytest.raises(BucketNotFoundError):
        await nowhere.put(b"")
    await missing.delete(missing_ok=True)


async def test_a_folder_is_no_object(client: Client, bucket: Bucket) -> None:
    await bucket.object("a/b").put(b"")
    for call in (bucket.object("a").get, bucket.object("a").head, bucket.object("a/b/c").get):
        with pytest.raises(ObjectNotFoundError):
            await call()
    with pytest.raises(ObjectNotFoundError):
        await bucket.object("x" * 300).get()


async def test_data_comes_from_a_path_or_an_iterable(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(_LARGE)
    obj = bucket.object("a")
    for data in (path, str(path)):
        await obj.put(data)
        assert await obj.get() == _LARGE
        await obj.put(b"")

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield _LARGE

    await obj.put(chunks(1))
    assert await obj.get() == _LARGE
    await obj.put(chunks(9))  # in more than one part
    assert await obj.get() == 9 * _LARGE
    await obj.put(bytearray(b"array"))
    await obj.put(memoryview(b"view"))
    assert await obj.get() == b"view"


async def test_what_cannot_be_stored_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot store list"):
        await bucket.object("a").put([b""])  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await bucket.object("a").put(tmp_path / "absent")


@pytest.mark.parametrize("count", [1, 9])
async def test_an_object_is_as_it_was_if_its_data_ends_in_an_error(bucket: Bucket, count: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield _LARGE
        raise RuntimeError("mine")

    obj = bucket.object("a")
    await obj.put(b"old")
    async with nothing_left_open():
        with pytest.raises(RuntimeError, match="mine"):
            await obj.put(broken())
    assert await obj.get() == b"old"


@pytest.mark.parametrize("count", [1, 9])
async def test_a_cancelled_upload_leaves_nothing(bucket: Bucket, count: int) -> None:
    stuck = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield _LARGE
        stuck.set()
        await asyncio.Event().wait()

    obj = bucket.object("a")
    await obj.put(b"old")
    async with nothing_left_open():
        upload = asyncio.ensure_future(obj.put(endless()))
        await stuck.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    assert await obj.get() == b"old"


async def test_whoever_waits_for_a_part_is_told_that_there_is_none() -> None:
    parts = _Parts()
    reader = asyncio.ensure_future(anext(aiter(parts)))
    await asyncio.sleep(0)
    parts.fail()
    await parts.left()
    with pytest.raises(_AbandonedError):
        await reader


async def test_no_more_is_held_than_allowed(tmp_path: Path) -> None:
    async with Client(f"file://{tmp_path}", limits=Limits(max_item_size=9)) as client:
        bucket = await client.bucket("bucket").create()
        await bucket.object("a").put(b"0123456789")
        with pytest.raises(LimitExceededError, match="max_item_size"):
            await bucket.object("a").get()
        assert await bucket.object("a").get(start=1) == b"123456789"
        async with bucket.object("a").open() as body:
            assert [chunk async for chunk in body] == [b"0123456789"]


async def test_objects_are_listed(bucket: Bucket) -> None:
    names = ["a", "b/1", "b/2", "b1", "c/d/e"]
    for name in names:
        await bucket.object(name).put(name.encode())
    found = [info async for info in bucket.list_objects(page_size=2)]
    assert sorted(info.name for info in found) == names
    assert {info.size for info in found} == {1, 2, 3, 5}
    for prefix in ("b", "b/", "b/1", "c/d", "x", "a/"):
        listed = [info.name async for info in bucket.list_objects(prefix=prefix)]
        assert sorted(listed) == [name for name in names if name.startswith(prefix)]
    with pytest.raises(UsageError, match="page_size=-1"):
        bucket.list_objects(page_size=-1)
    with pytest.raises(UsageError, match="cannot be asked for"):
        bucket.list_objects(prefix="a//b")


async def test_buckets_are_made_listed_and_removed(client: Client) -> None:
    bucket = client.bucket("one")
    assert not await bucket.exists()
    assert await bucket.create() is bucket
    assert await bucket.exists()
    with pytest.raises(RemoteError) as caught:
        await bucket.create()
    assert caught.value.status == 409
    await bucket.create(exist_ok=True)
    assert [info async for info in bucket.list_objects()] == []
    await (await client.bucket("two").create()).object("a/b").put(b"")
    assert sorted([found.name async for found in client.list_buckets()]) == ["one", "two"]
    for name in ("one", "two"):
        await client.bucket(name).destroy()
        with pytest.raises(BucketNotFoundError):
            await client.bucket(name).destroy()
        await client.bucket(name).destroy(missing_ok=True)
    assert [found async for found in client.list_buckets()] == []
    with pytest.raises(BucketNotFoundError):
        await anext(bucket.list_objects())


async def test_a_bucket_that_is_a_link_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    async with Client(f"file://{tmp_path}/root") as client:
        with pytest.raises(RemoteError):
            await client.bucket("link").destroy()
    assert (tmp_path / "elsewhere").is_dir()


async def test_a_bucket_beneath_a_missing_folder_cannot_be_made(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with Client(f"file://{root}") as client:
        root.rmdir()
        with pytest.raises(BucketNotFoundError):
            await client.bucket("a").create()
        assert [bucket async for bucket in client.list_buckets()] == []


async def test_a_file_of_an_inexpressible_name_ends_a_listing(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "a\nb").touch()
    async with Client(f"file://{tmp_path}") as client:
        with pytest.raises(RemoteError, match="illegal character"):
            await anext(client.bucket("bucket").list_objects())


async def test_a_file_that_changes_while_it_is_read_is_not_mixed_with_another(tmp_path: Path) -> None:
    path = tmp_path / "bucket" / "a"
    path.parent.mkdir()
    async with Client(f"file://{tmp_path}") as client:
        for change in (lambda: path.write_bytes(_LARGE[::-1]), lambda: os.truncate(path, 9), path.unlink):
            path.write_bytes(_LARGE)
            os.utime(path, (1, 1))
            async with client.bucket("bucket").object("a").open() as body:
                await anext(body)
                change()
                with pytest.raises(TransportError, match="changed while it was read") as caught:
                    await anext(body)
                assert caught.value.retryable


async def test_a_file_that_is_written_to_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bucket" / "a"
    path.parent.mkdir()
    path.write_bytes(b"old data")
    os.utime(path, (1, 1))
    read, changes = os.pread, [path.write_bytes]

    def pread(file: int, length: int, offset: int) -> bytes:
        half = read(file, length // 2, offset)
        while changes:
            changes.pop()(b"new data")
        return half + read(file, length - length // 2, offset + length // 2)

    monkeypatch.setattr(os, "pread", pread)
    async with Client(f"file://{tmp_path}", retry=RetryPolicy(base_delay=0)) as client:
        assert await client.bucket("bucket").object("a").get() == b"new data"


async def test_only_what_is_small_is_read_before_its_size_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, sizes = os.pread, []

    def pread(file: int, length: int, offset: int) -> bytes:
        sizes.append(length)
        return read(file, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    async with Client(f"file://{tmp_path}") as client:
        bucket = await client.bucket("bucket").create()
        for size, before, after in [(10, [10], [10]), (1 << 20, [], [1 << 20]), (5 << 20, [], [1 << 20] * 5)]:
            await bucket.object("a").put(bytes(size))
            sizes.clear()
            async with bucket.object("a").open() as body:
                assert body.info.size == size
                assert sizes == before
                assert sum([len(chunk) async for chunk in body]) == size
            assert sizes == after


async def test_a_file_has_one_tag_however_it_is_read(tmp_path: Path) -> None:
    async with Client(f"file://{tmp_path}") as client:
        bucket = await client.bucket("bucket").create()
        for data in (b"small", _LARGE):
            await bucket.object("a").put(data)
            head = await bucket.object("a").head()
            async with bucket.object("a").open() as body:
                assert body.info.etag == head.etag
                assert body.info.last_modified is not None
                assert head.last_modified is not None
                assert abs(body.info.last_modified - head.last_modified) < timedelta(milliseconds=1)


async def test_a_pipe_is_no_object_and_not_waited_for(tmp_path: Path) -> None:
    async with Client(f"file://{tmp_path}") as client:
        bucket = await client.bucket("bucket").create()
        os.mkfifo(tmp_path / "bucket" / "pipe")
        with pytest.raises(ObjectNotFoundError):
            await bucket.object("pipe").get()


async def test_a_file_inside_an_object_is_got_by_itself(bucket: Bucket) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("dir/file")
        info.size = 10
        tar.addfile(info, io.BytesIO(b"0123456789"))
    shard = bucket.object("shard.tar")
    await shard.put(buffer.getvalue())
    assert await shard.get(archpath="dir/file") == b"0123456789"
    assert await shard.get(archpath="/dir/file", start=3, length=99) == b"3456789"
    async with shard.open(archpath="dir/file", start=8) as body:
        assert (body.info.name, body.info.size) == ("shard.tar", 2)
        assert [chunk async for chunk in body] == [b"89"]
    with pytest.raises(ObjectNotFoundError, match="there is no file 'absent' in it"):
        await shard.get(archpath="absent")


async def test_the_same_store_is_shared_by_handing_it_over(tmp_path: Path) -> None:
    memory = MemoryStore()
    async with Client(memory) as one, Client(memory) as other:
        bucket = await one.bucket("bucket").create()
        await bucket.object("a").put(b"data")
        assert await other.bucket("bucket").object("a").get() == b"data"
    async with Client(LocalStore()) as client:  # the whole file system
        first = tmp_path.parts[1]
        assert await client.bucket(first).exists()


async def test_reprs_say_what_they_are(client: Client, bucket: Bucket) -> None:
    assert repr(client).startswith("<objectstore.Client ")
    assert repr(bucket) == f"<Bucket {bucket.provider}://bucket>"
    assert repr(bucket.object("a")) == f"<Object {bucket.provider}://bucket/a>"


async def test_a_bucket_has_to_be_named_where_the_url_names_none(client: Client) -> None:
    assert client.default_bucket is None
    with pytest.raises(UsageError, match="names no bucket"):
        client.bucket()
    with pytest.raises(UsageError, match="is a name: say in which bucket"):
        client.get_batch(["a"])


async def test_what_a_server_has_for_itself_is_no_bucket(tmp_path: Path) -> None:
    for name in (".asyncbatch", "one"):
        (tmp_path / name).mkdir()
    async with Client(tmp_path.as_uri()) as client:
        assert [bucket.name async for bucket in client.list_buckets()] == ["one"]
