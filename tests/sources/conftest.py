"""The sources: each a client, and a bucket that is there and empty."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from asyncbatch import aistore, objectstore, tigris
from asyncbatch.server import create_app, running
from asyncbatch.tigris.wire import Credentials

from ..support.moto import moto_server
from ..support.proxy import CuttingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ..support.moto import Moto

Client: TypeAlias = "aistore.Client | tigris.Client | objectstore.Client"
BUCKET = "bucket"
_numbers = count()
CREDENTIALS = Credentials("test-key", "test-secret")


@dataclass(frozen=True)
class Source:
    """Where objects are.

    Attributes:
        client: Of that.
        bucket: In it.
        proxy: Between the two, if there is a network.
        stranger: A client, to be entered, that has the wrong key, if keys are asked for.
    """

    client: Any
    bucket: Any
    proxy: CuttingProxy | None
    stranger: Any

    async def put(self, objects: dict[str, bytes]) -> None:
        for name, data in objects.items():
            await self.bucket.object(name).put(data)


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


@asynccontextmanager
async def _behind_proxy(url: str) -> AsyncIterator[CuttingProxy]:
    parts = urlsplit(url)
    async with CuttingProxy(parts.hostname or "", parts.port or 0) as proxy:
        yield proxy


@asynccontextmanager
async def _aistore(folder: Path) -> AsyncIterator[tuple[Client, CuttingProxy | None]]:
    async with running(create_app(folder)) as url, _behind_proxy(url) as proxy:
        async with aistore.Client(proxy.url) as client:
            yield client, proxy


@asynccontextmanager
async def _tigris(folder: Path) -> AsyncIterator[tuple[Client, CuttingProxy | None]]:
    app = create_app(folder, credentials=CREDENTIALS)
    async with running(app) as url, _behind_proxy(url) as proxy:
        key, secret, _ = CREDENTIALS
        async with tigris.Client(proxy.url, access_key_id=key, secret_access_key=secret) as client:
            yield client, proxy


@asynccontextmanager
async def _file(folder: Path) -> AsyncIterator[tuple[Client, CuttingProxy | None]]:
    async with objectstore.Client(folder.as_uri()) as client:
        yield client, None


@asynccontextmanager
async def _memory(_: Path) -> AsyncIterator[tuple[Client, CuttingProxy | None]]:
    async with objectstore.Client("memory:///") as client:
        yield client, None


SOURCES: dict[str, Callable[[Path], AbstractAsyncContextManager[tuple[Client, CuttingProxy | None]]]] = {
    "aistore": _aistore,
    "tigris": _tigris,
    "file": _file,
    "memory": _memory,
}


def _s3(moto: Moto, endpoint: str, secret: str) -> objectstore.Client:
    return objectstore.Client(
        "s3://",
        endpoint=endpoint,
        access_key_id=moto.access_key_id,
        secret_access_key=secret,
        region=moto.region,
        client_options={"allow_http": True},
    )


@pytest.fixture(params=[*SOURCES, "s3"])
async def source(request: pytest.FixtureRequest, tmp_path: Path, moto: Moto) -> AsyncIterator[Source]:
    stranger: Client | None = None
    async with AsyncExitStack() as stack:
        if request.param != "s3":
            client, proxy = await stack.enter_async_context(SOURCES[request.param](tmp_path))
            bucket = await client.bucket(BUCKET).create()
            if request.param == "tigris":
                assert proxy is not None
                stranger = tigris.Client(
                    proxy.url,
                    access_key_id=CREDENTIALS.access_key_id,
                    secret_access_key="other",  # noqa: S106
                )
        else:
            moto.add_buckets([name := f"bucket-{next(_numbers)}"])
            proxy = await stack.enter_async_context(_behind_proxy(moto.endpoint_url))
            client = await stack.enter_async_context(_s3(moto, proxy.url, moto.secret_access_key))
            bucket = client.bucket(name)
            stranger = _s3(moto, proxy.url, "other")
        yield Source(client, bucket, proxy, stranger)
