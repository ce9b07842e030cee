"""Make a batch into another archive while it arrives: ``python examples/repack.py ARCHIVE.tar.zst``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import aiofiles

from asyncbatch import EncodeMember, encode_archive, open_archive
from asyncbatch.aistore import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncbatch.batch import BatchStream

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def renamed(batch: BatchStream) -> AsyncIterator[EncodeMember]:
    async for member in batch.members():
        name = f"{member.metadata.index:06}.txt"
        yield EncodeMember(name, member, size=member.metadata.size)  # its data is read as it is written


async def main(path: str) -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        names = [f"repack/{name}" for name in ("one", "two", "three")]
        for name in names:
            await bucket.object(name).put(f"this is {name}".encode())

        async with (
            client.get_batch(names, bucket=bucket) as batch,
            encode_archive(renamed(batch), format=".tar.zst") as chunks,
            aiofiles.open(path, "wb") as file,
        ):
            async for chunk in chunks:
                await file.write(chunk)

    async with open_archive(path) as archive:
        async for member in archive:
            print(member.name, await member.read())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
