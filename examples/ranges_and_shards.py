"""Parts of objects, and files inside shards, in one request: ``python examples/ranges_and_shards.py``."""

from __future__ import annotations

import asyncio
import os

from asyncbatch import BatchRequest, encode_archive
from asyncbatch.aistore import Client

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def main() -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        samples = [(f"{number:03}.txt", f"sample {number}".encode()) for number in range(100)]
        async with encode_archive(samples) as chunks:
            await bucket.object("shard.tar").put(chunks)
        await bucket.object("alphabet.txt").put(b"abcdefghijklmnopqrstuvwxyz")

        request = BatchRequest(output_format=".tar.lz4")
        request.add_object_request(bucket.object("shard.tar"), archpath="042.txt", opaque=b"my own mark")
        request.add_object_request(bucket.object("shard.tar"), archpath="099.txt", start=7)
        request.add_object_request(bucket.object("alphabet.txt"), start=23, length=3)

        async with client.get_batch(request) as batch:
            async for metadata, data in batch:
                print(metadata.name, metadata.archpath, metadata.opaque, data)


if __name__ == "__main__":
    asyncio.run(main())
