"""The data of an object by GET, or of a range of it, or of a file inside: opened, and checked to be that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RemoteError
from ..transport import public_url
from .wire import (
    WireRequest,
    bucket_query,
    check_text,
    is_range,
    object_path,
    parse_content_range,
    range_header,
)

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
    headers = range_header(start, length)
    response = await (connection.open_once if once else connection.open)(
        WireRequest(
            method="GET",
            path=object_path(entry.bucket, entry.name),
            query=query,
            headers=headers,
            name=entry.name,
            bucket=entry.bucket,
        )
    )
    if problem := _what_is_wrong(response, headers, start, length):
        await response.aclose()
        raise RemoteError(
            status=response.status_code,
            message=f"object {entry.name!r}: {problem}",
            url=public_url(response.url),
        )
    return response


def _what_is_wrong(
    response: httpx.Response, wanted: dict[str, str], start: int, length: int | None
) -> str | None:
    """Return why a body must not be taken for the data that was asked for, or None if it may."""
    headers = response.headers
    if wanted:
        if response.status_code != 206:
            return "a range was asked for, and the whole object came"
        told = parse_content_range(headers.get("content-range", ""))
        if told is None or not is_range(headers["content-range"], start, length):
            return f"{wanted['Range']} was asked for, and another range came: {headers.get('content-range')}"
        if headers.get("content-length", str(told[1] - told[0])) != str(told[1] - told[0]):
            return f"{headers['content-range']} came with {headers['content-length']} bytes"
    if headers.get("content-encoding", "identity") != "identity":
        return f"the data came encoded as {headers['content-encoding']}, which was not asked for"
    if "content-length" not in headers and "transfer-encoding" not in headers:
        # Such a body ends with the connection, whole or not (RFC 9112, section 6.3).
        return "the answer does not tell where it ends, so whether it is whole could not be told either"
    return None
