"""What every source does alike."""

from __future__ import annotations

import asyncio
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from asyncbatch import AuthenticationError, BatchRequest, ObjectNotFoundError
from asyncbatch.errors import RemoteError

from ..support.leaks import nothing_left_open, until

if TYPE_CHECKING:
    from .conftest import Source

pytestmark = pytest.mark.anyio

FILES = {"a/one.txt": b"first", "two.bin": bytes(range(256)) * 40, "empty": b""}


def make_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def make_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return file.getvalue()


async def test_items_come_in_order_and_as_often_as_asked_for(source: Source) -> None:
    objects = {f"dir/{index:03}": bytes([index]) * (index * 37) for index in range(60)}
    await source.put(objects)
    names = [*reversed(objects), "dir/007", "dir/000", "dir/007"]
    async with source.client.get_batch(names, bucket=source.bucket) as batch:
        items = await batch.read_all()
    assert [(item.index, item.name, item.size) for item, _ in items] == [
        (index, name, len(objects[name])) for index, name in enumerate(names)
    ]
    assert [data for _, data in items] == [objects[name] for name in names]
    assert not any(item.error or item.missing for item, _ in items)
    assert (batch.stats.items, batch.stats.missing, batch.stats.resumes) == (len(names), 0, 0)


async def test_what_is_missing_is_an_item_that_says_so(source: Source) -> None:
    await source.put({"a": b"1", "e": b""})
    names = ["gone", "a", "no/such", "e", "a", "gone"]
    batch = source.client.get_batch(names, bucket=source.bucket, continue_on_err=True)
    items = await batch.read_all()
    assert [item.missing for item, _ in items] == [True, False, True, False, False, True]
    assert [bool(item.error) for item, _ in items] == [item.missing for item, _ in items]
    assert [data for _, data in items] == [b"", b"1", b"", b"", b"1", b""]


async def test_everything_may_be_missing(source: Source) -> None:
    batch = source.client.get_batch(["a", "b"], bucket=source.bucket, continue_on_err=True)
    assert [item.missing for item, _ in await batch.read_all()] == [True, True]


async def test_a_strict_batch_raises_at_what_is_missing(source: Source) -> None:
    await source.put({"a": b"1"})
    batch = source.client.get_batch(["a", "gone", "a"], bucket=source.bucket)
    assert (await anext(batch)).data == b"1"
    with pytest.raises(ObjectNotFoundError) as caught:
        await anext(batch)
    assert (caught.value.name, caught.value.bucket) == ("gone", source.bucket.name)


async def test_ranges_are_cut_out(source: Source) -> None:
    await source.put({"a": bytes(range(200)), "b": b"whole"})
    request = BatchRequest(continue_on_err=True)
    a, b = source.bucket.object("a"), source.bucket.object("b")
    request.add_object_request(a, start=10, length=5)
    request.add_object_request(b)
    request.add_object_request(a, start=190)
    request.add_object_request(a, start=199, length=1, opaque=b"mine")
    request.add_object_request(a, length=3)
    items = await source.client.get_batch(request).read_all()
    whole = bytes(range(200))
    assert [data for _, data in items] == [whole[10:15], b"whole", whole[190:], whole[199:], whole[:3]]
    assert [item.opaque for item, _ in items] == [None, None, None, b"mine", None]
    assert not any(item.error for item, _ in items)


@pytest.mark.parametrize(("start", "length"), [(198, 3), (200, 1), (5000, 10), (0, 201)])
async def test_a_range_that_is_not_there_is_an_error(source: Source, start: int, length: int) -> None:
    await source.put({"a": bytes(range(200))})
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(source.bucket.object("a"), start=start, length=length)
    request.add_object_request(source.bucket.object("a"))
    (item, data), (_, whole) = await source.client.get_batch(request).read_all()
    assert item.error
    assert not item.missing
    assert (data, whole) == (b"", bytes(range(200)))


@pytest.mark.parametrize("shard", ["shard.tar", "shard.zip"])
async def test_files_come_out_of_shards(source: Source, shard: str) -> None:
    await source.put({shard: make_tar() if shard.endswith(".tar") else make_zip(), "plain": b"x"})
    request = BatchRequest(continue_on_err=True)
    obj = source.bucket.object(shard)
    for archpath in (*FILES, "no/such/file", "two.bin"):
        request.add_object_request(obj, archpath=archpath)
    request.add_object_request(source.bucket.object("plain"))
    request.add_object_request(obj, archpath="two.bin", start=250, length=12)
    items = await source.client.get_batch(request).read_all()
    two = FILES["two.bin"]
    assert [data for _, data in items] == [*FILES.values(), b"", two, b"x", two[250:262]]
    assert [item.missing for item, _ in items] == [False, False, False, True, False, False, False]
    assert [item.archpath for item, _ in items][:2] == list(FILES)[:2]


async def test_an_empty_batch_is_over_at_once(source: Source) -> None:
    async with source.client.get_batch([], bucket=source.bucket) as batch:
        assert await batch.read_all() == []
    assert batch.stats.requests == 0


async def test_names_are_taken_as_they_are(source: Source) -> None:
    names = ["a b", "ünï/çødé", "50%41", "x+y&z=1?q#f", "quote'\"", "k" * 200, "~tilde", "back\\slash"]
    objects = {name: name.encode() for name in names}
    await source.put(objects)
    items = await source.client.get_batch(names, bucket=source.bucket).read_all()
    assert {item.name: data for item, data in items} == objects
    assert sorted([info.name async for info in source.bucket.list_objects()]) == sorted(names)


async def test_a_large_object_comes_in_chunks(source: Source) -> None:
    data = bytes(range(256)) * 12_000
    await source.put({"large": data, "small": b"1"})
    async with source.client.get_batch(["small", "large", "small"], bucket=source.bucket) as batch:
        found = [b"".join([chunk async for chunk in member]) async for member in batch.members()]
    assert found == [b"1", data, b"1"]


async def test_the_loader_reads_the_same(source: Source) -> None:
    await source.put({"a": b"1", "b": b"22"})
    request = BatchRequest()
    for name in ("b", "a"):
        request.add_object_request(source.bucket.object(name))
    async with source.client.batch_loader().get_batch(request) as batch:
        assert [data async for _, data in batch] == [b"22", b"1"]


@pytest.mark.parametrize("rounds", [0, 1, 2, 5, 20, 100])
async def test_nothing_is_left_of_a_batch_that_is_cancelled(source: Source, rounds: int) -> None:
    objects = {str(index): bytes(40_000) for index in range(20)}
    await source.put(objects)

    async def read() -> None:
        async with source.client.get_batch([*objects] * 3, bucket=source.bucket) as batch:
            async for _ in batch:
                await asyncio.sleep(0)

    before = asyncio.all_tasks()
    task = asyncio.create_task(read())
    for _ in range(rounds):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if source.proxy is None:  # else there are servers, which have tasks of their own
        await until(lambda: not asyncio.all_tasks() - before)
    # And the client goes on.
    assert len(await source.client.get_batch([*objects], bucket=source.bucket).read_all()) == 20


async def test_a_batch_that_is_cut_goes_on_where_it_stopped(source: Source) -> None:
    if source.proxy is None:
        pytest.skip("there is no network")
    objects = {f"{index:02}": bytes([index]) * 20_000 for index in range(40)}
    await source.put(objects)
    source.proxy.fuses = [50_001, 130_000, 3, 90_000]
    batch = source.client.get_batch([*objects, "gone", "00"], bucket=source.bucket, continue_on_err=True)
    items = await batch.read_all()
    assert [data for _, data in items] == [*objects.values(), b"", objects["00"]]
    assert source.proxy.cut == 4


async def test_objects_are_written_read_listed_and_removed(source: Source) -> None:
    obj = source.bucket.object("dir/a.bin")
    await obj.put(b"0123456789")
    assert await obj.get() == b"0123456789"
    assert await obj.get(start=2, length=3) == b"234"
    async with obj.open() as body:
        assert b"".join([chunk async for chunk in body]) == b"0123456789"
    assert (await obj.head()).size == 10

    async def chunks() -> object:
        for part in (b"one", b"", b"two"):
            yield part

    await source.bucket.object("dir/b.bin").put(chunks())
    await source.bucket.object("other").put(b"")
    listed = [(info.name, info.size) async for info in source.bucket.list_objects(prefix="dir/")]
    assert listed == [("dir/a.bin", 10), ("dir/b.bin", 6)]
    await obj.delete()
    await obj.delete(missing_ok=True)
    with pytest.raises(ObjectNotFoundError):
        await obj.get()
    with pytest.raises(ObjectNotFoundError):
        await obj.head()


async def test_a_bucket_that_does_not_exist_is_said_to_be_missing(source: Source) -> None:
    bucket = source.client.bucket("no-such-bucket")
    with pytest.raises(RemoteError) as caught:
        await source.client.get_batch(["a"], bucket=bucket).read_all()
    assert caught.value.status == 404


async def test_a_client_that_was_left_leaves_nothing(source: Source) -> None:
    await source.put({"a": b"1"})
    async with nothing_left_open():
        assert (await source.client.get_batch(["a"], bucket=source.bucket).read_all())[0].data == b"1"
        await source.client.aclose()


async def test_who_is_not_known_is_told_so_and_not_that_objects_are_missing(source: Source) -> None:
    if source.stranger is None:
        pytest.skip("there are no credentials")
    await source.put({"a": b"1234"})
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(source.bucket.object("a"))
    request.add_object_request(source.bucket.object("a"), start=1, length=2)
    async with source.stranger as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.get_batch(request).read_all()
        with pytest.raises(AuthenticationError):
            await stranger.bucket(source.bucket.name).object("a").get()
