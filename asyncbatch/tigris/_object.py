"""An object of a bucket: the calls that concern one object."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiofiles.os

from ..batch import Entry, ObjectReader, check_data, check_range, read_file
from ..errors import LimitExceededError, ObjectNotFoundError, UsageError
from ..transport import Body, retried
from ._data import open_data
from ._entry import head_object, open_file
from .wire import PROVIDER, ObjectInfo, WireRequest, object_path, parse_object_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from ..batch import EntryAnswer, ObjectData, OpenedObject
    from ..shards import Shards
    from ._bucket import Bucket
    from ._http import Connection

__all__ = ["Object", "ObjectBody"]


class Object:
    """An object in a bucket, which need not exist. Made by `Bucket.object`.

    Attributes:
        name: The object's name, its key.
        bucket: The bucket it lives in.
    """

    def __init__(self, bucket: Bucket, name: str, connection: Connection, shards: Shards) -> None:
        self.bucket = bucket
        self.name = name
        self._connection = connection
        self._shards = shards

    def __repr__(self) -> str:
        return f"<Object {PROVIDER}://{self.bucket.name}/{self.name}>"

    async def get(self, *, start: int = 0, length: int | None = None, archpath: str | None = None) -> bytes:
        """Return the object's data.

        Args:
            start: First byte wanted.
            length: Bytes wanted, fewer coming if the object ends sooner; None for all from `start`.
            archpath: A file inside the object, which then is an archive.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object, file or bucket.
            LimitExceededError: if the data is larger than `max_item_size`.
            RemoteError, TransportError: as the server and the network have it.
            FormatError: for an archive that cannot be read.
            UsageError: for a range that could not be answered.
        """
        maximum = self._connection.limits.max_item_size
        parts: list[bytes] = []
        held = 0
        async with self.open(start=start, length=length, archpath=archpath) as body:
            async for chunk in body:
                held += len(chunk)
                if held > maximum:
                    what = f"object {self.name!r}, held in memory"
                    raise LimitExceededError("max_item_size", held, maximum, what=what)
                parts.append(chunk)
        return b"".join(parts)

    def open(self, *, start: int = 0, length: int | None = None, archpath: str | None = None) -> ObjectBody:
        """Return the object's data as a stream, to be read with ``async with`` and ``async for``.

        Takes what `get` takes, and raises what it raises, in the ``async with`` and while iterating.
        """
        return ObjectBody(self.name, lambda: self._open(start, length, archpath))

    async def _open(self, start: int, length: int | None, archpath: str | None) -> OpenedObject[ObjectInfo]:
        """Ask for the data; return it, and what finds out what is told of it."""
        check_range(self.name, start, length)
        bucket = self.bucket
        if archpath is None:
            response = await open_data(self._connection, bucket.name, self.name, start=start, length=length)
            return Body(response), lambda: parse_object_headers(self.name, response.headers)
        entry = Entry(self.name, bucket.name, PROVIDER, None, archpath, start, length)

        async def attempt() -> EntryAnswer:
            return await open_file(self._connection, self._shards, entry, whole=False)

        answer = await retried(attempt, self._connection.retry, what=f"{archpath!r} in {self!r}")
        info = ObjectInfo(name=self.name, size=answer.size or 0)
        return answer.chunks, lambda: info

    async def put(self, data: ObjectData, *, size: int | None = None) -> None:
        """Store the object, in place of what was there.

        Args:
            data: Bytes, a path, or an async iterable of bytes, which is read once.
            size: Bytes of the iterable. S3 asks for it ahead: without it, the data is held in memory first.

        Raises:
            BucketNotFoundError: if there is no such bucket.
            RemoteError, TransportError: as the server and the network have it; the object is as it was.
            LimitExceededError: if an iterable without a size is larger than `max_item_size`.
            OSError: if the file cannot be read, or changes its size meanwhile.
            UsageError: for anything else, or data of another size.
        """
        check_data(self.name, data)
        if isinstance(data, bytes | bytearray | memoryview):
            await self._connection.read(self._request("PUT", bytes(data)))
        elif isinstance(data, str | os.PathLike):
            path, found = data, (await aiofiles.os.stat(data)).st_size
            await self._upload(lambda: read_file(path, found), found, once=False)
        elif size is None:
            await self._connection.read(self._request("PUT", await self._collect(data)))
        else:
            stream, expected = data, size
            await self._upload(lambda: _sized(stream, expected, self.name), size, once=True)

    async def _upload(self, make: Callable[[], AsyncIterable[bytes]], size: int, *, once: bool) -> None:
        await self._connection.upload(self._request("PUT"), make, size, once=once)

    async def _collect(self, data: AsyncIterable[bytes]) -> bytes:
        maximum = self._connection.limits.max_item_size
        collected = bytearray()
        async for chunk in data:
            collected += chunk
            if len(collected) > maximum:
                what = f"object {self.name!r}, whose size was not passed"
                raise LimitExceededError("max_item_size", len(collected), maximum, what=what)
        return bytes(collected)

    async def head(self) -> ObjectInfo:
        """Return what the server knows of the object.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
            RemoteError, TransportError: as the server and the network have it.
        """
        return await head_object(self._connection, self.bucket.name, self.name)

    async def delete(self, *, missing_ok: bool = False) -> None:
        """Delete the object.

        Args:
            missing_ok: Whether it is no error that the object does not exist. If it is one, the server is
                asked first: to S3, what is gone was deleted.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
            RemoteError, TransportError: as the server and the network have it.
        """
        try:
            if not missing_ok:
                await self.head()
            await self._connection.read(self._request("DELETE"))
        except ObjectNotFoundError:
            if not missing_ok:
                raise

    def _request(self, method: str, body: bytes = b"") -> WireRequest:
        path = object_path(self.bucket.name, self.name)
        return WireRequest(method=method, path=path, body=body, name=self.name, bucket=self.bucket.name)


class ObjectBody(ObjectReader[ObjectInfo]):
    """The data of an object as it arrives: an async iterator of chunks. Made by `Object.open`."""

    @property
    def info(self) -> ObjectInfo:
        """What the answer tells of the object; its `size` is that of the data on its way.

        Raises:
            FormatError: if it does not tell the size.
        """
        return self._told()


async def _sized(data: AsyncIterable[bytes], size: int, name: str) -> AsyncIterator[bytes]:
    left = size
    async for chunk in data:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise UsageError(f"object {name!r}: its data has {'more' if left < 0 else 'less'} than {size} bytes")
