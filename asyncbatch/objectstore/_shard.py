"""Files inside shards: which version of a shard there is, and reads of that one alone.

To learn the version costs a request, and so it is remembered. Whatever is read then is asked for on the
condition that it is of that version; and that a file is not there is believed of the present version only.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from weakref import WeakValueDictionary

from ..archive._sources import close_source
from ..batch import EntryAnswer
from ..errors import FormatError, LimitExceededError, ObjectNotFoundError, RemoteError, TransportError
from ..shards import Shards
from ._calls import call
from ._data import ask, open_data
from ._errors import no_such_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..batch import Entry
    from ..limits import Limits
    from ..shards import ShardFile
    from ._stores import Stores

__all__ = ["ShardReader"]

_MAX_VERSIONS: Final = 4096


class ObjectChangedError(TransportError):
    """An object is not that version any more which was to be read."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url}: the object changed while it was read", retryable=True)


class ShardReader:
    """Opens files in the shards of a store.

    Args:
        stores: Where the shards are.
        limits: Bounds on what is accepted.
    """

    def __init__(self, stores: Stores, limits: Limits) -> None:
        self._stores = stores
        self._shards = Shards(limits=limits)
        self._versions: OrderedDict[tuple[str, str], _Shard] = OrderedDict()
        # So that those who ask for files of one shard at once ask for its version once. A lock is there for
        # as long as somebody has it, and so belongs to the event loop of those alone.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def open_file(self, entry: Entry, *, clip: bool = False) -> EntryAnswer:
        """Open the file that an entry names, or its range.

        Args:
            entry: With an archpath.
            clip: Whether the file may end before the range does.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object, file or bucket.
            RemoteError: with status 416 if the range is not in the file, with 422 if the shard cannot be
                read; or as the store has it.
            TransportError: if there is no answer.
        """
        key = entry.bucket, entry.name
        known = self._versions.get(key)
        if known is not None:
            try:
                answer = await self._open(known, entry, clip=clip)
            except ObjectChangedError:
                answer = None
            if answer is not None:
                self._versions.move_to_end(key)
                return answer
        shard = await self._look(key, known)
        answer = await self._open(shard, entry, clip=clip)
        if answer is None:
            raise ObjectNotFoundError(
                status=404,
                message=f"there is no file {entry.archpath!r} in it",
                url=shard.url,
                name=entry.name,
                bucket=entry.bucket,
            )
        return answer

    async def _look(self, key: tuple[str, str], known: _Shard | None) -> _Shard:
        """Return the present version of a shard, if it is not one that others have learnt of meanwhile."""
        lock = self._locks.get(key)
        if lock is None:
            self._locks[key] = lock = asyncio.Lock()
        async with lock:
            shard = self._versions.get(key)
            if shard is None or shard is known:
                shard = await _learn_version(self._stores, *key)
                self._versions[key] = shard
                if len(self._versions) > _MAX_VERSIONS:
                    self._versions.popitem(last=False)
            return shard

    async def _open(self, shard: _Shard, entry: Entry, *, clip: bool) -> EntryAnswer | None:
        """Open a file of a version of a shard; None if it has none of that name."""
        assert entry.archpath is not None  # noqa: S101 - for the type checker: it is why this was called
        try:
            file = await self._shards.open(shard, entry.archpath, entry.start, entry.length)
            if file is None:
                return None
            chunks = _FileData(shard, file)
            try:
                await chunks.begin()
            except BaseException:  # cancellation too: nobody else knows of it
                await chunks.aclose()
                raise
        except (FormatError, LimitExceededError) as error:
            raise _unreadable(error, shard.url) from error
        if entry.start + (0 if clip else entry.length or 0) > file.size:
            await chunks.aclose()
            raise no_such_range(shard.url, entry.start, entry.length, file.size)
        return EntryAnswer(chunks, file.length)


class _FileData:
    """The data of a file in a shard. Its first chunk is read ahead: if the shard changed, that tells.

    Raises (while iterating):
        RemoteError: with status 422 if the shard is damaged; or as the store has it.
        TransportError: as the network has it.
    """

    def __init__(self, shard: _Shard, file: ShardFile) -> None:
        self._url = shard.url
        self._chunks = file.chunks
        self._first = b""

    async def begin(self) -> None:
        """Read the first chunk."""
        self._first = await anext(self._chunks, b"")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            return await anext(self._chunks)
        except (FormatError, LimitExceededError) as error:
            raise _unreadable(error, self._url) from error

    async def aclose(self) -> None:
        """Close the file."""
        self._first = b""
        await close_source(self._chunks)


class _Shard(NamedTuple):
    """One version of a shard, as `asyncbatch.shards` reads it.

    Attributes:
        stores: Where it is.
        bucket: The bucket.
        name: Of the object.
        size: Bytes.
        version: What tells this content from others.
        etag: Its entity tag, or None if the store has none that a read can be asked for by.
        url: Of the object, for errors.
    """

    stores: Stores
    bucket: str
    name: str
    size: int
    version: str
    etag: str | None
    url: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells the object from others."""
        return self.bucket, self.name

    async def read(self, offset: int, length: int, /) -> bytes:
        """Return a range of this version.

        Raises:
            ObjectChangedError: if there is another one, or none.
            RemoteError, TransportError: as the store and the network have it.
        """
        data = self.stream(offset, length)
        return b"".join([chunk async for chunk in data])

    def stream(self, offset: int, length: int | None, /) -> AsyncIterator[bytes]:
        """Return a range of this version, or all from `offset`. Raises as `read` does."""
        return _ShardData(self, offset, length)


class _ShardData:
    """A range of one version of a shard, asked for when it is read."""

    def __init__(self, shard: _Shard, offset: int, length: int | None) -> None:
        self._shard = shard
        self._range = offset, length
        self._data: Any = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        shard = self._shard
        if self._data is None:
            try:
                self._data = await open_data(
                    shard.stores, shard.bucket, shard.name, *self._range, version=shard.etag
                )
            except RemoteError as error:
                if error.status not in {404, 412, 416}:
                    raise
                raise ObjectChangedError(shard.url) from error
            if version_of(self._data.meta) != shard.version:  # a server that knows no conditions
                await self.aclose()
                raise ObjectChangedError(shard.url)
        chunk: bytes = await anext(self._data)
        return chunk

    async def aclose(self) -> None:
        """Read no more."""
        if self._data is not None:
            await self._data.aclose()


def version_of(meta: Any) -> str:  # noqa: ANN401 - obstore's
    """Return what tells the content of an object from others that it had before."""
    return f"{meta['size']} bytes of {meta['e_tag'] or meta['last_modified']}"


async def _learn_version(stores: Stores, bucket: str, name: str) -> _Shard:
    """Ask for the version of a shard.

    Raises:
        ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
        RemoteError, TransportError: as the store and the network have it.
    """
    store: Any
    store, path = stores.locate(bucket, name)
    meta = await ask(call("head_async", store, path), stores, bucket, name)
    url = f"{stores.provider}://{bucket}/{name}"
    etag = meta["e_tag"]
    if etag and etag.startswith("W/"):  # which meets no condition (RFC 9110, section 13.1.1)
        etag = None
    return _Shard(stores, bucket, name, meta["size"], version_of(meta), etag, url)


def _unreadable(error: FormatError | LimitExceededError, url: str) -> RemoteError:
    """Return the error of an entry whose shard cannot be read: other entries can."""
    return RemoteError(status=422, code=type(error).__name__, message=str(error), url=url)
