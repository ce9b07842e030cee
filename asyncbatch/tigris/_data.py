"""The data of an object by GET, or of a range of it: opened, and checked to be that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RemoteError
from ..transport import public_url, range_header, what_is_wrong
from .wire import WireRequest, object_path

if TYPE_CHECKING:
    import httpx

    from ._http import Connection

__all__ = ["open_data"]


async def open_data(
    connection: Connection,
    bucket: str,
    name: str,
    *,
    start: int = 0,
    length: int | None = None,
    etag: str | None = None,
    once: bool = False,
) -> httpx.Response:
    """Ask for an object, or for a range of it, and return the answer, whose body is the data to be read.

    Args:
        connection: Whom to ask.
        bucket: Where it is.
        name: The object.
        start: First byte wanted.
        length: Bytes wanted, fewer coming if the object ends sooner; None for all from `start`.
        etag: What the object must be still, or else the answer is an error of status 412.
        once: Whether the caller tries again himself.

    Raises:
        UsageError: for names that no object has.
        ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
        RemoteError: if the answer is another error, or its body cannot be taken for the data.
        TransportError: if there is none.
    """
    condition = {} if etag is None else {"if-match": f'"{etag}"'}
    response = await (connection.open_once if once else connection.open)(
        WireRequest(
            method="GET",
            path=object_path(bucket, name),
            headers=range_header(start, length) | condition,
            name=name,
            bucket=bucket,
        )
    )
    if problem := what_is_wrong(response, start, length):
        await response.aclose()
        raise RemoteError(
            status=response.status_code,
            message=f"object {name!r}: {problem}",
            url=public_url(response.url),
        )
    return response
