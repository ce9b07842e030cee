"""What responses hold that nobody reads: ``python -m benchmarks.held``.

From a sender of small chunks, or from nginx with TLS.
The process's own memory is looked at, once per second; the sockets' buffers are the kernel's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import ssl
from contextlib import AsyncExitStack, ExitStack

import httpx

from asyncbatch.transport import StreamingTransport

from .http_sender import body, running_sender
from .nginx import running_nginx
from .processes import resident

_SIZE = 64 << 20


async def _stall(url: str, verify: ssl.SSLContext, *, seconds: int, responses: int) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=StreamingTransport(verify=verify))
        )
        async with client.stream("GET", url) as response:
            await anext(response.aiter_raw())  # what is imported and allocated once
        gc.collect()
        before = most = resident()
        for _ in range(responses):
            await stack.enter_async_context(client.stream("GET", url))
        for _ in range(seconds):
            await asyncio.sleep(1)
            most = max(most, resident())
        each = (most - before) / responses / 1024
        print(f"{responses} responses, nobody reads for {seconds} s: at most {each:.0f} KiB each")
        if each > 1024:
            raise SystemExit("that is more than 1 MiB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--tls", action="store_true", help="from nginx, with TLS")
    arguments = parser.parse_args()
    verify = ssl.create_default_context()
    with ExitStack() as stack:
        if arguments.tls:
            nginx = stack.enter_context(running_nginx(body(_SIZE)))
            if nginx is None:
                raise SystemExit("nginx is not installed")
            url = nginx.tls
            verify.load_verify_locations(nginx.authority)
        else:
            url = stack.enter_context(running_sender(_SIZE)) + "2048"
        options = {"seconds": arguments.seconds, "responses": arguments.responses}
        asyncio.run(_stall(url, verify, **options))


if __name__ == "__main__":
    main()
