"""HTTP clients that users bring: httpx's own transport, and httpx2, whose classes are none of httpx's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import TransportError
from asyncbatch.aistore import Client
from asyncbatch.server import running
from asyncbatch.transport import RetryPolicy

from ..support.wire import WireServer, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["httpx", "httpx2"])
async def http(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    async with import_module(request.param).AsyncClient(trust_env=False) as client:
        yield client


async def test_everything_that_a_client_does(http: Any, tmp_path: Path) -> None:  # noqa: ANN401
    async def stream() -> AsyncIterator[bytes]:
        yield b"str"
        yield b"eam"

    name = "a b/ü%2F?#&+.bin"
    async with running(tmp_path) as url, Client(url, http_client=http) as client:
        bucket = await client.bucket("b").create()
        await bucket.object(name).put(b"data" * 100_000)
        await bucket.object("stream").put(stream())
        assert await bucket.object(name).get() == b"data" * 100_000
        assert await bucket.object("stream").get(start=1, length=2) == b"tr"
        assert (await bucket.object("stream").head()).size == 6
        assert [info.name async for info in bucket.list_objects()] == sorted([name, "stream"])
        names = [name, "stream", "nowhere"]
        async with client.get_batch(names, bucket=bucket, continue_on_err=True) as batch:
            items = await batch.read_all()
        assert [(len(item.data), item.metadata.missing) for item in items] == [
            (400_000, False),
            (6, False),
            (0, True),
        ]
        async with bucket.object(name).open() as body:
            assert len(b"".join([chunk async for chunk in body])) == 400_000
        await bucket.destroy()
    assert not http.is_closed


async def test_errors_are_ours(http: Any) -> None:  # noqa: ANN401
    async with Client("http://127.0.0.1:1", http_client=http, retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(TransportError, match="is the server up") as caught:
            await client.bucket("b").object("o").get()
        assert caught.value.retryable
    async with WireServer(head(200, Content_Length="10", Connection="close") + b"half") as server:
        async with Client(server.url, http_client=http) as client:
            with pytest.raises(TransportError, match="broke off"):
                await client.bucket("b").object("o").get()


async def test_what_was_not_sent_is_sent_again(http: Any) -> None:  # noqa: ANN401
    async with WireServer(reply(503, b"later"), reply(200)) as server:
        policy = RetryPolicy(max_attempts=2, base_delay=0)
        async with Client(server.url, http_client=http, retry=policy) as client:
            await client.bucket("b").object("o").delete()
