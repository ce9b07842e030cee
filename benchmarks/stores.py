"""Small objects from a folder and from S3's API, where no server has a call for them; a gateway.

Everybody fetches the same objects, 64 at once. The folder is read by our client and by threads; S3's API by
our client, aiobotocore, aiohttp with our signatures, and boto3 in threads, from a sender in a process of its
own. The gateway is `asyncbatch serve` over the folder, asked for one batch and for single objects.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import boto3
from aiobotocore.session import get_session
from botocore.config import Config

from asyncbatch import aistore, objectstore, tigris
from asyncbatch.cli._measure import for_each
from asyncbatch.tigris.wire import Credentials, sign

from .data import Items
from .processes import serving
from .runner import Contender, Delivered, Row, measure
from .s3_sender import BUCKET, KEY, SECRET, running_s3_sender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from .runner import Check

__all__ = ["rows"]

_AT_ONCE: Final = 64
_ITEMS: Final = Items("16KiB", 16 << 10, 2000)
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
_SETTINGS: Final = {
    "aws_access_key_id": KEY,
    "aws_secret_access_key": SECRET,
    "region_name": "us-east-1",
}


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield a row for the folder, one for S3's API and one for the gateway."""
    items = _ITEMS.scaled(scale)
    parts = {"stores file": _folder, "stores s3": _s3, "stores gateway": _gateway}
    for name, part in parts.items():
        if name.startswith(only):
            with asyncio.Runner() as runner:
                yield from part(runner.run, items, rounds)


def _folder(run: Callable[..., Any], items: Items, rounds: int) -> Iterator[Row]:
    with _stored(items) as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        names = [name for name, _ in items]
        expected = items.expected()
        client = objectstore.Client(folder.as_uri())
        contenders = {
            "ours": Contender(lambda check: run(_batch(client, names, check)), expected),
            "threads": Contender(
                lambda check: _threads(
                    pool, lambda name: (folder / BUCKET / name).read_bytes(), names, check
                ),
                expected,
            ),
        }
        seconds = measure(contenders, rounds)
        run(client.aclose())
    yield _row(
        "stores file",
        "objectstore",
        "open().read() in 64 threads",
        seconds,
        "threads",
        items=items,
        rounds=rounds,
    )


def _s3(run: Callable[..., Any], items: Items, rounds: int) -> Iterator[Row]:
    names = [name for name, _ in items]
    expected = items.expected()
    stack = AsyncExitStack()
    with running_s3_sender(items) as url, ThreadPoolExecutor(_AT_ONCE) as pool:
        config = Config(max_pool_connections=_AT_ONCE, s3={"addressing_style": "path"})
        boto = boto3.client("s3", endpoint_url=url, config=config, **_SETTINGS)

        async def enter() -> tuple[Any, ...]:
            store = objectstore.Client(
                "s3://",
                endpoint=url,
                access_key_id=KEY,
                secret_access_key=SECRET,
                region="us-east-1",
                client_options={"allow_http": True},
            )
            t3 = tigris.Client(url, access_key_id=KEY, secret_access_key=SECRET)
            aio = get_session().create_client("s3", endpoint_url=url, config=_aio_config(), **_SETTINGS)
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_AT_ONCE), raise_for_status=True
            )
            return (
                await stack.enter_async_context(store),
                await stack.enter_async_context(t3),
                await stack.enter_async_context(aio),
                await stack.enter_async_context(session),
            )

        store, t3, aio, session = run(enter())
        contenders = {
            "ours": Contender(lambda check: run(_batch(store, names, check)), expected),
            "tigris": Contender(lambda check: run(_gets(partial(_get, t3), names, check)), expected),
            "aiobotocore": Contender(
                lambda check: run(_gets(partial(_aiobotocore, aio), names, check)), expected
            ),
            "aiohttp": Contender(
                lambda check: run(_gets(partial(_aiohttp, session, url), names, check)), expected
            ),
            "threads": Contender(
                lambda check: _threads(
                    pool, lambda name: boto.get_object(Bucket=BUCKET, Key=name)["Body"].read(), names, check
                ),
                expected,
            ),
        }
        seconds = measure(contenders, rounds)
        run(stack.aclose())
        boto.close()
    beside = {
        f"aiohttp {version('aiohttp')}, signed": seconds["aiohttp"],
        f"boto3 {version('boto3')} in 64 threads": seconds["threads"],
        "asyncbatch.tigris, GETs": seconds["tigris"],
    }
    rival = f"aiobotocore {version('aiobotocore')}"
    yield _row(
        "stores s3", "objectstore", rival, seconds, "aiobotocore", items=items, rounds=rounds, beside=beside
    )


def _aio_config() -> Any:  # noqa: ANN401 - aiobotocore's own class of that name
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - beside botocore's

    return AioConfig(max_pool_connections=_AT_ONCE, s3={"addressing_style": "path"})


def _gateway(run: Callable[..., Any], items: Items, rounds: int) -> Iterator[Row]:
    names = [name for name, _ in items]
    expected = items.expected()
    with _stored(items) as folder, serving(folder.as_uri()) as (url, _):
        client = aistore.Client(url)
        t3 = tigris.Client(url, access_key_id=KEY, secret_access_key=SECRET)

        contenders = {
            "ours": Contender(lambda check: run(_batch(client, names, check)), expected),
            "bundle": Contender(lambda check: run(_batch(t3, names, check)), expected),
            "gets": Contender(lambda check: run(_gets(partial(_get, client), names, check)), expected),
        }
        seconds = measure(contenders, rounds)
        run(client.aclose())
        run(t3.aclose())
    beside = {"the same as a bundle": seconds["bundle"]}
    yield _row(
        "stores gateway",
        "aistore",
        "GETs, 64 at once",
        seconds,
        "gets",
        items=items,
        rounds=rounds,
        beside=beside,
    )


def _row(
    work: str,
    what: str,
    rival: str,
    seconds: dict[str, float],
    theirs: str,
    *,
    items: Items,
    rounds: int,
    beside: dict[str, float] | None = None,
) -> Row:
    expected = items.expected()
    return Row(
        work=f"{work}, {items.label} x {items.count}",
        what=what,
        rival=rival,
        ours=seconds["ours"],
        theirs=seconds[theirs],
        beside=beside or {},
        items=expected.items,
        bytes=expected.bytes,
        rounds=rounds,
    )


@contextmanager
def _stored(items: Items) -> Iterator[Path]:
    """Give a folder with a bucket of the items."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for item, data in items:
            path = folder / BUCKET / item
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield folder


async def _batch(client: Any, names: Sequence[str], check: Check) -> Delivered:  # noqa: ANN401 - any client
    async with client.get_batch(names, bucket=client.bucket(BUCKET)) as batch:
        return await _read(batch, check)


async def _read(batch: Any, check: Check) -> Delivered:  # noqa: ANN401
    count = size = 0
    async for item in batch:
        data = item.data
        count += 1
        size += len(data)
        if check:
            check(data)
    return Delivered(count, size)


async def _gets(get: Callable[[str], Awaitable[bytes]], names: Sequence[str], check: Check) -> Delivered:
    """Let others get the objects, which then come in any order; they are checked in that of the names."""
    sizes: list[int] = []
    kept: dict[str, bytes] = {}

    async def get_one(name: str) -> None:
        data = await get(name)
        sizes.append(len(data))
        if check:
            kept[name] = data

    await for_each(names, get_one, at_once=_AT_ONCE)
    if check:
        for name in names:
            check(kept[name])
    return Delivered(len(sizes), sum(sizes))


async def _get(client: Any, name: str) -> bytes:  # noqa: ANN401 - any client
    data: bytes = await client.bucket(BUCKET).object(name).get()
    return data


async def _aiobotocore(client: Any, name: str) -> bytes:  # noqa: ANN401 - it has no types
    answer = await client.get_object(Bucket=BUCKET, Key=name)
    async with answer["Body"] as body:
        data: bytes = await body.read()
    return data


async def _aiohttp(session: aiohttp.ClientSession, url: str, name: str) -> bytes:
    path = f"/{BUCKET}/{name}"
    headers = {"host": urlsplit(url).netloc}
    headers |= sign(
        "GET",
        path,
        "",
        headers,
        _NO_BODY,
        credentials=Credentials(KEY, SECRET),
        region="us-east-1",
        at=datetime.now(UTC),
    )
    async with session.get(url + path, headers=headers) as answer:
        return await answer.read()


def _threads(
    pool: ThreadPoolExecutor, get: Callable[[str], bytes], names: Sequence[str], check: Check
) -> Delivered:
    count = size = 0
    for data in pool.map(get, names):
        count += 1
        size += len(data)
        if check:
            check(data)
    return Delivered(count, size)
