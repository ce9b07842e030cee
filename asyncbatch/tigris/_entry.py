"""One entry of a batch, asked for by itself: its object, a range of it, or a file in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..batch import EntryAnswer
from ..errors import ObjectNotFoundError, RemoteError
from ..transport import Body, public_url, read_body, size_of
from ._data import open_data
from .wire import NO_SUCH_RANGE, PROVIDER, WireRequest, object_path, parse_object_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from ..batch import Entry
    from ..shards import Shards
    from ._http import Connection
    from .wire import ObjectInfo

__all__ = ["head_object", "open_entry", "open_file"]


async def open_entry(connection: Connection, shards: Shards, entry: Entry) -> EntryAnswer:
    """Ask for what an entry names.

    Raises:
        RemoteError: with status 416 for a range that is not in the object, or in the file; 404 for a file
            that is not in its shard; or as `open_data` does.
        TransportError: if there is no answer.
        FormatError, LimitExceededError: for a shard that cannot be read.
    """
    if entry.archpath is not None:
        return await open_file(connection, shards, entry)
    start, length = entry.start, entry.length
    try:
        response = await open_data(
            connection, entry.bucket, entry.name, start=start, length=length, once=True
        )
    except RemoteError as error:
        if error.status != 416:
            raise
        raise _out_of_range(entry, error.message, error.url) from error
    body, size = Body(response), size_of(response)
    if size is not None and length is not None and size < length:
        await body.aclose()
        raise _out_of_range(entry, f"it has {start + size} bytes", public_url(response.url))
    return EntryAnswer(body, size)


def _out_of_range(entry: Entry, reason: str, url: str = "") -> RemoteError:
    wanted = "all" if entry.length is None else f"{entry.length} bytes"
    return RemoteError(
        status=416,
        code=NO_SUCH_RANGE,
        message=f"{_public_name(entry)}: {wanted} from byte {entry.start} on cannot be had: {reason}",
        url=url,
    )


def _public_name(entry: Entry) -> str:
    name = f"{PROVIDER}://{entry.bucket}/{entry.name}"
    return name if entry.archpath is None else f"{entry.archpath} in {name}"


# -- files in shards --------------------------------------------------------------------------------------


async def open_file(
    connection: Connection, shards: Shards, entry: Entry, *, whole: bool = True
) -> EntryAnswer:
    """Ask for a file inside an object, or for a range of it.

    Args:
        connection: Whom to ask.
        shards: What reads them.
        entry: With an archpath.
        whole: Whether the range has to be there as a whole.

    Raises:
        As `open_entry` does.
    """
    assert entry.archpath is not None  # noqa: S101 - for the type checker
    info = await head_object(connection, entry.bucket, entry.name, once=True)
    shard = _ObjectShard(connection, entry.bucket, info)
    found = await shards.open(shard, entry.archpath, entry.start, entry.length)
    if found is None:
        raise ObjectNotFoundError(
            status=404, message=f"{_public_name(entry)} does not exist", name=entry.name, bucket=entry.bucket
        )
    is_short = entry.start > found.size or (entry.length is not None and found.length < entry.length)
    if is_short and whole:
        await found.chunks.aclose()
        raise _out_of_range(entry, f"it has {found.size} bytes")
    return EntryAnswer(found.chunks, found.length)


async def head_object(connection: Connection, bucket: str, name: str, *, once: bool = False) -> ObjectInfo:
    """Ask what the server knows of an object.

    Raises:
        ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
        RemoteError, TransportError: as the server and the network have it.
        FormatError: if the answer does not tell its size.
    """
    request = WireRequest(method="HEAD", path=object_path(bucket, name), name=name, bucket=bucket)
    response = await (connection.open_once if once else connection.open)(request)
    await response.aclose()
    return parse_object_headers(name, response.headers)


class _ObjectShard:
    """One version of an object that is an archive: what `Shards` read."""

    def __init__(self, connection: Connection, bucket: str, info: ObjectInfo) -> None:
        self.name = info.name
        self.size = info.size
        self.version = info.etag or ""
        self.key = (bucket, info.name)
        self._connection = connection
        self._bucket = bucket

    async def read(self, offset: int, length: int) -> bytes:
        response = await self._open(offset, length)
        maximum = self._connection.limits.max_item_size
        return await read_body(response, maximum=maximum, what=f"a part of shard {self.name!r}")

    async def stream(self, offset: int, length: int | None) -> AsyncIterator[bytes]:
        body = Body(await self._open(offset, length))
        try:
            async for chunk in body:
                yield chunk
        finally:
            await body.aclose()

    async def _open(self, offset: int, length: int | None) -> httpx.Response:
        try:
            return await open_data(
                self._connection,
                self._bucket,
                self.name,
                start=offset,
                length=length,
                etag=self.version or None,
                once=True,
            )
        except RemoteError as error:
            if error.status != 412:
                raise
            raise RemoteError(
                status=412,
                code=error.code,
                message=f"shard {self.name!r} was changed while it was read",
                url=error.url,
                retryable=True,
            ) from error
