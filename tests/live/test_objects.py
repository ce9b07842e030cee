"""Objects, buckets and listings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncbatch import BucketNotFoundError, ObjectNotFoundError, RemoteError, UsageError

from .conftest import made_bucket
from .stock import FILES, NOISE, OBJECTS, ODD_NAMES, SHARDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncbatch.aistore import Bucket, Client

pytestmark = [pytest.mark.live, pytest.mark.anyio]

LARGE = NOISE * 20


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]


# -- objects -----------------------------------------------------------------------------------------------


async def test_every_object_is_what_was_stored(bucket: Bucket) -> None:
    for name, data in OBJECTS.items():
        assert await bucket.object(name).get() == data


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names(empty_bucket: Bucket, name: str) -> None:
    one = empty_bucket.object(name)
    await one.put(b"odd")
    assert await one.get() == b"odd"
    assert (await one.head()).size == 3
    assert [info.name async for info in empty_bucket.list_objects()] == [name]
    await one.delete()
    assert [info.name async for info in empty_bucket.list_objects()] == []


async def test_what_is_stored_may_be_bytes_a_file_or_a_stream(empty_bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    await empty_bucket.object("bytes").put(LARGE)
    await empty_bucket.object("path").put(file)
    await empty_bucket.object("stream").put(pieces())
    for name in ("bytes", "path", "stream"):
        assert await empty_bucket.object(name).get() == LARGE
        info = await empty_bucket.object(name).head()
        assert (info.name, info.size) == (name, len(LARGE))


async def test_an_object_is_replaced(empty_bucket: Bucket) -> None:
    for data in (b"first", b"second, which is longer", b""):
        await empty_bucket.object("one").put(data)
        assert await empty_bucket.object("one").get() == data
        assert (await empty_bucket.object("one").head()).size == len(data)


async def test_a_large_object_in_chunks(empty_bucket: Bucket) -> None:
    await empty_bucket.object("large").put(LARGE)
    async with empty_bucket.object("large").open() as body:
        assert body.info.size == len(LARGE)
        chunks = [bytes(chunk) async for chunk in body]
    assert b"".join(chunks) == LARGE
    assert len(chunks) > 1


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (10, 100), (299_999, 1), (299_990, None), (1, None), (299_990, 1000)]
)
async def test_ranges(bucket: Bucket, start: int, length: int | None) -> None:
    data = OBJECTS["size-300000"][start:][:length]
    assert await bucket.object("size-300000").get(start=start, length=length) == data
    async with bucket.object("size-300000").open(start=start, length=length) as body:
        assert b"".join([bytes(chunk) async for chunk in body]) == data


async def test_a_range_behind_the_end(bucket: Bucket) -> None:
    with pytest.raises(RemoteError) as caught:
        await bucket.object("size-300000").get(start=300_000)
    assert caught.value.status == 416


@pytest.mark.parametrize("shard", SHARDS)
async def test_files_out_of_shards(bucket: Bucket, shard: str) -> None:
    for path, data in FILES.items():
        assert await bucket.object(shard).get(archpath=path) == data
    with pytest.raises(ObjectNotFoundError):
        await bucket.object(shard).get(archpath="no/such/file")


async def test_an_object_that_does_not_exist(bucket: Bucket) -> None:
    one = bucket.object("no/such/object")
    for call in (one.get, one.head, one.delete):
        with pytest.raises(ObjectNotFoundError) as caught:
            await call()
        assert (caught.value.status, caught.value.name, caught.value.bucket) == (404, one.name, bucket.name)
    await one.delete(missing_ok=True)


async def test_an_object_in_a_bucket_that_does_not_exist(client: Client) -> None:
    one = client.bucket("asyncbatch-live-nowhere").object("a")
    for call in (one.get, one.head, one.delete, lambda: one.put(b"data")):
        with pytest.raises(BucketNotFoundError) as caught:
            await call()
        assert caught.value.status == 404


@pytest.mark.parametrize("name", ["../up", "a/../b", "./here", "folder/", "~/home", "line\nend", ""])
async def test_names_that_no_object_has(bucket: Bucket, name: str) -> None:
    with pytest.raises(UsageError):
        await bucket.object(name).put(b"data")


# -- buckets -----------------------------------------------------------------------------------------------


async def test_a_bucket_comes_and_goes(client: Client) -> None:
    async with made_bucket(client) as bucket:
        assert await bucket.exists()
        assert bucket.name in [one.name async for one in client.list_buckets()]
        await bucket.create(exist_ok=True)
        with pytest.raises(RemoteError) as caught:
            await bucket.create()
        assert caught.value.status == 409
        await bucket.destroy()
        assert not await bucket.exists()
        await bucket.destroy(missing_ok=True)
        with pytest.raises(BucketNotFoundError):
            await bucket.destroy()
        assert bucket.name not in [one.name async for one in client.list_buckets()]


async def test_a_bucket_that_does_not_exist_has_no_listing(client: Client) -> None:
    with pytest.raises(BucketNotFoundError):
        await anext(client.bucket("asyncbatch-live-nowhere").list_objects())


@pytest.mark.parametrize("name", ["with space", "ünïcode", "a?b"])
async def test_a_name_that_no_bucket_has(client: Client, name: str) -> None:
    with pytest.raises(RemoteError) as caught:
        await client.bucket(name).object("a").get()
    assert caught.value.status in {400, 404}


# -- listings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [0, 1, 7, 1000])
async def test_a_listing_has_every_object_once(bucket: Bucket, page_size: int) -> None:
    expected = {name: len(data) for name, data in (OBJECTS | SHARDS).items()}
    found = [(info.name, info.size) async for info in bucket.list_objects(page_size=page_size)]
    assert len(found) == len(expected)
    assert dict(found) == expected
    assert [name for name, _ in found] == sorted(expected, key=str.encode)


@pytest.mark.parametrize("prefix", ["small/", "small/1", "size-", "äöü/", "no/such"])
async def test_a_listing_of_a_prefix(bucket: Bucket, prefix: str) -> None:
    found = [info.name async for info in bucket.list_objects(prefix=prefix, page_size=4)]
    assert found == sorted((name for name in OBJECTS if name.startswith(prefix)), key=str.encode)


async def test_an_empty_listing(empty_bucket: Bucket) -> None:
    assert [info async for info in empty_bucket.list_objects()] == []
