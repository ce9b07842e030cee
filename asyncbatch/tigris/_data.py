"""The data of an object by GET, or of a range of it: opened, and checked to be that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RemoteError
from ..transport import public_url
from .wire import WireRequest, is_range, object_path, parse_content_range, range_header

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
    headers = range_header(start, length)
    condition = {} if etag is None else {"if-match": f'"{etag}"'}
    response = await (connection.open_once if once else connection.open)(
        WireRequest(
            method="GET",
            path=object_path(bucket, name),
            headers=headers | condition,
            name=name,
            bucket=bucket,
        )
    )
    if problem := _what_is_wrong(response, headers, start, length):
        await response.aclose()
        raise RemoteError(
            status=response.status_code,
            message=f"object {name!r}: {problem}",
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
            return f"{wanted['range']} was asked for, and another range came: {headers.get('content-range')}"
        if headers.get("content-length", str(told[1] - told[0])) != str(told[1] - told[0]):
            return f"{headers['content-range']} came with {headers['content-length']} bytes"
    if "content-length" not in headers and "transfer-encoding" not in headers:
        # Such a body ends with the connection, whole or not (RFC 9112, section 6.3).
        return "the answer does not tell where it ends, so whether it is whole could not be told either"
    return None
