"""The server in front of other stores: the official SDK, our client, and what an upstream does to a batch."""

from __future__ import annotations

from threading import Barrier
from typing import TYPE_CHECKING

import httpx
import pytest
from aistore import Client as Sdk
from aistore.sdk.archive_config import ArchiveConfig
from aistore.sdk.errors import AISError, ErrBckNotFound, ErrObjNotFound
from aistore.sdk.retry_config import RetryConfig
from anyio.to_thread import run_sync
from tenacity import Retrying, stop_after_attempt

from asyncbatch.aistore import Client
from asyncbatch.batch import BatchRequest
from asyncbatch.errors import ObjectNotFoundError
from asyncbatch.objectstore._stores import Stores
from asyncbatch.server import create_app, running
from asyncbatch.server._app import serve_store
from asyncbatch.server._remote import RemoteStore
from tests.support.moto import moto_server

from . import golden
from .upstream import Upstream, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(Upstream()) as upstream:
        yield upstream


@pytest.fixture
async def gateway(upstream: Upstream) -> AsyncIterator[str]:
    """The URL of a server in front of the upstream's bucket ``b``."""
    async with running(serve_store(RemoteStore(Stores(upstream.s3("b"))))) as url:
        yield url


async def test_the_official_sdk() -> None:
    """All that it does with a store in memory: buckets, objects, listings, files in shards, batches."""
    objects = {
        path.removeprefix("golden/"): content
        for path, content in golden.objects().items()
        if path.startswith("golden/")
    }
    member = (golden.DATA / "data" / "member3.bin").read_bytes()

    def work(url: str) -> None:
        retry = RetryConfig(
            http_retry=RetryConfig.default().http_retry,
            network_retry=Retrying(stop=stop_after_attempt(1), reraise=True),
        )
        sdk = Sdk(url, retry_config=retry)
        bucket = sdk.bucket("golden")
        with pytest.raises(ErrBckNotFound):
            bucket.object("o").get_writer().put_content(b"")
        bucket.create()
        assert [found.name for found in sdk.cluster().list_buckets()] == ["golden"]
        for name, content in objects.items():
            bucket.object(name).get_writer().put_content(content)
        found = bucket.list_all_objects(page_size=2)
        assert {entry.name: entry.size for entry in found} == {name: len(objects[name]) for name in objects}
        for shard in ("s.tar", "s.tgz", "s.tar.lz4", "s.zip"):
            reader = bucket.object(f"shards/{shard}").get_reader(ArchiveConfig(archpath="sub/b.bin"))
            assert reader.read_all() == member
        assert bucket.object("shards/s.tar").head().size == len(objects["shards/s.tar"])
        for streaming in (True, False):
            batch = sdk.batch(list(objects), bucket=bucket, streaming_get=streaming)
            batch.add("no-such-object")
            batch.add(bucket.object("shards/s.zip"), archpath="sub/b.bin", start=10, length=20)
            results = [content for _, content in batch.get()]
            assert results == [*objects.values(), b"", member[10:30]]
        bucket.object("shards/s.tar").delete()
        with pytest.raises(ErrObjNotFound):
            bucket.object("shards/s.tar").get_reader().read_all()
        bucket.delete()
        with pytest.raises(AISError, match="404"):
            bucket.head()
        sdk._request_client.session_manager.session.close()

    async with running("memory:///") as url:
        await run_sync(work, url)


@pytest.mark.parametrize("streaming", [True, False])
async def test_our_client(gateway: str, upstream: Upstream, *, streaming: bool) -> None:
    names = [f"d/{n}" for n in range(100)]
    upstream.objects = {f"/b/{name}": name.encode() * 1000 for name in names}
    upstream.objects["/b/s.tar"] = golden.objects()["golden/shards/s.tar"]
    upstream.objects["/b/large"] = large = bytes(range(256)) * 4096
    async with Client(gateway) as client:
        bucket = client.bucket("b")
        request = BatchRequest(continue_on_err=True, streaming=streaming)
        for name in [*names, "missing"]:
            request.add_object_request(obj=bucket.object(name))
        request.add_object_request(obj=bucket.object("s.tar"), archpath="sub/b.bin")
        request.add_object_request(obj=bucket.object("large"))
        request.add_object_request(obj=bucket.object("large"), start=500_000, length=300_000)
        request.add_object_request(obj=bucket.object("large"), start=1_000_000)
        async with client.get_batch(request) as batch:
            items = [(item.missing, data) async for item, data in batch]
    assert items == [
        *((False, name.encode() * 1000) for name in names),
        (True, b""),
        (False, (golden.DATA / "data" / "member3.bin").read_bytes()),
        (False, large),
        (False, large[500_000:800_000]),
        (False, large[1_000_000:]),
    ]


async def test_a_range_that_is_not_there(gateway: str, upstream: Upstream) -> None:
    upstream.objects = {"/b/o": b"data"}
    async with Client(gateway) as client:
        request = BatchRequest(continue_on_err=True)
        request.add_object_request(obj=client.bucket("b").object("o"), start=2, length=3)
        request.add_object_request(obj=client.bucket("b").object("o"))
        (item, nothing), (_, data) = await client.get_batch(request).read_all()
    assert (bool(item.error), item.missing, nothing, data) == (True, False, b"", b"data")


@pytest.mark.parametrize("streaming", [True, False])
async def test_requests_upstream(gateway: str, upstream: Upstream, *, streaming: bool) -> None:
    """One for each object; where the sizes are told first, another that brings nothing else."""
    upstream.objects = {f"/b/{n}": b"data" for n in range(4)}
    request = {"in": [{"objname": str(n)} for n in range(4)], "strm": streaming}
    async with httpx.AsyncClient(follow_redirects=True) as http:
        answer = await http.request("GET", f"{gateway}/v1/ml/moss/b", json=request)
    assert answer.status_code == 200
    asked = sorted((method, path) for method, path, _ in upstream.requests if path != "/b")
    heads = [] if streaming else [("HEAD", f"/b/{n}") for n in range(4)]
    assert asked == [*(("GET", f"/b/{n}") for n in range(4)), *heads]


@pytest.mark.parametrize("streaming", [True, False])
async def test_many_are_asked_for_at_once(gateway: str, upstream: Upstream, *, streaming: bool) -> None:
    """Each answer waits until 32 were asked for: one after another none would ever come."""
    upstream.objects = {f"/b/{n}": b"data" for n in range(64)}
    barrier = Barrier(32)

    def wait(_method: str, path: str) -> None:
        if path != "/b":
            barrier.wait(30)

    upstream.before = wait
    async with Client(gateway) as client:
        async with client.get_batch([str(n) for n in range(64)], bucket="b", streaming=streaming) as batch:
            assert [data async for _, data in batch] == [b"data"] * 64


async def test_credentials_that_the_upstream_refuses(gateway: str, upstream: Upstream) -> None:
    """Are no matter of the client's, and make nothing missing."""
    upstream.refusal = lambda _method, _path: (403, "InvalidAccessKeyId")
    async with httpx.AsyncClient(follow_redirects=True) as http:
        for path, request in (("objects/b/o", None), ("ml/moss/b", {"in": [{"objname": "o"}]})):
            answer = await http.request("GET", f"{gateway}/v1/{path}", json=request)
            assert answer.status_code == 502
            assert "answered 403 Forbidden" in answer.json()["message"]


async def test_a_bundle_that_the_upstream_refuses(gateway: str, upstream: Upstream) -> None:
    """Is refused, and says why, as long as nothing was sent of it."""
    upstream.refusal = lambda _method, _path: (403, "InvalidAccessKeyId")
    headers = {"x-tigris-bundle-format": "tar"}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{gateway}/b?bundle", headers=headers, json={"keys": ["o", "p"]})
    assert answer.status_code == 503
    assert "answered 403 Forbidden, InvalidAccessKeyId" in answer.text


async def test_an_object_that_changes_while_it_is_sent(gateway: str, upstream: Upstream) -> None:
    """Cuts the batch rather than be made up of two versions."""
    upstream.objects["/b/o"] = bytes(8 << 20)

    def change(_method: str, _path: str) -> None:
        if len(upstream.requests) == 3:
            upstream.objects["/b/o"] = bytes([1]) * (8 << 20)

    upstream.before = change
    async with httpx.AsyncClient(follow_redirects=True) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.request(
                "GET", f"{gateway}/v1/ml/moss/b", json={"in": [{"objname": "o"}], "strm": True}
            )


async def test_putting_through_it(gateway: str, upstream: Upstream) -> None:
    async with httpx.AsyncClient(follow_redirects=True) as http:
        answer = await http.put(f"{gateway}/v1/objects/b/o", content=b"data")
        assert answer.status_code == 200
        assert upstream.objects == {"/b/o": b"data"}
        answer = await http.get(f"{gateway}/v1/objects/b/o", headers={"range": "bytes=1-2"})
        assert (answer.status_code, answer.content) == (206, b"at")
        answer = await http.put(f"{gateway}/v1/buckets/b", json={"action": "create-bck"})
        assert answer.status_code == 405


async def test_a_bucket_of_s3() -> None:
    """moto's, which checks signatures; with the settings that the environment would have."""
    objects = {f"d/{n}": bytes([n]) * 5000 for n in range(12)} | {"é %?#": b"name", "large": bytes(9 << 20)}
    shard = golden.objects()["golden/shards/s.zip"]
    with moto_server(["cloud"]) as moto:

        def upstream(secret: str) -> RemoteStore:
            return RemoteStore(
                Stores(
                    "s3://cloud/prefix",
                    endpoint=moto.endpoint_url,
                    region=moto.region,
                    access_key_id=moto.access_key_id,
                    secret_access_key=secret,
                    client_options={"allow_http": True},
                )
            )

        async with running(serve_store(upstream(moto.secret_access_key))) as url, Client(url) as client:
            bucket = client.bucket("cloud")
            for name, content in objects.items():
                await bucket.object(name).put(content)
            await bucket.object("s.zip").put(shard)
            assert {info.name async for info in bucket.list_objects()} == {*objects, "s.zip"}
            assert [info.name async for info in bucket.list_objects(prefix="d/1", page_size=3)] == sorted(
                name for name in objects if name.startswith("d/1")
            )
            async with client.get_batch(list(objects), bucket=bucket) as batch:
                assert [data async for _, data in batch] == list(objects.values())
            member = await bucket.object("s.zip").get(archpath="sub/b.bin")
            assert member == (golden.DATA / "data" / "member3.bin").read_bytes()
            assert await bucket.object("large").get(start=8 << 20, length=5) == bytes(5)
            await bucket.object("large").delete()
            with pytest.raises(ObjectNotFoundError):
                await bucket.object("large").get()
        async with running(serve_store(upstream("wrong"))) as url:
            async with httpx.AsyncClient(follow_redirects=True) as http:
                answer = await http.get(f"{url}/v1/objects/cloud/d/1")
        assert answer.status_code == 502
        assert "answered 403 Forbidden, SignatureDoesNotMatch" in answer.json()["message"]


async def test_an_app_over_a_url() -> None:
    async with running(create_app("memory:///", redirect=False)) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/v1/objects/b/o")).status_code == 404


async def test_an_upstream_that_fails_cuts_a_batch(gateway: str, upstream: Upstream) -> None:
    """What is whole of it is told, and what is not there is not missing."""
    upstream.objects = {"/b/o": b"data"}
    upstream.refusal = lambda _method, path: (403, "AccessDenied") if path == "/b/p" else None
    request = {"in": [{"objname": "o"}, {"objname": "p"}], "strm": True, "coer": True}
    received = bytearray()

    async def receive() -> None:
        async with httpx.AsyncClient(follow_redirects=True) as http:
            async with http.stream("GET", f"{gateway}/v1/ml/moss/b", json=request) as answer:
                async for chunk in answer.aiter_raw():
                    received.extend(chunk)

    with pytest.raises(httpx.RemoteProtocolError):
        await receive()
    assert bytes(received[512:]).rstrip(b"\0") == b"data"
