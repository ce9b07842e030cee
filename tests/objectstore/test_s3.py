"""Buckets of S3: moto's, which checks signatures."""

from __future__ import annotations

import asyncio
import io
import tarfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import (
    AuthenticationError,
    BatchRequest,
    BucketNotFoundError,
    ObjectNotFoundError,
    RemoteError,
    TransportError,
    UsageError,
)
from asyncbatch.objectstore import Client
from asyncbatch.transport import RetryPolicy

from ..support.leaks import nothing_left_open
from ..support.moto import moto_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..support.moto import Moto

pytestmark = pytest.mark.anyio

_LARGE = bytes(range(256)) * 36_864  # 9 MiB: in more than one part


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server(["bucket", "empty"]) as moto:
        yield moto


@pytest.fixture(scope="module", params=[("asyncio", {"use_uvloop": True})], ids=["uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    backend: object = request.param
    return backend


def client_of(moto: Moto, url: str = "s3://", **config: Any) -> Client:  # noqa: ANN401 - obstore's
    settings = {
        "endpoint": moto.endpoint_url,
        "access_key_id": moto.access_key_id,
        "secret_access_key": moto.secret_access_key,
        "client_options": {"allow_http": True},
    }
    return Client(url, **settings | config)


async def test_what_is_put_is_got(moto: Moto) -> None:
    async with client_of(moto) as client:
        obj = client.bucket("bucket").object("put/a b%20c#d?e/ü")
        await obj.put(b"0123456789")
        assert await obj.get() == b"0123456789"
        assert await obj.get(start=8, length=9) == b"89"
        info = await obj.head()
        assert (info.name, info.size) == ("put/a b%20c#d?e/ü", 10)
        listed = [info async for info in client.bucket("bucket").list_objects(prefix="put/a b")]
        assert [(info.name, info.etag) for info in listed] == [(obj.name, info.etag)]
        with pytest.raises(RemoteError) as caught:
            await obj.get(start=10)
        assert (caught.value.status, caught.value.code) == (416, "InvalidRange")
        await obj.delete()
        for call in (obj.get, obj.head, obj.delete):
            with pytest.raises(ObjectNotFoundError) as missing:
                await call()
            assert (missing.value.name, missing.value.bucket) == (obj.name, "bucket")
        await obj.delete(missing_ok=True)


@pytest.mark.parametrize(
    "name", ["k" * 1024, "~!@$^&*()_+-={}[]|\\:;\"'<>,.`", "\x85\u2028", "..a"], ids=range(4)
)
async def test_keys_may_be_anything_that_obstore_can_express(moto: Moto, name: str) -> None:
    async with client_of(moto) as client:
        bucket = client.bucket("bucket")
        await bucket.object(name).put(name.encode())
        async with client.get_batch([name, name], bucket=bucket) as batch:
            assert [(item.name, data) async for item, data in batch] == [(name, name.encode())] * 2
        await bucket.object(name).delete()


async def test_a_large_object_is_sent_in_parts(moto: Moto) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(_LARGE), 1_000_000):
            yield _LARGE[start : start + 1_000_000]

    async with client_of(moto) as client:
        obj = client.bucket("bucket").object("large")
        await obj.put(chunks())
        async with client.get_batch([obj]) as batch:
            async for member in batch.members():
                assert b"".join([chunk async for chunk in member]) == _LARGE
        await obj.put(_LARGE)
        assert await obj.get() == _LARGE


async def test_a_batch_comes_in_order(moto: Moto) -> None:
    async with client_of(moto, "s3://bucket/batch") as client:
        names = [f"{number:02}" for number in range(40)]
        for name in names:
            await client.bucket().object(name).put(name.encode())
        async with nothing_left_open():
            items = await client.get_batch([*reversed(names), "gone"], continue_on_err=True).read_all()
        assert [data.decode() for _, data in items] == [*reversed(names), ""]
        assert [item.missing for item, _ in items] == [False] * 40 + [True]
        # The prefix is the client's own affair.
        assert [info.name async for info in client.bucket("bucket").list_objects(page_size=7)] == names
        assert [info.name async for info in client.bucket().list_objects(prefix="3")] == names[30:]
        async with client_of(moto) as other:
            assert await other.bucket("bucket").object("batch/07").get() == b"07"
            assert other.bucket("bucket").object("batch/07").name == "batch/07"


async def test_files_come_out_of_shards(moto: Moto) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 10
        tar.addfile(info, io.BytesIO(b"0123456789"))
    async with client_of(moto, "s3://bucket/shards") as client:
        shard = client.bucket().object("shard.tar")
        for content in (buffer.getvalue(), buffer.getvalue().replace(b"0123456789", b"9876543210")):
            await shard.put(content)
            request = BatchRequest(continue_on_err=True)
            request.add_object_request(shard, archpath="file", start=1, length=4)
            request.add_object_request(shard, archpath="gone")
            (_, data), (gone, _) = await client.get_batch(request).read_all()
            assert data in content
            assert len(data) == 4
            assert gone.missing


async def test_a_missing_bucket_is_told(moto: Moto) -> None:
    async with client_of(moto, "s3://nowhere") as client:
        obj = client.bucket().object("a")
        for call in (
            obj.get,
            obj.head,
            obj.delete,
            lambda: obj.put(b""),
            lambda: anext(client.bucket().list_objects()),
        ):
            with pytest.raises(BucketNotFoundError) as caught:
                await call()
            assert caught.value.bucket == "nowhere"
        assert not await client.bucket().exists()
        assert await client.bucket("empty").exists()
        assert [info async for info in client.bucket("empty").list_objects()] == []
        with pytest.raises(BucketNotFoundError):
            await client.get_batch(["a"]).read_all()


async def test_wrong_credentials_are_told(moto: Moto) -> None:
    wrong: list[dict[str, str]] = [
        {"secret_access_key": "wrong"},
        {"access_key_id": "wrong"},
        {"session_token": "wrong"},
    ]
    for settings in wrong:
        async with client_of(moto, "s3://bucket", **settings) as client:
            obj = client.bucket().object("a")
            for call in (
                obj.get,
                partial(obj.put, b""),
                client.get_batch(["a"]).read_all,
                client.bucket().exists,
            ):
                with pytest.raises(AuthenticationError) as caught:
                    await call()
                assert moto.secret_access_key not in str(caught.value)
            with pytest.raises(AuthenticationError):
                await client.get_batch(["a"], continue_on_err=True).read_all()


async def test_settings_come_from_the_environment(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint_url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret_access_key)
    monkeypatch.setenv("AWS_REGION", moto.region)
    async with Client("s3://bucket") as client:
        await client.bucket().object("environment").put(b"data")
        assert await client.get_batch(["environment"]).read_all()


async def test_plain_http_has_to_be_allowed(moto: Moto) -> None:
    async with client_of(moto, "s3://bucket", client_options={}) as client:
        with pytest.raises(UsageError, match="has to be allowed"):
            await client.bucket().object("a").get()


async def test_nobody_there_is_tried_again(moto: Moto) -> None:
    retry = RetryPolicy(max_attempts=2, base_delay=0)
    async with client_of(moto, "s3://bucket", endpoint="http://127.0.0.1:1", retry=retry) as client:
        with pytest.raises(TransportError, match="refused") as caught:
            await client.bucket().object("a").get()
        assert caught.value.retryable
        with pytest.raises(TransportError):
            await client.bucket().object("a").put(b"")


async def test_buckets_are_neither_made_nor_listed(moto: Moto) -> None:
    async with client_of(moto) as client:
        for call in (client.bucket("new").create, client.bucket("empty").destroy):
            with pytest.raises(UsageError, match="lists, makes and removes no buckets"):
                await call()
        with pytest.raises(UsageError, match="lists, makes and removes no buckets"):
            client.list_buckets()


async def test_a_cancelled_upload_leaves_no_object_and_no_task(moto: Moto) -> None:
    stuck = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield _LARGE
        stuck.set()
        await asyncio.Event().wait()

    async with client_of(moto, "s3://bucket") as client:
        tasks = asyncio.all_tasks()
        upload = asyncio.ensure_future(client.bucket().object("cancelled").put(endless()))
        await stuck.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert asyncio.all_tasks() - tasks <= {upload}
        with pytest.raises(ObjectNotFoundError):
            await client.bucket().object("cancelled").get()
