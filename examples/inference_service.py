"""Workers of an inference service load what they need, together: ``python examples/inference_service.py``."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from asyncbatch import ObjectNotFoundError
from asyncbatch.aistore import Client

if TYPE_CHECKING:
    from asyncbatch import BatchLoader
    from asyncbatch.aistore import Bucket

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


def infer(image: bytes, mask: bytes) -> int:
    """Stand in for a model."""
    return sum(image) - sum(mask)


async def answer(loader: BatchLoader, bucket: Bucket, number: int) -> str:
    """Answer one call: each has a deadline, and whoever misses it takes nothing from the others."""
    image, mask = bucket.object(f"image/{number}"), bucket.object("mask")
    try:
        async with asyncio.timeout(10):
            return f"{infer(*await loader.load_many([image, mask]))}"
    except ObjectNotFoundError as error:
        return f"no such image: {error.name}"


async def main() -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        await bucket.object("mask").put(bytes([1, 2, 3]))
        for number in range(20):
            await bucket.object(f"image/{number}").put(bytes([number] * 10))

        async with client.batch_loader(load_window=0.005) as loader:
            answers = await asyncio.gather(*(answer(loader, bucket, number) for number in range(21)))
            statistics = loader.statistics()
        print(answers[5], answers[19], answers[20], sep=", ")
        print(f"{len(answers)} calls, {statistics.items} objects, {statistics.requests} request")


if __name__ == "__main__":
    asyncio.run(main())
