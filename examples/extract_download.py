"""Download an archive and extract it at once: ``python examples/extract_download.py FOLDER``.

The server's own objects serve as the download here; any URL would do.
"""

from __future__ import annotations

import asyncio
import os
import sys

import httpx

from asyncbatch import Limits, encode_archive, open_archive
from asyncbatch.aistore import Client

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")
LIMITS = Limits(max_total_size=1 << 30, max_members=10_000)  # archives of strangers deserve tighter ones


async def main(folder: str) -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        files = [(f"photos/{number}.jpg", bytes(10_000)) for number in range(5)]
        async with encode_archive(files, format=".tar.gz") as chunks:
            await bucket.object("photos.tar.gz").put(chunks)

    url = f"{ENDPOINT}/v1/objects/example/photos.tar.gz"
    async with (
        httpx.AsyncClient(follow_redirects=True) as http,
        http.stream("GET", url) as response,
        open_archive(response.aiter_raw(), limits=LIMITS) as archive,
    ):
        response.raise_for_status()
        result = await archive.extract_all(folder)
    print(f"{result.files} files, {result.bytes} bytes")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
