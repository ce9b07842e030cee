"""Batches, where a store has no call for them: what `tests/sources` does not show of every source alike."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from asyncbatch import (
    BatchRequest,
    BucketNotFoundError,
    ObjectNotFoundError,
    RemoteError,
    TransportError,
    UsageError,
    aistore,
)
from asyncbatch.archive._sources import close_source
from asyncbatch.objectstore import Client

from ..support.leaks import nothing_left_open
from ..support.loops import LOOPS

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.objectstore import Bucket

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    backend: object = request.param
    return backend


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def file_request(bucket: Bucket, archpath: str, *, start: int = 0, length: int | None = None) -> BatchRequest:
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(bucket.object("shard.tar"), archpath=archpath, start=start, length=length)
    return request


async def test_small_and_large_come_in_order(client: Client, bucket: Bucket) -> None:
    objects = {f"{size}": os.urandom(size) for size in (0, 1, 16384, (1 << 20) + 1, 3 << 20)}
    for name, data in objects.items():
        await bucket.object(name).put(data)
    async with nothing_left_open():
        async with client.get_batch(list(objects) * 3, bucket="bucket") as batch:
            assert [(item.name, data) async for item, data in batch] == list(objects.items()) * 3


async def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    async with Client(f"file://{tmp_path}", max_concurrency=2, max_memory="64KiB") as client:
        bucket = await client.bucket("bucket").create()
        names = [str(number) for number in range(20)]
        for name in names:
            await bucket.object(name).put(name.encode() * 10_000)
        singles = client._source._singles
        async with client.get_batch(names, bucket=bucket) as batch:
            async for item, data in batch:
                assert data == item.name.encode() * 10_000
                assert singles.running <= 3
                assert singles.held <= 65_536 + 20_000
        assert (singles.running, singles.held) == (0, 0)


async def test_a_missing_bucket_is_told(client: Client, bucket: Bucket) -> None:
    with pytest.raises(BucketNotFoundError):
        await client.get_batch(["a"], bucket="nowhere").read_all()
    items = await client.get_batch(["a"], bucket="nowhere", continue_on_err=True).read_all()
    assert [item.missing for item, _ in items] == [True]


async def test_a_range_has_to_be_in_the_object(bucket: Bucket, client: Client) -> None:
    await bucket.object("a").put(b"0123456789")
    request = BatchRequest(continue_on_err=True)
    ranges = ((8, 2), (8, 3), (9, None), (10, None), (20, 1), (1 << 70, None), (1 << 70, 1), (1, 1 << 70))
    for start, length in ranges:
        request.add_object_request(bucket.object("a"), start=start, length=length)
    items = await client.get_batch(request).read_all()
    assert [data for _, data in items] == [b"89", b"", b"9", b"", b"", b"", b"", b""]
    assert [item.error is None for item, _ in items] == [True, False, True, *[False] * 5]
    assert await bucket.object("a").get(start=1, length=1 << 70) == b"123456789"
    assert not any(item.missing for item, _ in items)


async def test_a_batch_that_is_left_leaves_nothing(client: Client, bucket: Bucket) -> None:
    names = [str(number) for number in range(50)]
    for name in names:
        await bucket.object(name).put(bytes(100_000))
    async with nothing_left_open():
        async with client.get_batch(names, bucket=bucket) as batch:
            await anext(batch)
        reading = asyncio.ensure_future(client.get_batch(names, bucket=bucket).read_all())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_names_that_cannot_be_asked_for_are_refused_with_their_index(client: Client) -> None:
    with pytest.raises(UsageError, match="cannot be asked for") as caught:
        client.get_batch(["a", "b\nc"], bucket="bucket")
    assert caught.value.index == 1


async def test_objects_of_another_client_are_refused(client: Client) -> None:
    async with aistore.Client("http://host") as other:
        foreign = other.bucket("bucket").object("a")
    with pytest.raises(UsageError, match="an object of ais:// cannot be had from") as caught:
        client.get_batch([client.bucket("bucket").object("a"), foreign])
    assert caught.value.index == 1


async def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(UsageError, match="max_concurrency=0"):
        Client("memory:///", max_concurrency=0)
    with pytest.raises(UsageError, match="max_memory"):
        Client("memory:///", max_memory="many")


async def test_the_loader_takes_its_options(client: Client, bucket: Bucket) -> None:
    await bucket.object("a").put(b"data")
    request = BatchRequest()
    request.add_object_request(bucket.object("a"))
    async with client.batch_loader(max_concurrency=2, max_memory="1MiB") as loader:
        assert [data async for _, data in loader.stream([request, request])] == [b"data", b"data"]


async def test_a_store_names_itself(client: Client) -> None:
    assert client._source.server == (client.bucket("bucket").provider, None, None)
    async with Client("http://host:81/path") as web:
        assert web._source.server == ("http", "host", 81)


# -- files in shards ----------------------------------------------------------------------------------------


async def test_ranges_of_files_in_shards(client: Client, bucket: Bucket) -> None:
    await bucket.object("shard.tar").put(tar_of(a=b"0123456789", empty=b""))
    request = BatchRequest(continue_on_err=True)
    shard = bucket.object("shard.tar")
    for start, length in ((0, None), (2, 3), (7, 3), (7, 4), (10, None), (11, None)):
        request.add_object_request(shard, archpath="a", start=start, length=length)
    request.add_object_request(shard, archpath="empty")
    items = await client.get_batch(request).read_all()
    assert [data for _, data in items] == [b"0123456789", b"234", b"789", b"", b"", b"", b""]
    assert [item.error is not None for item, _ in items] == [False, False, False, True, False, True, False]
    assert not any(item.missing for item, _ in items)


async def test_a_shard_that_was_replaced_is_read_anew(client: Client, bucket: Bucket) -> None:
    shard = bucket.object("shard.tar")
    for content in (b"1", b"22", b"333" * 500_000):
        await shard.put(tar_of(before=bytes(len(content)), a=content))
        ((_, data),) = await client.get_batch(file_request(bucket, "a")).read_all()
        assert data == content
        ((missing, _),) = await client.get_batch(file_request(bucket, "b")).read_all()
        assert missing.missing
    await shard.put(tar_of(b=b"new"))
    ((_, data),) = await client.get_batch(file_request(bucket, "b")).read_all()
    assert data == b"new"
    await shard.delete()
    ((missing, _),) = await client.get_batch(file_request(bucket, "b")).read_all()
    assert missing.missing
    with pytest.raises(ObjectNotFoundError):
        await shard.get(archpath="b")


async def test_a_shard_that_changes_while_it_is_read_is_not_mixed_with_another(tmp_path: Path) -> None:
    async with Client(f"file://{tmp_path}") as client:
        shard = (await client.bucket("bucket").create()).object("shard.tar")
        await shard.put(tar_of(a=bytes(3 << 20)))
        async with shard.open(archpath="a") as body:
            await anext(body)
            await shard.put(tar_of(a=b"x" * (3 << 20)))
            with pytest.raises(TransportError, match="changed while it was read"):
                async for _ in body:
                    pass


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("shard.tar", b"x" * 2000, "checksum"),
        ("shard.bin", b"", "its name ends in none of"),
        ("shard.tar", tar_of(a=bytes(2000))[:1500], ""),
    ],
    ids=["damaged", "no shard", "cut"],
)
async def test_a_shard_that_cannot_be_read_is_an_error_of_its_entry(
    client: Client, bucket: Bucket, name: str, content: bytes, message: str
) -> None:
    shard = bucket.object(name)
    await shard.put(content)
    await bucket.object("plain").put(b"data")
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(shard, archpath="a")
    request.add_object_request(bucket.object("plain"))
    (bad, _), (_, data) = await client.get_batch(request).read_all()
    assert not bad.missing
    assert message in (bad.error or "")
    assert data == b"data"
    with pytest.raises(RemoteError) as caught:
        await shard.get(archpath="a")
    assert caught.value.status == 422


async def test_a_shard_may_turn_out_to_be_damaged_at_its_end(client: Client, bucket: Bucket) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", bytes(3 << 20))
    content = bytearray(buffer.getvalue())
    content[2 << 20] = 1
    await bucket.object("shard.zip").put(content)
    async with bucket.object("shard.zip").open(archpath="a") as body:
        await anext(body)
        with pytest.raises(RemoteError, match="CRC-32") as caught:
            async for _ in body:
                pass
    assert caught.value.status == 422


async def test_a_compressed_shard_is_read_from_its_beginning(client: Client, bucket: Bucket) -> None:
    await bucket.object("shard.tar.gz").put(gzip.compress(tar_of(a=bytes(100), b=b"data")))
    assert await bucket.object("shard.tar.gz").get(archpath="b") == b"data"
    reader = client._source.shards
    stream = reader._versions["bucket", "shard.tar.gz"].stream(0, None)
    await close_source(stream)  # before anything was asked for


async def test_the_version_of_a_shard_is_asked_for_once(bucket: Bucket, client: Client) -> None:
    await bucket.object("shard.tar").put(tar_of(**{str(number): b"1" for number in range(20)}))
    request = BatchRequest()
    for number in range(20):
        request.add_object_request(bucket.object("shard.tar"), archpath=str(number))
    items = await client.get_batch(request).read_all()
    assert [data for _, data in items] == [b"1"] * 20
    shards = client._source.shards
    assert len(shards._versions) == 1
    assert shards._shards.statistics().indexes == 1


def test_a_client_may_go_from_one_event_loop_to_the_next(tmp_path: Path) -> None:
    client = Client(f"file://{tmp_path}")

    async def read(content: bytes) -> None:
        bucket = await client.bucket("bucket").create(exist_ok=True)
        await bucket.object("shard.tar").put(tar_of(a=content))
        batches = [client.get_batch(file_request(bucket, "a")) for _ in range(9)]
        for items in await asyncio.gather(*(batch.read_all() for batch in batches)):
            assert [data for _, data in items] == [content]

    asyncio.run(read(b"1"))
    asyncio.run(read(b"22"))
    assert not client._source.shards._locks


async def test_versions_are_not_kept_without_end(
    bucket: Bucket, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncbatch.objectstore._shard._MAX_VERSIONS", 2)
    for name in ("1.tar", "2.tar", "3.tar"):
        await bucket.object(name).put(tar_of(a=name.encode()))
        assert await bucket.object(name).get(archpath="a") == name.encode()
    assert list(client._source.shards._versions) == [("bucket", "2.tar"), ("bucket", "3.tar")]
