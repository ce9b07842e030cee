"""Log in at a cluster with authentication, and watch the requests: ``python examples/secured_cluster.py``.

With the name of a user behind that, and the server's URL in ``AIS_AUTHN_URL``, it asks for the password.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import sys

from asyncbatch.aistore import Client, login

ENDPOINT = os.environ.get("AIS_ENDPOINT", "http://localhost:8080")


async def main() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("asyncbatch")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    token = None  # of the environment, or of `ais auth login`
    if len(sys.argv) > 1:
        token = await login(None, sys.argv[1], getpass.getpass(), expires_in=3600)
    async with Client(ENDPOINT, token=token) as client:
        bucket = await client.bucket("example").create(exist_ok=True)
        await bucket.object("secured/hello.txt").put(b"hello")
        async with client.get_batch(["secured/hello.txt"], bucket=bucket) as batch:
            print([item.data for item in await batch.read_all()])


if __name__ == "__main__":
    asyncio.run(main())
