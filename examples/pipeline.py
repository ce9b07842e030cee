"""A pipeline over many batches in bounded memory: ``python examples/pipeline.py``."""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import TYPE_CHECKING

from asyncbatch import BatchRequest
from asyncbatch.aistore import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncbatch.aistore import Bucket

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def plan(bucket: Bucket, size: int) -> AsyncIterator[BatchRequest]:
    """Make requests out of a listing, page by page. The loader asks for them as it has room."""
    request = BatchRequest(output_format=".tar.lz4")
    async for info in bucket.list_objects(prefix="pipeline/"):
        request.add_object_request(bucket.object(info.name))
        if len(request) == size:
            yield request
            request = BatchRequest(output_format=".tar.lz4")
    if len(request):
        yield request


async def main() -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        for number in range(120):
            await bucket.object(f"pipeline/{number:03}").put(f"{number:03}".encode() * 1000)

        async with client.batch_loader(max_concurrency=4, max_memory="16MiB") as loader:
            checksum = 0
            async for batch in loader.get_batches(plan(bucket, 50)):
                async for _, data in batch:  # received ahead, while this works
                    checksum = zlib.crc32(data, checksum)
                print(f"{batch.stats.items} objects, checksum so far {checksum:08x}")
            statistics = loader.statistics()
        print(f"{statistics.items} items in {statistics.requests} requests")


if __name__ == "__main__":
    asyncio.run(main())
