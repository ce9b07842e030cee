"""An object of a bucket: the calls that concern one object."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiofiles.os

from ..batch import Entry, ObjectReader, check_data, check_range, read_file
from ..errors import ObjectNotFoundError, UsageError
from ..transport import Body, read_body
from ._data import open_data
from .wire import ObjectInfo, WireRequest, bucket_query, object_path, parse_object_headers

if TYPE_CHECKING:
    import httpx

    from ..batch import ObjectData, OpenedObject
    from ._bucket import Bucket
    from ._http import Connection

__all__ = ["Object", "ObjectBody"]


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

        async def ask() -> OpenedObject[ObjectInfo]:
            body = Body(await self._open(start, length, archpath))
            return body, lambda: parse_object_headers(self.name, body.headers)

        return ObjectBody(self.name, ask)

    async def _open(self, start: int, length: int | None, archpath: str | None) -> httpx.Response:
        check_range(self.name, start, length)
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
        # The transport would refuse it too, but behind the request without a body that asks where to.
        check_data(self.name, data)
        request = self._request("PUT")
        if isinstance(data, bytes | bytearray | memoryview):
            await self._connection.upload(request, bytes(data), None)
        elif isinstance(data, str | os.PathLike):
            size = (await aiofiles.os.stat(data)).st_size
            await self._connection.upload(request, read_file(data, size), size)
        else:
            await self._connection.upload(request, data, None)

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


class ObjectBody(ObjectReader[ObjectInfo]):
    """The data of an object as it arrives: an async iterator of chunks. Made by `Object.open`."""

    @property
    def info(self) -> ObjectInfo:
        """What the answer tells of the object; its `size` is that of the data on its way.

        Raises:
            FormatError: if it does not tell the size.
        """
        return self._told()
