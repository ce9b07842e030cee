"""Fetch many objects in one request: ``python examples/one_batch.py``."""

from __future__ import annotations

import asyncio
import os

from asyncbatch.aistore import Client

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def main() -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        names = [f"one-batch/{number:03}.txt" for number in range(100)]
        for name in names:
            await bucket.object(name).put(f"this is {name}".encode())

        async with client.get_batch(names, bucket=bucket) as batch:
            async for metadata, data in batch:  # in the order of the names
                if metadata.index % 25 == 0:
                    print(f"{metadata.name}: {data.decode()}")
        stats = batch.stats
        print(f"{stats.items} items, {stats.bytes} bytes, {stats.requests} request, {stats.seconds:.3f} s")


if __name__ == "__main__":
    asyncio.run(main())
