"""Fetch a bundle from Tigris, and save another as it comes: ``python tigris_bundle.py ENDPOINT BUCKET FILE``.

Credentials are those of the environment (`AWS_ACCESS_KEY_ID` and so on) or of a profile.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from asyncbatch.tigris import Client, bundle_objects


async def main(endpoint: str, bucket_name: str, path: str) -> None:
    async with Client(endpoint) as s3:
        bucket = await s3.bucket(bucket_name).create(exist_ok=True)
        keys = [f"bundle/{number:03}.txt" for number in range(100)]
        for key in keys:
            await bucket.object(key).put(f"this is {key}".encode())

        async with bundle_objects(s3, bucket_name, [*keys, "bundle/gone.txt"]) as response:
            size = sum([len(data) async for _, data in response])
        print(f"{response.object_count} objects, {size} bytes, {response.skipped_count} skipped")
        for key, reason in response.skipped:
            print(f"{key}: {reason}")

        async with bundle_objects(s3, bucket_name, keys, compression="gzip") as response:
            with Path(path).open("wb") as file:  # noqa: ASYNC230 - a small one
                async for chunk in response.aiter_raw():
                    file.write(chunk)
        for key in keys:
            await bucket.object(key).delete()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
