"""The official AIStore SDK, from a thread of its own, against our server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from aistore import Client
from aistore.sdk.archive_config import ArchiveConfig
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound
from aistore.sdk.retry_config import RetryConfig
from anyio.to_thread import run_sync
from tenacity import Retrying, stop_after_attempt

from . import golden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def sdk(url: str) -> Iterator[Client]:
    # It waits seconds before it tries again, also for what is simply missing.
    retry = RetryConfig(
        http_retry=RetryConfig.default().http_retry,
        network_retry=Retrying(stop=stop_after_attempt(1), reraise=True),
    )
    client = Client(url, retry_config=retry)
    yield client
    client._request_client.session_manager.session.close()


@pytest.fixture
def bucket_of_golden(root: Path) -> dict[str, bytes]:
    """Fill bucket ``golden``, by the way of the folder; return its objects."""
    found = {}
    for path, content in golden.objects().items():
        bucket, _, name = path.partition("/")
        if bucket == "golden":
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            found[name] = content
    return found


async def test_buckets(sdk: Client) -> None:
    def work() -> None:
        bucket = sdk.bucket("new")
        with pytest.raises(AISError, match="404"):  # of an answer without a body it knows no more
            bucket.head()
        bucket.create()
        bucket.create(exist_ok=True)
        with pytest.raises(ErrBckAlreadyExists):
            bucket.create()
        assert "Ais-Bucket-Props" in bucket.head()
        assert [found.name for found in sdk.cluster().list_buckets()] == ["b", "new"]
        assert sdk.cluster().list_buckets(provider="aws") == []
        bucket.delete()
        bucket.delete(missing_ok=True)
        with pytest.raises(ErrBckNotFound):
            bucket.delete()
        with pytest.raises(ErrBckNotFound):
            bucket.list_objects()
        with pytest.raises(AISError):
            sdk.bucket("b", provider="aws").head()

    await run_sync(work)


async def test_cluster(sdk: Client) -> None:
    def work() -> None:
        cluster = sdk.cluster()
        assert cluster.is_ready()
        info = cluster.get_info()
        assert len(info.tmap) == len(info.pmap) == 1
        assert cluster.get_uuid() == info.uuid != ""

    await run_sync(work)


@pytest.mark.parametrize("name", ["a.bin", "dir/with space & plus+.txt", "päth/ünï-日本.txt", "100%.txt"])
async def test_objects(sdk: Client, root: Path, name: str) -> None:
    def work() -> None:
        object_ = sdk.bucket("b").object(name)
        object_.get_writer().put_content(b"hello world")
        assert (root / "b" / name).read_bytes() == b"hello world"
        assert object_.get_reader().read_all() == b"hello world"
        assert b"".join(object_.get_reader(chunk_size=4)) == b"hello world"
        assert object_.get_reader(byte_range="bytes=6-").read_all() == b"world"
        assert object_.get_reader(byte_range="bytes=-3").read_all() == b"rld"
        assert object_.get_reader(direct=True).read_all() == b"hello world"
        with object_.get_reader().as_file() as file:
            assert file.read(5) == b"hello"
        attributes = object_.head()
        assert (attributes.size, attributes.present) == (11, True)
        assert attributes.etag
        props = object_.props
        assert (props.bucket_name, props.bucket_provider) == ("b", "ais")
        object_.delete()
        with pytest.raises(ErrObjNotFound):
            object_.get_reader().read_all()
        with pytest.raises(AISError, match="404"):
            object_.delete()
        with pytest.raises(AISError, match="404"):
            object_.head()

    await run_sync(work)


async def test_put_file(sdk: Client, root: Path, tmp_path: Path) -> None:
    def work() -> None:
        data = bytes(range(256)) * 4096
        (tmp_path / "file").write_bytes(data)
        sdk.bucket("b").object("large").get_writer().put_file(tmp_path / "file")
        assert (root / "b" / "large").read_bytes() == data
        reader = sdk.bucket("b").object("large").get_reader(num_workers=None)
        assert reader.read_all() == data

    await run_sync(work)


async def test_what_is_not_supported_is_refused(sdk: Client, root: Path) -> None:
    def work() -> None:
        writer = sdk.bucket("b").object("o").get_writer()
        with pytest.raises(AISError, match="append_type"):
            writer.append_content(b"data")
        with pytest.raises(AISError, match="object_to"):
            sdk.bucket("b").object("o").copy(sdk.bucket("b").object("p"))
        with pytest.raises(AISError, match="405"):
            writer.set_custom_props({"a": "b"})
        assert list((root / "b").iterdir()) == []

    await run_sync(work)


async def test_listings(sdk: Client, root: Path) -> None:
    names = [f"d{n // 10}/o{n:03}" for n in range(100)] + ["d1.txt", "d1-x", "z"]
    for n, name in enumerate(names):
        (root / "b" / name).parent.mkdir(exist_ok=True)
        (root / "b" / name).write_bytes(bytes(n))

    def work() -> None:
        bucket = sdk.bucket("b")
        for size in (0, 1, 7, 103, 1000):
            found = bucket.list_all_objects(page_size=size)
            assert [entry.name for entry in found] == sorted(names)
            assert {entry.name: entry.size for entry in found} == {name: n for n, name in enumerate(names)}
        page = bucket.list_objects(prefix="d1", page_size=5)
        assert [entry.name for entry in page.entries] == ["d1-x", "d1.txt", "d1/o010", "d1/o011", "d1/o012"]
        assert page.continuation_token
        assert len(bucket.list_all_objects(prefix="d1/")) == 10
        assert [found.name for found in bucket.list_objects_iter(prefix="d2/", page_size=3)] == sorted(
            name for name in names if name.startswith("d2/")
        )
        assert [o.name for o in bucket.list_all_objects_iter(start_after="d9/o098")] == ["d9/o099", "z"]
        assert bucket.list_all_objects(prefix="nothing") == []

    await run_sync(work)


async def test_files_in_shards(sdk: Client, bucket_of_golden: dict[str, bytes]) -> None:
    members = golden.load("data.json")["shard_members"]

    def work() -> None:
        for shard in ("s.tar", "s.tgz", "s.tar.lz4", "s.zip"):
            for name, file in members.items():
                config = ArchiveConfig(archpath=name)
                reader = sdk.bucket("golden").object(f"shards/{shard}").get_reader(archive_config=config)
                assert reader.read_all() == (golden.DATA / "data" / file).read_bytes()

    assert bucket_of_golden
    await run_sync(work)


@pytest.mark.parametrize("output_format", [".tar", ".tgz", ".tar.gz"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_batches(
    sdk: Client, bucket_of_golden: dict[str, bytes], output_format: str, *, streaming: bool
) -> None:
    def work() -> None:
        bucket = sdk.bucket("golden")
        batch = sdk.batch(
            list(bucket_of_golden), bucket=bucket, output_format=output_format, streaming_get=streaming
        )
        batch.add("no-such-object")
        batch.add(bucket.object("shards/s.zip"), archpath="sub/b.bin", opaque=b"id-7", start=10, length=20)
        results = list(batch.get())
        assert [content for _, content in results[:-2]] == list(bucket_of_golden.values())
        assert [facts.obj_name for facts, _ in results[:-2]] == list(bucket_of_golden)
        assert results[-2][1] == b""
        assert results[-1][1] == (golden.DATA / "data" / "member3.bin").read_bytes()[10:30]
        if not streaming:
            assert [facts.size for facts, _ in results] == [len(content) for _, content in results]
            assert "does not exist" in results[-2][0].err_msg
            assert (results[-1][0].opaque, results[-1][0].archpath) == (b"id-7", "sub/b.bin")

    await run_sync(work)


@pytest.mark.parametrize("streaming", [True, False])
async def test_batches_as_zip(sdk: Client, bucket_of_golden: dict[str, bytes], *, streaming: bool) -> None:
    """By itself, as the SDK finds members by name: of two with one name it yields the last one twice."""
    names = list(dict.fromkeys(bucket_of_golden))

    def work() -> None:
        bucket = sdk.bucket("golden")
        batch = sdk.batch(names, bucket=bucket, output_format=".zip", streaming_get=streaming)
        batch.add("no-such-object")
        batch.add(bucket.object("shards/s.tar"), archpath="sub/b.bin", opaque=b"id-7", start=10, length=20)
        results = list(batch.get())
        assert [content for _, content in results[:-2]] == [bucket_of_golden[name] for name in names]
        assert [facts.obj_name for facts, _ in results[:-2]] == names
        assert results[-2][1] == b""
        assert results[-1][1] == (golden.DATA / "data" / "member3.bin").read_bytes()[10:30]
        if not streaming:
            assert [facts.size for facts, _ in results] == [len(content) for _, content in results]
            assert "does not exist" in results[-2][0].err_msg
            assert (results[-1][0].opaque, results[-1][0].archpath) == (b"id-7", "sub/b.bin")

    await run_sync(work)


async def test_a_multipart_batch_decoded_as_a_stream(sdk: Client, bucket_of_golden: dict[str, bytes]) -> None:
    def work() -> list[bytes]:
        batch = sdk.batch(list(bucket_of_golden), bucket=sdk.bucket("golden"), streaming_get=False)
        return [content for _, content in batch.get(decode_as_stream=True)]

    found = await run_sync(work)
    assert found == list(bucket_of_golden.values())


async def test_an_archive_as_it_comes(sdk: Client, bucket_of_golden: dict[str, bytes]) -> None:
    def work() -> bytes:
        batch = sdk.batch(["one.bin"], bucket=sdk.bucket("golden"), only_obj_name=True)
        response = batch.get(raw=True)
        buffer = io.BytesIO(response.read())
        response.close()
        return buffer.getvalue()

    assert golden.read_archive(await run_sync(work)) == [("one.bin", bucket_of_golden["one.bin"])]
