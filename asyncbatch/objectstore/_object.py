"""An object of a bucket: the calls that concern one object."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..batch import Entry, EntryAnswer, ObjectReader, check_data, check_range
from ..errors import BucketNotFoundError, LimitExceededError, ObjectNotFoundError
from ..transport import retried
from ._buckets import has_bucket
from ._calls import call
from ._data import ask, open_data, translated
from ._errors import cause_of
from ._upload import UploadError, upload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from ..batch import ObjectData, OpenedObject
    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._bucket import Bucket
    from ._shard import ShardReader
    from ._stores import Stores

__all__ = ["Object", "ObjectBody", "ObjectInfo", "Settings"]

_T = TypeVar("_T")


class Settings(NamedTuple):
    """What a client's buckets and objects have in common.

    Attributes:
        stores: Where they are.
        limits: Bounds on what is accepted.
        retry: When a request that failed is sent again.
        shards: Opens files inside them.
    """

    stores: Stores
    limits: Limits
    retry: RetryPolicy
    shards: ShardReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a listing or a HEAD tells of an object.

    Attributes:
        name: The object.
        size: Bytes.
        etag: What changes when the object does, or None if not told.
        version: The object's version, or None if not told.
        last_modified: When it was stored; the epoch if not told.
    """

    name: str
    size: int
    etag: str | None = None
    version: str | None = None
    last_modified: datetime | None = None


def info_of(name: str, meta: Mapping[str, Any]) -> ObjectInfo:
    """Return what obstore tells of an object."""
    return ObjectInfo(
        name=name,
        size=meta["size"],
        etag=meta["e_tag"],
        version=meta["version"],
        last_modified=meta["last_modified"],
    )


class Object:
    """An object in a bucket, which need not exist. Made by `Bucket.object`.

    Attributes:
        name: The object's name.
        bucket: The bucket it lives in.
    """

    def __init__(self, bucket: Bucket, name: str, settings: Settings) -> None:
        self.bucket = bucket
        self.name = name
        self._settings = settings

    def __repr__(self) -> str:
        return f"<Object {self.bucket.provider}://{self.bucket.name}/{self.name}>"

    async def get(self, *, start: int = 0, length: int | None = None, archpath: str | None = None) -> bytes:
        """Return the object's data.

        Args:
            start: First byte wanted.
            length: Bytes wanted, fewer coming if the object ends sooner; None for all from `start`.
            archpath: A file inside the object, which then is an archive, and of which the range is.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object, file or bucket.
            LimitExceededError: if the data is larger than `max_item_size`.
            RemoteError, TransportError: as the store and the network have it.
            UsageError: for a name or a range that could not be asked for.
        """
        maximum = self._settings.limits.max_item_size

        async def attempt() -> bytes:
            answer, _ = await self._open_once(start, length, archpath)
            try:
                size = answer.size or 0
                if size > maximum:
                    what = f"object {self.name!r}, held in memory"
                    raise LimitExceededError("max_item_size", size, maximum, what=what)
                return b"".join([chunk async for chunk in answer.chunks])
            finally:
                await answer.aclose()

        return await self._retried(attempt)

    def open(self, *, start: int = 0, length: int | None = None, archpath: str | None = None) -> ObjectBody:
        """Return the object's data as a stream, to be read with ``async with`` and ``async for``.

        Takes what `get` takes, and raises what it raises, in the ``async with`` and while iterating.
        """

        async def ask() -> OpenedObject[ObjectInfo]:
            answer, info = await self._retried(lambda: self._open_once(start, length, archpath))
            return answer.chunks, lambda: info

        return ObjectBody(self.name, ask)

    async def _open_once(
        self, start: int, length: int | None, archpath: str | None
    ) -> tuple[EntryAnswer, ObjectInfo]:
        check_range(self.name, start, length)
        settings, bucket = self._settings, self.bucket.name
        if archpath is not None:
            entry = Entry(self.name, bucket, self.bucket.provider, None, archpath, start, length)
            answer = await settings.shards.open_file(entry, clip=True)
            return answer, ObjectInfo(name=self.name, size=answer.size or 0)
        data = await open_data(settings.stores, bucket, self.name, start, length, clip=True)
        return EntryAnswer(data, data.size), info_of(self.name, {**data.meta, "size": data.size})

    async def put(self, data: ObjectData) -> None:
        """Store the object, in place of what was there, which it is until all has come.

        Args:
            data: Bytes, a path, or an async iterable of bytes, which is read once.

        Raises:
            BucketNotFoundError: if there is no such bucket.
            RemoteError, TransportError: as the store and the network have it; the object is as it was.
            OSError: if the file cannot be read.
            UsageError: for anything else.
        """
        check_data(self.name, data)
        settings, bucket = self._settings, self.bucket
        store, path = settings.stores.locate(bucket.name, self.name)
        # obstore would make the folder.
        if settings.stores.has_folders and not await has_bucket(settings.stores, bucket.name):
            raise BucketNotFoundError(
                status=404, message="no such bucket", url=repr(bucket)[8:-1], bucket=bucket.name
            )
        whole = settings.limits.max_item_size if settings.stores.provider == "http" else None

        async def attempt() -> None:
            try:
                await upload(store, path, data, whole=whole)
            except UploadError as error:
                meant = await translated(error.error, settings.stores, bucket.name, self.name)
                raise meant from cause_of(error.error)

        await (attempt() if isinstance(data, AsyncIterable) else self._retried(attempt))

    async def head(self) -> ObjectInfo:
        """Return what the store knows of the object.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
            RemoteError, TransportError: as the store and the network have it.
        """
        store: Any
        store, path = self._settings.stores.locate(self.bucket.name, self.name)
        meta = await self._retried(lambda: self._ask(call("head_async", store, path)))
        return info_of(self.name, meta)

    async def delete(self, *, missing_ok: bool = False) -> None:
        """Delete the object.

        Args:
            missing_ok: Whether it is no error that the object does not exist.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
            RemoteError, TransportError: as the store and the network have it.
        """
        if not missing_ok:
            await self.head()  # most stores do not tell
        store: Any
        store, path = self._settings.stores.locate(self.bucket.name, self.name)
        with suppress(ObjectNotFoundError):  # or somebody else was faster
            await self._retried(lambda: self._ask(call("delete_async", store, path)))

    async def _retried(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        return await retried(attempt, self._settings.retry, what=self)

    async def _ask(self, called: Awaitable[_T]) -> _T:
        return await ask(called, self._settings.stores, self.bucket.name, self.name)


class ObjectBody(ObjectReader[ObjectInfo]):
    """The data of an object as it arrives: an async iterator of chunks. Made by `Object.open`."""

    @property
    def info(self) -> ObjectInfo:
        """What the answer tells of the object; its `size` is that of the data on its way."""
        return self._told()
