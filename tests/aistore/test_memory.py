"""What a batch holds in memory: the item that is handed out, and the one that is on its way."""

from __future__ import annotations

import asyncio
import os
import sys
import tarfile
from pathlib import Path

import pytest

from ..support.wire import WireServer, head

pytestmark = pytest.mark.anyio

ITEM = 10 << 20
COUNT = 200

READER = """
import asyncio, re, sys
from asyncbatch.aistore import Client

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

async def read(url, count):
    async with Client(url) as client:
        async with client.get_batch([f"o{i}" for i in range(count)], bucket="b") as batch:
            before = peak()  # connected, and nothing read
            async for metadata, data in batch:
                assert len(data) == metadata.size == int(sys.argv[3])
            return peak() - before, batch.stats.bytes

print(*asyncio.run(read(sys.argv[1], int(sys.argv[2]))))
"""


@pytest.fixture
def anyio_backend() -> str:
    """One loop: the reader is a process of its own."""
    return "asyncio"


async def send_batch(writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, Content_Type="application/x-tar", Connection="close"))
    data = bytes(1 << 20)
    for index in range(COUNT):
        member = tarfile.TarInfo(f"b/o{index}")
        member.size = ITEM
        writer.write(member.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(ITEM // len(data)):
            writer.write(data)
            await writer.drain()
    writer.write(bytes(1024))
    await writer.drain()


async def test_a_large_batch_read_item_by_item_needs_no_more_than_two_of_its_items() -> None:
    async with WireServer(send_batch) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", READER, server.url, str(COUNT), str(ITEM)),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            # What was freed goes back to the system at once: the reader is measured, not malloc's holes.
            env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)},
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    growth, received = map(int, output.split())
    assert received == COUNT * ITEM
    # Besides, what the connection holds, a chunk of it, and modules loaded on the way.
    assert growth <= 2 * ITEM + (4 << 20), f"{growth / ITEM:.2f} items"
