"""What a loader holds whose reader is slow: ``python -m benchmarks.loader_memory``.

Batches come from a sender; the reader sleeps behind every so many items. The process's own memory is looked
at all the while. It fails where that grows by more than the budget, 32 MiB, and an item if these are large.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from typing import Any

from asyncbatch import BatchRequest
from asyncbatch.aistore import Client

from .data import Items
from .processes import resident
from .sender import BUCKET, running_sender

_MIB = 1 << 20


async def _read(url: str, names: list[str], arguments: argparse.Namespace) -> None:
    async with Client(url) as client:
        bucket = client.bucket(BUCKET)
        request = BatchRequest()
        for name in names:
            request.add_object_request(bucket.object(name))
        # The sender knows whole batches only, and waits for any time.
        options: dict[str, Any] = {"way": "batch", "join_below": 0, "max_pause": None}
        async with client.batch_loader(**options, max_memory=1) as loader:
            async for _ in loader.stream([request]):  # what is imported and allocated once
                pass
        gc.collect()
        before = most = resident()
        count = 0
        async with client.batch_loader(**options, max_memory=f"{arguments.memory}MiB") as loader:
            async for _ in loader.stream(request for _ in range(arguments.batches)):
                count += 1
                if count % arguments.every == 0:
                    await asyncio.sleep(0.01)
                    most = max(most, resident())
            statistics = loader.statistics()
    grown = (most - before) / _MIB
    print(f"{count} items of {arguments.size} bytes: grew by at most {grown:.1f} MiB; {statistics}")
    if grown > arguments.memory + 32 + (arguments.size / _MIB if arguments.size > _MIB else 0):
        raise SystemExit("that is more than the budget, 32 MiB, and an item if it is large")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader_memory", description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--items", type=int, default=1000, help="of each batch")
    parser.add_argument("--size", type=int, default=10_240, help="bytes of each")
    parser.add_argument("--memory", type=int, default=64, help="MiB")
    parser.add_argument("--every", type=int, default=1000, help="items between sleeps")
    arguments = parser.parse_args()
    items = Items("", arguments.size, arguments.items)
    with running_sender(items) as url:
        asyncio.run(_read(url, [name for name, _ in items], arguments))


if __name__ == "__main__":
    main()
