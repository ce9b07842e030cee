"""What is missing raises, or comes as an item: ``python examples/missing_objects.py``."""

from __future__ import annotations

import asyncio
import os

from asyncbatch import ObjectNotFoundError
from asyncbatch.aistore import Client

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def main() -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        await bucket.object("there.txt").put(b"here I am")
        await bucket.object("empty.txt").put(b"")
        names = ["there.txt", "empty.txt", "nowhere.txt"]

        try:
            async with client.get_batch(names, bucket=bucket) as batch:
                await batch.read_all()
        except ObjectNotFoundError as error:
            print(f"raised: {error.name} does not exist")

        async with client.get_batch(names, bucket=bucket, continue_on_err=True) as batch:
            async for metadata, data in batch:
                print(f"{metadata.name}: {metadata.error if metadata.missing else f'{len(data)} bytes'}")


if __name__ == "__main__":
    asyncio.run(main())
