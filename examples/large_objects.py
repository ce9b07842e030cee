"""Objects that are never held in memory, up and down: ``python examples/large_objects.py FOLDER``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiofiles

from asyncbatch.aistore import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def produce(mebibytes: int) -> AsyncIterator[bytes]:
    for number in range(mebibytes):
        yield bytes([number % 256]) * (1 << 20)


async def main(folder: Path) -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        for name in ("large-1.bin", "large-2.bin"):
            await bucket.object(name).put(produce(32))

        async with client.get_batch(["large-1.bin", "large-2.bin"], bucket=bucket) as batch:
            async for member in batch.members():
                path = folder / member.metadata.name
                async with aiofiles.open(path, "wb") as file:
                    async for chunk in member:
                        await file.write(chunk)
                print(f"{path.name}: {member.metadata.size} bytes")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
