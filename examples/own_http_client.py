"""Bring an HTTP client of your own, and say how to try again: ``python examples/own_http_client.py``."""

from __future__ import annotations

import asyncio
import os

import httpx

from asyncbatch.aistore import Client
from asyncbatch.transport import RetryPolicy, StreamingTransport

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def log(response: httpx.Response) -> None:
    print(response.request.method, response.url.path, response.status_code)


async def main() -> None:
    transport = StreamingTransport(limits=httpx.Limits(max_connections=8))
    http = httpx.AsyncClient(transport=transport, timeout=30, event_hooks={"response": [log]})
    retry = RetryPolicy(max_attempts=3, deadline=60)
    async with http, Client(ENDPOINT, http_client=http, retry=retry) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        await bucket.object("own/hello.txt").put(b"hello")
        async with client.get_batch(["own/hello.txt"], bucket=bucket) as batch:
            print([item.data for item in await batch.read_all()])


if __name__ == "__main__":
    asyncio.run(main())
