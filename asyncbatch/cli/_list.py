"""``asyncbatch list``: what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._cluster import is_endpoint, open_bucket, open_client
from ._output import Output
from ._run import Status

if TYPE_CHECKING:
    from ..aistore import Bucket, Client

__all__ = ["list_objects_or_buckets"]


async def list_objects_or_buckets(url: str, *, prefix: str, endpoint: str, as_json: bool) -> Status:
    """Print objects with their sizes, or, if there is no bucket in `url`, buckets."""
    output = Output(as_json=as_json)
    if is_endpoint(url):
        url, endpoint = "", url
    async with open_client(endpoint) as client:
        if url in {"", "ais://"}:
            await _list_buckets(client, output)
        else:
            await _list_objects(open_bucket(client, url), prefix, output)
    return Status.OK


async def _list_buckets(client: Client, output: Output) -> None:
    async for bucket in client.list_buckets():
        output.record(name=bucket.name, provider=bucket.provider)
        output.line(f"{bucket.provider}://{bucket.name}")


async def _list_objects(bucket: Bucket, prefix: str, output: Output) -> None:
    async for info in bucket.list_objects(prefix=prefix):
        output.record(name=info.name, size=info.size)
        output.line(f"{info.size:>15} {info.name}")
