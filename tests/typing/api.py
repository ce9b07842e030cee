"""How the public API looks to a type checker. Mypy checks this in the session ``types``; nothing runs it.

An `assert_type` says what a user gets. A ``type: ignore`` says what a user is told: mypy complains of those
that suppress nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

from asyncbatch import (
    AsyncBatchError,
    BatchItem,
    BatchLoader,
    BatchRequest,
    EncodeMember,
    FormatError,
    IncompleteBatchError,
    ItemMetadata,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    RemoteError,
    TransportError,
    UsageError,
    aistore,
    connect,
    encode_archive,
    objectstore,
    open_archive,
    tigris,
)
from asyncbatch.aistore import Bucket, Client, Object, ObjectInfo
from asyncbatch.archive import Archive, ArchiveMember, EncodedArchive, ExtractResult
from asyncbatch.batch import BatchMember, BatchStats, BatchStream
from asyncbatch.codecs import (
    Decoder,
    Decompressor,
    GzipDecompressor,
    Lz4Decompressor,
    MemberData,
    MemberEnd,
    MemberStart,
    TarDecoder,
    WholeMember,
    ZstdDecompressor,
)
from asyncbatch.loader import LoadedBatch, LoadedBatches, LoadedItems, LoaderStatistics, Part, Plan
from asyncbatch.server import create_app, running


async def stores(s3: tigris.Client, store: objectstore.Client) -> None:
    async with connect("s3://bucket", max_resumes=3) as client:
        assert_type(client, aistore.Client | objectstore.Client | tigris.Client)
        async with client.get_batch(["a"], bucket="b", continue_on_err=True) as batch:
            assert_type(await batch.read_all(), list[BatchItem])
    async with tigris.bundle_objects(s3, "b", ["a"], on_error=tigris.BUNDLE_ON_ERROR_FAIL) as response:
        assert_type(response, tigris.BundleResponse)
        async for item in response:
            assert_type(item, BatchItem)
        async for chunk in response.aiter_raw():
            assert_type(chunk, bytes)
    assert_type(response.object_count, int | None)
    assert_type(response.skipped, list[tigris.SkippedKey])
    assert_type(await store.bucket("b").object("a").get(archpath="c"), bytes)
    assert_type(await s3.bucket("b").object("a").head(), tigris.ObjectInfo)
    assert_type(store.batch_loader(max_memory="1GiB"), BatchLoader)
    s3.get_batch(["a"], "b")  # type: ignore[call-arg]  # the bucket is named


async def batches(client: Client, bucket: Bucket) -> None:
    request = BatchRequest(output_format=".tar.lz4", continue_on_err=True)
    request.add_object_request(bucket.object("a"), start=1, length=2)
    request.add_object_request(bucket.object("b"), archpath="c", opaque=b"d")
    request.add_object_request("a")  # type: ignore[arg-type]  # an object, and not its name
    BatchRequest(".tar")  # type: ignore[call-arg]  # options are named

    assert_type(client.get_batch(request), BatchStream)
    async with client.get_batch(["a", bucket.object("b")], bucket=bucket, continue_on_err=True) as batch:
        assert_type(batch, BatchStream)
        async for item in batch:
            assert_type(item, BatchItem)
        async for metadata, data in batch:
            assert_type(metadata, ItemMetadata)
            assert_type(data, bytes)
            assert_type(metadata.index, int)
            assert_type(metadata.archpath, str | None)
            assert_type(metadata.opaque, bytes | None)
            assert_type(metadata.missing, bool)
            assert_type(metadata.error, str | None)
        async for member in batch.members():
            assert_type(member, BatchMember)
            assert_type(member.metadata, ItemMetadata)
            assert_type(await member.read(), bytes)
            async for chunk in member:
                assert_type(chunk, bytes)
        assert_type(await batch.read_all(), list[BatchItem])
    assert_type(batch.stats, BatchStats)
    assert_type(batch.stats.seconds_to_first_item, float | None)

    client.get_batch(["a"], bucket="b", output_format=".tar")
    client.get_batch(["a"], bucket="b", format=".tar")  # type: ignore[call-arg]  # no such option

    loader = client.batch_loader()
    assert_type(loader, BatchLoader)
    assert_type(loader.get_batch(request), BatchStream)


async def many_batches(client: Client, bucket: Bucket) -> None:
    request = BatchRequest()
    async with client.batch_loader(
        max_concurrency=8, max_memory="256MiB", max_pause=None, way="gets", item_size=1, hedging=0.05
    ) as loader:
        assert_type(loader, BatchLoader)
        assert_type(loader.get_batches([request]), LoadedBatches)
        async with loader.get_batches(produce_requests(), ordered=False) as loaded:
            assert_type(loaded, LoadedBatches)
            async for batch in loaded:
                assert_type(batch, LoadedBatch)
                assert_type(batch.request, BatchRequest)
                assert_type(batch.stats, BatchStats)
                async for item in batch:
                    assert_type(item, BatchItem)
                assert_type(await batch.read_all(), list[BatchItem])
        async with loader.stream(iter([request])) as items:
            assert_type(items, LoadedItems)
            async for metadata, data in items:
                assert_type(metadata, ItemMetadata)
                assert_type(data, bytes)
        assert_type(await loader.load(bucket.object("a"), archpath="b", start=1, length=2), bytes)
        assert_type(await loader.load_many(bucket.object(name) for name in ("a", "b")), list[bytes])
        assert_type(loader.statistics(), LoaderStatistics)
        assert_type(loader.statistics().held_bytes, int)
        assert_type(loader.explain(request), Plan)
        assert_type(loader.explain(request).parts, tuple[Part, ...])
        loader.stream(request)  # type: ignore[arg-type]  # an iterable of requests, and not one
        loader.get_batches(["a"])  # type: ignore[list-item]  # requests, and not names
        await loader.load("a")  # type: ignore[arg-type]  # an object, and not its name
    client.batch_loader(way="get")  # type: ignore[arg-type]  # no such way
    client.batch_loader(concurrency=8)  # type: ignore[call-arg]  # no such option


async def produce_requests() -> AsyncIterator[BatchRequest]:
    yield BatchRequest()


async def objects(client: Client) -> None:
    async with Client("http://localhost:8080", timeout=None, limits=Limits(max_members=1)) as entered:
        assert_type(entered, Client)
    bucket = client.bucket("b", provider="s3")
    assert_type(bucket, Bucket)
    assert_type(await bucket.create(exist_ok=True), Bucket)
    assert_type(await bucket.exists(), bool)
    async for info in bucket.list_objects(prefix="p"):
        assert_type(info, ObjectInfo)
        assert_type(info.name, str)
    async for listed in client.list_buckets():
        assert_type(listed, Bucket)

    obj = bucket.object("o")
    assert_type(obj, Object)
    assert_type(obj.bucket, Bucket)
    for data in (b"bytes", bytearray(), memoryview(b""), "path", Path("path")):
        await obj.put(data)
    await obj.put(produce())
    await obj.put(1)  # type: ignore[arg-type]  # no data
    assert_type(await obj.get(start=1, length=2), bytes)
    assert_type(await obj.head(), ObjectInfo)
    async with obj.open(archpath="p") as body:
        async for chunk in body:
            assert_type(chunk, bytes)


async def produce() -> AsyncIterator[bytes]:
    yield b""


async def archives() -> None:
    async with open_archive(produce(), format=None, strict=False, limits=Limits()) as archive:
        assert_type(archive, Archive)
        async for member in archive:
            assert_type(member, ArchiveMember)
            assert_type(member.size, int | None)
            assert_type(member.is_file, bool)
            assert_type(member.mtime, float | None)
            assert_type(await member.read(), bytes)
            async for chunk in member:
                assert_type(chunk, bytes)
        assert_type(await archive.extract_all(Path()), ExtractResult)
    for source in (b"bytes", memoryview(b""), "path", Path("path"), [b"chunk"]):
        open_archive(source)
    open_archive(1)  # type: ignore[arg-type]  # no source

    pairs = encode_archive([("name", b"data")], format=".tar.zst")
    assert_type(pairs, EncodedArchive)
    members = encode_archive(EncodeMember(name, produce(), size=0) for name in ("a", "b"))
    async for encoded in members:
        assert_type(encoded, bytes)


def codecs() -> None:
    decoder: Decoder = TarDecoder(limits=Limits(), strict=True)
    decoder.feed(memoryview(b""))
    for event in decoder:
        assert_type(event, WholeMember | MemberStart | MemberData | MemberEnd)
        if isinstance(event, WholeMember):
            assert_type(event.data, bytes)
            assert_type(event.size, int)
        elif isinstance(event, MemberStart):
            assert_type(event.size, int | None)
        elif isinstance(event, MemberData):
            assert_type(event.data, bytes | bytearray | memoryview)
        else:
            assert_type(event, MemberEnd)
    decompressors: list[Decompressor] = [GzipDecompressor(), Lz4Decompressor(), ZstdDecompressor()]
    for decompressor in decompressors:
        for piece in decompressor:
            assert_type(piece, bytes)


async def server(folder: Path) -> None:
    create_app(folder, max_soft_errors=8)
    async with running(folder) as url:
        assert_type(url, str)


def errors(error: AsyncBatchError) -> None:
    match error:
        case UsageError():
            assert_type(error.index, int | None)
        case FormatError():
            assert_type(error.codec, str)
            assert_type(error.offset, int)
            assert_type(error.member, str | None)
        case LimitExceededError():
            assert_type(error.maximum, float)
        case ObjectNotFoundError():
            assert_type(error.name, str | None)
            assert_type(error.retryable, bool)
        case RemoteError():
            assert_type(error.status, int)
            error.name  # type: ignore[attr-defined]  # not every one is about an object
        case TransportError():
            assert_type(error.retryable, bool)
        case IncompleteBatchError():
            assert_type(error.delivered, int)
