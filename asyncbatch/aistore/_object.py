"""An object of a bucket: the calls that concern one object."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Self, TypeAlias

import aiofiles.os

from .._closing import AsyncCloseable
from ..archive._sources import close_source, iterate_source
from ..batch import Entry
from ..errors import ObjectNotFoundError, UsageError
from ..transport import Body, read_body
from ._data import open_data
from .wire import WireRequest, bucket_query, object_path, parse_object_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from ._bucket import Bucket
    from ._http import Connection
    from .wire import ObjectInfo

__all__ = ["Object", "ObjectBody", "ObjectData"]

ObjectData: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | AsyncIterable[bytes]"


class Object:
    """An object in a bucket, which need not exist. Made by `Bucket.object`.

    Attributes:
        name: The object's name.
        bucket: The bucket it lives in.
    """

    def __init__(self, bucket: Bucket, name: str, connection: Connection) -> None:
        self.bucket = bucket
        self.name = name
        self._connection = connection

    def __repr__(self) -> str:
        return f"<Object {self.bucket.provider}://{self.bucket.name}/{self.name}>"

    async def get(self, *, start: int = 0, length: int | None = None, archpath: str | None = None) -> bytes:
        """Return the object's data.

        Args:
            start: First byte wanted.
            length: Bytes wanted, fewer coming if the object ends sooner; None for all from `start`.
            archpath: A file inside the object, which then is an archive. Cannot be combined with a range.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object, file or bucket.
            LimitExceededError: if the data is larger than `max_item_size`.
            RemoteError, TransportError: as the server and the network have it.
            UsageError: for a range that could not be answered.
        """
        response = await self._open(start, length, archpath)
        maximum = self._connection.limits.max_item_size
        return await read_body(response, maximum=maximum, what=f"object {self.name!r}, held in memory")

    def open(self, *, start: int = 0, length: int | None = None, archpath: str | None = None) -> ObjectBody:
        """Return the object's data as a stream, to be read with ``async with`` and ``async for``.

        Takes what `get` takes, and raises what it raises, in the ``async with`` and while iterating.
        """
        return ObjectBody(self, start, length, archpath)

    async def _open(self, start: int, length: int | None, archpath: str | None) -> httpx.Response:
        if start < 0 or (length is not None and length <= 0):
            raise UsageError(
                f"object {self.name!r}: start={start}, length={length} is no range: start is not negative, "
                "and length positive, or None for all from start"
            )
        if archpath is not None and (start or length is not None):
            raise UsageError(
                f"object {self.name!r}: AIStore reads no range of a file inside a shard by GET; "
                "ask for it in a batch"
            )
        bucket = self.bucket
        entry = Entry(
            name=self.name,
            bucket=bucket.name,
            provider=bucket.provider,
            namespace=bucket.namespace,
            archpath=archpath,
            start=start,
            length=length,
        )
        return await open_data(self._connection, entry)

    async def put(self, data: ObjectData) -> None:
        """Store the object, in place of what was there.

        Args:
            data: Bytes, a path, or an async iterable of bytes, which is read once.

        Raises:
            BucketNotFoundError: if there is no such bucket.
            RemoteError, TransportError: as the server and the network have it; the object is as it was.
            OSError: if the file cannot be read, or changes its size meanwhile.
            UsageError: for anything else.
        """
        request = self._request("PUT")
        if isinstance(data, bytes | bytearray | memoryview):
            await self._connection.upload(request, bytes(data), None)
        elif isinstance(data, str | os.PathLike):
            size = (await aiofiles.os.stat(data)).st_size
            await self._connection.upload(request, _read_file(data, size), size)
        elif isinstance(data, AsyncIterable):
            await self._connection.upload(request, data, None)
        else:
            # The transport would refuse it too, but behind the request without a body that asks where to.
            raise UsageError(
                f"object {self.name!r}: cannot store {type(data).__name__}; pass bytes, a path or an async "
                "iterable of bytes"
            )

    async def head(self) -> ObjectInfo:
        """Return what the server knows of the object.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
            RemoteError, TransportError: as the server and the network have it.
        """
        response = await self._connection.open(self._request("HEAD"))
        await response.aclose()
        return parse_object_headers(self.name, response.headers)

    async def delete(self, *, missing_ok: bool = False) -> None:
        """Delete the object.

        Args:
            missing_ok: Whether it is no error that the object does not exist.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
            RemoteError, TransportError: as the server and the network have it.
        """
        try:
            await self._connection.read(self._request("DELETE"))
        except ObjectNotFoundError:
            if not missing_ok:
                raise

    def _request(self, method: str) -> WireRequest:
        return WireRequest(
            method=method,
            path=object_path(self.bucket.name, self.name),
            query=bucket_query(self.bucket.provider, self.bucket.namespace),
            name=self.name,
            bucket=self.bucket.name,
        )


class ObjectBody(AsyncCloseable):
    """The data of an object as it arrives: an async iterator of chunks. Made by `Object.open`."""

    def __init__(self, obj: Object, start: int, length: int | None, archpath: str | None) -> None:
        self._object = obj
        self._range = start, length, archpath
        self._body: Body | None = None
        self._state = "new"  # then "open", while a chunk is awaited "being read", and at last "closed"

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise self._refusal()
        self._state = "open"
        self._body = Body(await self._object._open(*self._range))  # noqa: SLF001 - the two make one reader
        return self

    async def aclose(self) -> None:
        """End the transfer. May be called again."""
        self._state = "closed"
        if self._body is not None:
            await self._body.aclose()

    @property
    def info(self) -> ObjectInfo:
        """What the answer tells of the object; its `size` is that of the data on its way."""
        return parse_object_headers(self._object.name, self._opened().headers)

    def __aiter__(self) -> Self:
        self._opened()
        return self

    async def __anext__(self) -> bytes:
        body = self._opened()
        if self._state != "open":
            raise self._refusal()
        self._state = "being read"
        try:
            return await body.__anext__()
        finally:
            if self._state == "being read":
                self._state = "open"

    def _refusal(self) -> UsageError:
        return UsageError(
            f"object {self._object.name!r}: this body is {self._state} already; it is read once, by one task"
        )

    def _opened(self) -> Body:
        if self._body is None:
            raise UsageError(f"object {self._object.name!r}: read it inside an 'async with'")
        return self._body


async def _read_file(path: str | os.PathLike[str], size: int) -> AsyncIterator[bytes]:
    left = size
    chunks = iterate_source(path)
    try:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    finally:
        await close_source(chunks)
    if left:
        raise OSError(f"{os.fspath(path)!r} changed while it was read: it had {size} bytes at first")
