"""A loader and a server that fails: every item once and in order; nothing is left of what is cancelled."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import pytest

from asyncbatch import BatchRequest
from asyncbatch.aistore import Client
from asyncbatch.testing import Cut, FaultyServer, Status
from asyncbatch.transport import RetryPolicy

from ..support.leaks import nothing_left_open, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncbatch import BatchLoader
    from asyncbatch.testing import Fault

pytestmark = pytest.mark.anyio

FORMATS = (".tar", ".tar.gz", ".tar.lz4", ".zip")
RETRY = RetryPolicy(max_attempts=8, base_delay=0.001, max_delay=0.01)
OBJECTS = 100


def fill(root: Path) -> list[bytes]:
    """Store objects, of which none has the data of another."""
    bucket = root / "b"
    bucket.mkdir(parents=True)
    datas = [random.Random(index).randbytes(200 + 13 * index) for index in range(OBJECTS)]
    for index, data in enumerate(datas):
        (bucket / f"{index:03}").write_bytes(data)
    return datas


def faults(seed: int, *, cut: float, busy: float) -> Iterator[Fault | None]:
    """Draw faults without end."""
    rng = random.Random(seed)
    while True:
        draw = rng.random()
        if draw < cut:
            yield Cut(rng.randrange(60_000), rng.choice(("reset", "close", "end")))
        else:
            yield Status(429, retry_after=0) if draw < cut + busy else None


def requests_of(client: Client, batches: int, items: int) -> Iterator[BatchRequest]:
    bucket = client.bucket("b")
    for batch in range(batches):
        request = BatchRequest(output_format=FORMATS[batch % len(FORMATS)])
        for item in range(items):
            index = (batch * 37 + item) % OBJECTS
            opaque = b"%d.%d" % (batch, item)
            request.add_object_request(bucket.object(f"{index:03}"), opaque=opaque)
        yield request


@pytest.mark.parametrize("memory", [100_000, 64 << 20], ids=["little memory", "much memory"])
async def test_every_item_comes_once_and_in_order(tmp_path: Path, memory: int) -> None:
    datas = fill(tmp_path)
    async with nothing_left_open():
        async with (
            FaultyServer(tmp_path, faults(7, cut=0.3, busy=0.15)) as server,
            # Which batch is hit depends on time, and all of an LZ4 archive is one block, cut or whole.
            Client(server.url, retry=RETRY, max_resumes=20) as client,
            client.batch_loader(max_memory=memory) as loader,
        ):
            expected = ((batch, item) for batch in range(40) for item in range(50))
            async for metadata, data in loader.stream(requests_of(client, 40, 50)):
                batch, item = next(expected)
                assert (metadata.index, metadata.opaque) == (item, b"%d.%d" % (batch, item))
                assert data == datas[(batch * 37 + item) % OBJECTS]
            assert next(expected, None) is None
            statistics = loader.statistics()
        assert (statistics.items, statistics.held_bytes, statistics.running) == (2000, 0, 0)
        assert statistics.resumes > 0
        assert statistics.retries > 0


async def stream(loader: BatchLoader, client: Client) -> None:
    async for _ in loader.stream(requests_of(client, 20, 30)):
        pass


async def batches(loader: BatchLoader, client: Client) -> None:
    async for batch in loader.get_batches(requests_of(client, 20, 30), ordered=False):
        await batch.read_all()


async def objects(loader: BatchLoader, client: Client) -> None:
    bucket = client.bucket("b")
    for _ in range(10):
        await asyncio.gather(*(loader.load(bucket.object(f"{index:03}")) for index in range(OBJECTS)))


@pytest.mark.parametrize("work", [stream, batches, objects])
async def test_nothing_is_left_of_what_is_cancelled(
    tmp_path: Path, work: Callable[[BatchLoader, Client], object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    fill(tmp_path)
    rng = random.Random(7)

    async def run(client: Client) -> None:
        async with client.batch_loader(max_memory=60_000, max_concurrency=4, max_batch=30) as loader:
            loaders.append(loader)
            await work(loader, client)  # type: ignore[misc]

    loaders: list[BatchLoader] = []
    async with FaultyServer(tmp_path, faults(7, cut=0.2, busy=0.1)) as server:
        for _ in range(14):
            async with nothing_left_open(), Client(server.url, retry=RETRY) as client:
                task = asyncio.create_task(run(client))
                for _ in range(int(1.5 ** rng.uniform(0, 16))):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            if loaders:
                await until(lambda: loaders[-1].statistics().running == 0)
                statistics = loaders.pop().statistics()
                assert (statistics.held_bytes, statistics.waiting) == (0, 0)
