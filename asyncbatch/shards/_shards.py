"""Files out of shards, for clients of object stores: indexes that are learnt once, and reads of ranges."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from copy import copy
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self, TypeVar

from .._closing import AsyncCloseable
from ..archive import open_archive
from ..archive._sources import close_source
from ..codecs._formats import FORMATS, format_of_name
from ..codecs._zip_header import STORED
from ..errors import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from ..limits import DEFAULT_LIMITS
from ._index import MAX_INDEXED, NOTHING, Index, IndexCache, Window, key_of
from ._member import check_place, find_data, open_data
from ._tar import learn_tar
from ._zip import learn_zip

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Hashable

    from ..archive import ArchiveMember
    from ..codecs._events import Buffer
    from ..codecs._input import ByteInput
    from ..limits import Limits
    from ._index import Packed, Place, Steps

__all__ = ["FileChunks", "Shard", "ShardFile", "ShardStatistics", "Shards"]

# Bytes of a file that is read as a whole, with its header.
_AT_ONCE: Final = 1 << 20
# Bytes that are decompressed before the event loop has its turn.
_TURN: Final = 262_144

_KNOWN: Final = ", ".join(ending for row in FORMATS if row.container != "bare" for ending in row.extensions)

_T = TypeVar("_T")


class Shard(Protocol):
    """One version of an object that is an archive.

    Reads raise if the object is not that version any more: then all is to be tried again.

    Attributes:
        name: Of the object; its ending tells the format.
        key: What tells the object from others, such as bucket and name.
        size: Bytes.
        version: What tells this content from others, such as an etag.
    """

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> Hashable: ...
    @property
    def size(self) -> int: ...
    @property
    def version(self) -> str: ...

    async def read(self, offset: int, length: int, /) -> bytes:
        """Return `length` bytes from `offset`, all of which are inside the object."""
        ...

    def stream(self, offset: int, length: int | None, /) -> AsyncIterator[Buffer]:
        """Return an iterator over `length` bytes from `offset`, or all; closed by `aclose` if it has that."""
        ...


class ShardStatistics(NamedTuple):
    """What `Shards` hold.

    Attributes:
        indexes: Kept.
        entries: Files in them.
        learning: Indexes being learnt.
    """

    indexes: int
    entries: int
    learning: int


class ShardFile(NamedTuple):
    """A file of a shard.

    Attributes:
        size: Its bytes, all of them.
        length: Bytes of `chunks`: of the range that was asked for, as far as the file goes.
        chunks: The range. To be closed, unless it was read to its end.
    """

    size: int
    length: int
    chunks: FileChunks


class FileChunks(AsyncCloseable):
    """The data of a file of a shard, in chunks. It closes itself at its end and on an error.

    Iterating raises `FormatError` if a file of a zip that is read to its end is not what the central
    directory says, or the shard is otherwise damaged, and what the store raises.
    """

    def __init__(
        self,
        name: str,
        length: int,
        pieces: AsyncGenerator[bytes],
        resource: AsyncCloseable | None = None,
    ) -> None:
        self._name = name
        self._left = length
        self._pieces = pieces
        self._resource = resource
        self._reading = False
        self._state = "open"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._reading:
            raise UsageError("this file is being read by another task already; it has one consumer")
        if self._state == "ended":
            raise StopAsyncIteration
        if self._state == "closed":
            raise UsageError("this file was closed; open it again to read more")
        self._reading = True
        try:
            chunk = await anext(self._pieces, b"")
            self._left -= len(chunk)
            if self._left < 0 or (self._left and not chunk):
                raise TruncatedArchiveError(
                    "the store did not bring what was asked for", codec="shard", offset=0
                )
        except BaseException as error:
            self._reading = False
            await self.aclose()
            if isinstance(error, (FormatError, LimitExceededError)):
                raise _named(error, self._name) from error
            raise
        self._reading = False
        if not chunk:
            self._state = "ended"
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close what the data comes from. May be called again."""
        await close_source(self._pieces)
        if self._resource is not None:
            await self._resource.aclose()
        self._state = self._state.replace("open", "closed")


class _Learning:
    """An index that is being learnt, for as long as somebody waits for it."""

    def __init__(self, task: asyncio.Task[Index]) -> None:
        self.task = task
        self.waiting = 0


class Shards:
    """Opens files in shards, and keeps the indexes of the latest ones.

    Of a tar and of a zip an index is learnt once for each version: any file of it is then one read away. A
    compressed tar can only be read from its beginning until the file is found.

    Args:
        limits: Bounds on what is accepted.
        max_indexed: Files in all indexes together, and thus in any one.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, max_indexed: int = MAX_INDEXED) -> None:
        self._limits = limits
        self._max_indexed = max_indexed
        self._cache = IndexCache(max_indexed)
        self._learning: dict[tuple[Hashable, str], _Learning] = {}

    def statistics(self) -> ShardStatistics:
        """Return what is held."""
        return ShardStatistics(len(self._cache), self._cache.entries, len(self._learning))

    async def open(
        self, shard: Shard, archpath: str, start: int = 0, length: int | None = None
    ) -> ShardFile | None:
        """Open the file at `archpath`, or a range of it; a leading slash makes no difference.

        Args:
            shard: The archive.
            archpath: The file's name in it.
            start: Where the range begins.
            length: Bytes of the range, or None for all the rest. There may be fewer, or none.

        Returns:
            The file, or None if there is none of that name.

        Raises:
            FormatError: if the shard cannot be read as the archive that its name tells; if the file cannot.
            LimitExceededError: for a limit of `limits`.
        """
        try:
            return await self._open(shard, archpath, start, length)
        except (FormatError, LimitExceededError) as error:
            raise _named(error, shard.name) from error

    async def _open(self, shard: Shard, archpath: str, start: int, length: int | None) -> ShardFile | None:
        archive_format = format_of_name(shard.name)
        if archive_format is None or archive_format.container == "bare":
            raise UnsupportedFormatError(f"its name ends in none of {_KNOWN}", codec="shard", offset=0)
        if archive_format.compression is not None:
            return await self._search(shard, archpath, archive_format.name, start, length)
        place = (await self._index(shard, archive_format.container)).get(archpath)
        if place is None:
            return None
        check_place(place, archpath, self._limits)
        length = _range(place.size, start, length)
        if place.packed is None or (place.size and not length):
            pieces = _read(shard, place.offset + start, length)
        else:
            window = Window(start, length)
            pieces = await self._open_packed(shard, archpath, place, place.packed, window)
        return ShardFile(place.size, length, FileChunks(shard.name, length, pieces))

    # -- behind an index ------------------------------------------------------------------------------------

    async def _open_packed(
        self, shard: Shard, archpath: str, place: Place, packed: Packed, window: Window
    ) -> AsyncGenerator[bytes]:
        along = packed.size if packed.size <= _AT_ONCE else 0
        at, held = await _run(find_data(place, packed, archpath, shard.size, along), shard)
        if packed.method == STORED and not along and window.length < place.size:
            return _read(shard, at + window.start, window.length)
        packing = open_data(place, packed, archpath, at, self._limits)
        packing[0].append(held)
        return _unpack(shard, packing, at + len(held), packed.size - len(held), window)

    async def _index(self, shard: Shard, container: str) -> Index:
        """Return the index of a shard; those who need the same one wait for it together."""
        version = shard.key, shard.version
        if (index := self._cache.get(version)) is not None:
            return index
        learning = self._learning.get(version)
        if learning is None:
            task = asyncio.create_task(self._learn(shard, container, version))
            task.add_done_callback(_take_note)
            self._learning[version] = learning = _Learning(task)
        learning.waiting += 1
        try:
            return await asyncio.shield(learning.task)
        except AsyncBatchError as error:
            raise _own(error) from error.__cause__
        finally:
            learning.waiting -= 1
            if self._learning.get(version) is learning and not learning.waiting:
                del self._learning[version]
                learning.task.cancel()  # which does nothing if it is done

    async def _learn(self, shard: Shard, container: str, version: tuple[Hashable, str]) -> Index:
        index = Index(container, self._max_indexed)
        learn = learn_zip if container == "zip" else learn_tar
        await _run(learn(shard.size, index, self._limits), shard)
        self._cache.put(version, index)
        return index

    # -- where there is none --------------------------------------------------------------------------------

    async def _search(
        self, shard: Shard, archpath: str, format_name: str, start: int, length: int | None
    ) -> ShardFile | None:
        """Read a compressed tar until the file is found."""
        key = key_of(archpath)
        archive = open_archive(shard.stream(0, None), format=format_name, limits=self._limits, strict=False)
        async for member in archive:
            if member.is_file and key_of(member.name) == key:
                size = member.size or 0
                length = _range(size, start, length)
                pieces = _cut(member, Window(start, length))
                return ShardFile(size, length, FileChunks(shard.name, length, pieces, archive))
        return None


def _range(size: int, start: int, length: int | None) -> int:
    """Return how many bytes of a file a range has."""
    left = max(size - start, 0)
    return left if length is None else min(length, left)


async def _run(steps: Steps[_T], shard: Shard) -> _T:
    """Run steps to their end, and return what they return."""
    try:
        wanted = next(steps)
        while True:
            if wanted == NOTHING:
                await asyncio.sleep(0)
                wanted = steps.send(b"")
            else:
                wanted = steps.send(await shard.read(*wanted))
    except StopIteration as done:
        result: _T = done.value
        return result


async def _stream(shard: Shard, offset: int, length: int) -> AsyncGenerator[bytes]:
    """Yield a range of a shard, of which nothing is asked where it is empty."""
    if length:
        chunks = shard.stream(offset, length)
        try:
            async for chunk in chunks:
                if chunk:
                    yield bytes(chunk)
        finally:
            await close_source(chunks)


async def _read(shard: Shard, offset: int, length: int) -> AsyncGenerator[bytes]:
    """Yield a range of a shard: in one piece if it is small."""
    if 0 < length <= _AT_ONCE:
        yield await shard.read(offset, length)
        return
    async with aclosing(_stream(shard, offset, length)) as chunks:
        async for chunk in chunks:
            yield chunk


async def _unpack(
    shard: Shard, packing: tuple[ByteInput, Generator[Buffer]], offset: int, left: int, window: Window
) -> AsyncGenerator[bytes]:
    """Yield a range of a file of a zip.

    Args:
        shard: The zip.
        packing: What decompresses the file.
        offset: Where its data goes on that was not given to it.
        left: Bytes of that.
        window: The range.
    """
    source, pieces = packing
    worked = 0
    async with aclosing(_stream(shard, offset, left)) as chunks:
        for piece in pieces:
            if piece:
                if part := window.cut(piece):
                    yield part
                if window.is_passed:
                    return
                worked += len(piece)
                if worked >= _TURN:
                    await asyncio.sleep(0)
                    worked = 0
            elif chunk := await anext(chunks, b""):
                source.append(chunk)
            else:
                source.ended = True


async def _cut(member: ArchiveMember, window: Window) -> AsyncGenerator[bytes]:
    """Yield a range of a member of an archive."""
    async for chunk in member:
        if part := window.cut(chunk):
            yield part
        if window.is_passed:
            return


# -- errors -----------------------------------------------------------------------------------------------


def _take_note(task: asyncio.Task[Index]) -> None:
    """Look at what became of a learning, lest the event loop complains that nobody did."""
    if not task.cancelled():
        task.exception()


def _own(error: AsyncBatchError) -> AsyncBatchError:
    """Return another one: what several tasks raise must not be one object."""
    copied = copy(error)
    copied.__cause__ = error.__cause__
    return copied


def _named(error: FormatError | LimitExceededError, name: str) -> AsyncBatchError:
    """Return the error with the shard's name in it."""
    shown = f"shard {name!r}"
    if isinstance(error, LimitExceededError):
        return LimitExceededError(error.limit, error.value, error.maximum, what=shown)
    return type(error)(
        f"{shown}: {error.reason}", codec=error.codec, offset=error.offset, member=error.member
    )
