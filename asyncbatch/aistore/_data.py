"""The data of an object by GET, or of a range of it, or of a file inside: opened, and checked to be that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RemoteError
from ..transport import public_url, range_header, what_is_wrong
from .wire import WireRequest, bucket_query, check_text, object_path

if TYPE_CHECKING:
    import httpx

    from ..batch import Entry
    from ._http import Connection

__all__ = ["open_data"]


async def open_data(connection: Connection, entry: Entry, *, once: bool = False) -> httpx.Response:
    """Ask for what an entry names, and return the answer, whose body is the data and still to be read.

    Args:
        connection: Whom to ask.
        entry: With an archpath or a range, but not with both: AIStore reads no range of a file in a shard.
        once: Whether the caller tries again himself.

    Raises:
        UsageError: for names that AIStore refuses.
        ObjectNotFoundError, BucketNotFoundError: if there is no such object, file or bucket.
        RemoteError: if the answer is another error, or its body cannot be taken for the data.
        TransportError: if there is none.
    """
    start, length = entry.start, entry.length
    query = bucket_query(entry.provider, entry.namespace)
    if entry.archpath is not None:
        check_text(entry.archpath)
        query["archpath"] = entry.archpath
    response = await (connection.open_once if once else connection.open)(
        WireRequest(
            method="GET",
            path=object_path(entry.bucket, entry.name),
            query=query,
            headers=range_header(start, length),
            name=entry.name,
            bucket=entry.bucket,
        )
    )
    if problem := _what_is_wrong(response, start, length):
        await response.aclose()
        raise RemoteError(
            status=response.status_code,
            message=f"object {entry.name!r}: {problem}",
            url=public_url(response.url),
        )
    return response


def _what_is_wrong(response: httpx.Response, start: int, length: int | None) -> str | None:
    """Return why a body must not be taken for the data that was asked for, or None if it may."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        return f"the data came encoded as {encoding}, which was not asked for"
    return what_is_wrong(response, start, length)
