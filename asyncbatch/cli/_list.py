"""``asyncbatch list``: what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._output import Output
from ._places import open_bucket, open_client
from ._run import Status

if TYPE_CHECKING:
    from ._places import Bucket, Client

__all__ = ["list_objects_or_buckets"]


async def list_objects_or_buckets(
    url: str, *, bucket: str, prefix: str, endpoint: str, as_json: bool
) -> Status:
    """Print objects with their sizes, or, if neither `url` nor `bucket` names a bucket, buckets."""
    output = Output(as_json=as_json)
    async with open_client(url, endpoint) as client:
        if bucket or client.default_bucket is not None:
            await _list_objects(open_bucket(client, bucket), prefix, output)
        else:
            await _list_buckets(client, output)
    return Status.OK


async def _list_buckets(client: Client, output: Output) -> None:
    async for bucket in client.list_buckets():
        output.record(name=bucket.name, provider=bucket.provider)
        output.line(f"{bucket.provider}://{bucket.name}")


async def _list_objects(bucket: Bucket, prefix: str, output: Output) -> None:
    async for info in bucket.list_objects(prefix=prefix):
        output.record(name=info.name, size=info.size)
        output.line(f"{info.size:>15} {info.name}")
