"""Batches in which something is missing: whole all the same, or an error that says what it was."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from asyncbatch import BucketNotFoundError, ObjectNotFoundError

from .conftest import read_to_error, request_for
from .stock import FILES, OBJECTS, SHARDS

if TYPE_CHECKING:
    from asyncbatch import BatchItem
    from asyncbatch.aistore import Bucket, Client

    from .conftest import Way

pytestmark = [pytest.mark.live, pytest.mark.anyio]

_SMALL = [name for name in OBJECTS if name.startswith("small/")]


def mixed(count: int, missing: int) -> list[str]:
    """Return names, so many of which exist nowhere, spread among the others."""
    gone = {round(number * count / missing) for number in range(missing)}
    assert len(gone) == missing
    return [f"no/{index:04}" if index in gone else _SMALL[index % len(_SMALL)] for index in range(count)]


def check(items: list[BatchItem], names: list[str]) -> None:
    assert [(item.metadata.index, item.metadata.name) for item in items] == list(enumerate(names))
    for metadata, data in items:
        assert metadata.missing == metadata.name.startswith("no/")
        assert bool(metadata.error) == metadata.missing
        assert data == OBJECTS.get(metadata.name, b"")


# AIStore ends a batch at its ninth missing entry, by default.
@pytest.mark.parametrize(("count", "missing"), [(40, 1), (40, 8), (40, 9), (30, 30), (1000, 200)])
async def test_a_batch_with_any_number_of_missing_entries_is_whole(
    client: Client, bucket: Bucket, way: Way, count: int, missing: int
) -> None:
    names = mixed(count, missing)
    request = request_for(map(bucket.object, names), way, continue_on_err=True)
    async with client.get_batch(request) as batch:
        check(await batch.read_all(), names)
    assert (batch.stats.items, batch.stats.missing) == (count, missing)
    # About one for eight of them, never one for each entry.
    assert batch.stats.requests <= 1 + missing


async def test_missing_entries_come_in_chunks_too(client: Client, bucket: Bucket, way: Way) -> None:
    names = mixed(100, 20)
    request = request_for(map(bucket.object, names), way, continue_on_err=True)
    delivered = []
    async with client.get_batch(request) as batch:
        async for member in batch.members():
            data = b"".join([bytes(chunk) async for chunk in member])
            assert data == OBJECTS.get(member.metadata.name, b"")
            assert member.metadata.missing == member.metadata.name.startswith("no/")
            delivered.append(member.metadata.name)
    assert delivered == names


async def test_missing_entries_keep_their_opaque_bytes(client: Client, bucket: Bucket, way: Way) -> None:
    request = request_for([], way, continue_on_err=True)
    for index, name in enumerate(mixed(40, 20)):
        request.add_object_request(bucket.object(name), opaque=bytes([index, 251, 255]))
    items = await client.get_batch(request).read_all()
    assert [item.metadata.opaque for item in items] == [bytes([index, 251, 255]) for index in range(40)]


# What AIStore does depends on whether the entry is on the target that answers, and that on its name.
@pytest.mark.parametrize("number", range(6))
async def test_a_strict_batch_raises_the_error_of_the_entry_that_is_missing(
    client: Client, bucket: Bucket, way: Way, number: int
) -> None:
    position = number * 3
    names = [f"nowhere-{number}" if index == position else _SMALL[index] for index in range(20)]
    received, error = await read_to_error(client.get_batch(request_for(map(bucket.object, names), way)))
    assert isinstance(error, ObjectNotFoundError)
    assert (error.status, error.name, error.bucket) == (404, names[position], bucket.name)
    check(received, names[: len(received)])
    assert len(received) <= position


@pytest.mark.parametrize(
    ("shard", "path"),
    [("no/shard.tar", "a.txt"), *((shard, "no/such/file") for shard in SHARDS)],
)
async def test_what_is_missing_may_be_a_shard_or_a_file_in_it(
    client: Client, bucket: Bucket, way: Way, shard: str, path: str
) -> None:
    request = request_for([], way, continue_on_err=True)
    there = bucket.object("shards/s.tar")
    request.add_object_request(there, archpath="a.txt")
    request.add_object_request(bucket.object(shard), archpath=path, opaque=b"\xff")
    request.add_object_request(there, archpath="üñ-日本.txt")
    first, gone, last = await client.get_batch(request).read_all()
    assert (first.data, last.data) == (FILES["a.txt"], FILES["üñ-日本.txt"])
    assert (gone.metadata.name, gone.metadata.archpath, gone.metadata.opaque) == (shard, path, b"\xff")
    assert (gone.metadata.missing, gone.data) == (True, b"")
    assert gone.metadata.error

    strict = request.with_entries(request.entries)
    strict.continue_on_err = False
    with pytest.raises(ObjectNotFoundError) as caught:
        await client.get_batch(strict).read_all()
    assert caught.value.name == shard


async def test_many_files_are_missing_in_a_shard(client: Client, bucket: Bucket, way: Way) -> None:
    request = request_for([], way, continue_on_err=True)
    paths = [f"no/{number}" if number % 2 else "a.txt" for number in range(60)]
    for path in paths:
        request.add_object_request(bucket.object("shards/s.tar"), archpath=path)
    items = await client.get_batch(request).read_all()
    assert [item.metadata.archpath for item in items] == paths
    assert [item.metadata.missing for item in items] == [path != "a.txt" for path in paths]


async def test_one_bucket_of_several_is_missing(client: Client, bucket: Bucket, tar_way: Way) -> None:
    nowhere = client.bucket("asyncbatch-live-nowhere")
    objects = [bucket.object("small/01"), nowhere.object("a"), bucket.object("small/02")]
    with pytest.raises((BucketNotFoundError, ObjectNotFoundError)):
        await client.get_batch(request_for(objects, tar_way)).read_all()
    with contextlib.suppress(BucketNotFoundError):  # a server may refuse the request as a whole
        items = await client.get_batch(request_for(objects, tar_way, continue_on_err=True)).read_all()
        assert [item.metadata.missing for item in items] == [False, True, False]
        assert [item.data for item in items] == [OBJECTS["small/01"], b"", OBJECTS["small/02"]]
