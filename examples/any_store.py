"""Read a batch from any store: ``python any_store.py URL BUCKET NAME...``.

The URL may be ``file:///folder``, ``s3://``, ``gs://``, ``az://``, ``t3://``, or the endpoint of an AIStore.
What does not exist is said to be missing.
"""

from __future__ import annotations

import asyncio
import sys

import asyncbatch


async def main(url: str, bucket: str, names: list[str]) -> None:
    async with (
        asyncbatch.connect(url) as store,
        store.get_batch(names, bucket=bucket, continue_on_err=True) as batch,
    ):
        async for metadata, data in batch:
            print(f"{metadata.name}: {'missing' if metadata.missing else f'{len(data)} bytes'}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
