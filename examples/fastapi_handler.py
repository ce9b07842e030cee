"""One loader for all requests of a web application: ``python examples/fastapi_handler.py``.

What requests want at the same time is fetched together. It can be served by ``fastapi run``.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI, HTTPException, Request, Response  # noqa: TC002 - FastAPI reads annotations

from asyncbatch import ObjectNotFoundError
from asyncbatch.aistore import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Client(ENDPOINT) as client, client.batch_loader(max_memory="64MiB") as loader:
        app.state.bucket = client.bucket("example")
        app.state.loader = loader
        yield


app = FastAPI(lifespan=lifespan)


async def get_object(request: Request) -> Response:
    bucket, loader = request.app.state.bucket, request.app.state.loader
    try:
        data = await loader.load(bucket.object(request.path_params["name"]))
    except ObjectNotFoundError as error:
        raise HTTPException(404, error.message) from error
    return Response(data)


app.add_api_route("/objects/{name:path}", get_object, response_model=None)


async def main() -> None:
    async with Client(ENDPOINT) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        for number in range(50):
            await bucket.object(f"web/{number:02}.txt").put(f"page {number}".encode())

    # In place of browsers: 50 requests at the same time, and one for what is not there.
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
        names = [f"web/{number:02}.txt" for number in range(50)]
        pages = await asyncio.gather(*(browser.get(f"/objects/{name}") for name in [*names, "nowhere"]))
        print([page.text for page in pages[:3]], pages[-1].status_code)
        statistics = app.state.loader.statistics()
        print(f"{len(pages)} requests came in, {statistics.requests} went out")


if __name__ == "__main__":
    asyncio.run(main())
