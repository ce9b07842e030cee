"""Test what your own program does when the server fails: ``python examples/faulty_server.py``.

The server runs in the same event loop, over a folder of its own, and needs nothing else.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from asyncbatch.aistore import Client
from asyncbatch.testing import Expired, FaultyServer, HangUp, Status

NAMES = [f"{number}.bin" for number in range(20)]


async def total_size(client: Client) -> int:
    """Your own program."""
    async with client.get_batch(NAMES, bucket="example") as batch:
        return sum([len(data) async for _, data in batch])


async def main(root: Path) -> None:
    bucket = root / "example"  # a folder is a bucket
    bucket.mkdir()
    for name in NAMES:
        (bucket / name).write_bytes(bytes(1000))

    faults = [Status(503, retry_after=0), HangUp("close"), Expired(), None]  # one per request, in order
    async with FaultyServer(root, faults) as server, Client(server.url) as client:
        print(await total_size(client), "bytes")
        for asked in server.requests:
            print(f"{len(asked.entries)} entries asked for, answered with: {asked.fault}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
