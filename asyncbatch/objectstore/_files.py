"""Files, read by calls in a thread: through obstore, small ones take four times as long.

What is small comes at once. Of more than that only the size does at first, so that whoever reads it can see
to room for it; then it comes in pieces, each of which has to be of the version that was opened.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NamedTuple, Self

from ..errors import RemoteError, TransportError
from ._errors import no_such_range

__all__ = ["FileData", "open_file"]

# Bytes that are read of a file whose size nobody knew: many may be opened at once.
_AT_ONCE: Final = 256 << 10
# As many as a disk far away can well have under way. Those that are not needed are never started.
_THREADS: Final = 32
# A pipe is not to be waited for.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class _Part(NamedTuple):
    """What one call found.

    Attributes:
        meta: What is known of the file, as obstore tells it, with the same entity tag.
        start: First byte of the range.
        end: The one behind its last.
        data: The range; None if it is more than was to be read.
    """

    meta: dict[str, Any]
    start: int
    end: int
    data: bytes | None


class FileData:
    """A file, or a range of it, in the form of obstore's result.

    Attributes:
        meta: What is known of the file.
        range: First byte, and the one behind the last.
    """

    def __init__(self, path: str, url: str, part: _Part) -> None:
        self.meta = part.meta
        self.range = part.start, part.end
        self._path = path
        self._url = url
        self._data = part.data

    async def bytes_async(self) -> bytes:
        """Return the data. Raises as `stream` does."""
        if self._data is not None:
            return self._data
        start, end = self.range
        return await self.read(start, end - start)

    def stream(self, min_chunk_size: int) -> _Pieces:
        """Return an async iterator over the data, in pieces of so many bytes.

        Raises (while iterating):
            OSError: if the file is not there any more, or cannot be read.
            TransportError: if it is another version.
        """
        return _Pieces(self, min_chunk_size)

    async def read(self, start: int, length: int) -> bytes:
        """Return bytes of the version that was opened. Raises as `stream` does."""
        try:
            part = await _in_thread(self._path, self._url, start, length, self.meta["e_tag"], length)
        except RemoteError as error:
            raise _changed(self._url) from error
        assert part.data is not None  # noqa: S101 - for the type checker: it is no more than was to be read
        return part.data


class _Pieces:
    def __init__(self, data: FileData, size: int) -> None:
        self._data = data
        self._size = size
        self._at, self._end = data.range

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._data.read(self._at, min(self._size, self._end - self._at))
        self._at += len(piece)
        return piece


async def open_file(path: str, url: str, start: int, length: int | None, *, version: str | None) -> FileData:
    """Open a file, or a range of it.

    Raises:
        OSError: if there is no such file, or it cannot be read.
        RemoteError: with status 416 if the range begins behind its end, with 412 if it is another version.
        TransportError: if it changed meanwhile.
    """
    part = await _in_thread(path, url, start, length, version, _AT_ONCE)
    return FileData(path, url, part)


async def _in_thread(
    path: str, url: str, start: int, length: int | None, version: str | None, most: int
) -> _Part:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads(), _read, path, url, start, length, version, most)


def _read(path: str, url: str, start: int, length: int | None, version: str | None, most: int) -> _Part:
    file = os.open(path, _FLAGS)
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no file", path)
        size = facts.st_size
        tag = f'"{facts.st_ino:x}-{facts.st_mtime_ns // 1000:x}-{size:x}"'
        if version not in {None, tag}:
            raise RemoteError(status=412, message="it is another version", url=url)
        if start >= size and (start or length is not None):
            raise no_such_range(url, start, length, size)
        end = size if length is None else min(start + length, size)
        data = None
        if end - start <= most:
            data = os.pread(file, end - start, start)
            # Whoever writes into it meanwhile is not to have one half of it read before and one behind that.
            after = os.fstat(file)
            if (after.st_mtime_ns, after.st_size) != (facts.st_mtime_ns, size):
                raise _changed(url)
    finally:
        os.close(file)
    modified = datetime.fromtimestamp(facts.st_mtime, UTC)
    meta = {"path": path, "size": size, "e_tag": tag, "version": None, "last_modified": modified}
    return _Part(meta, start, end, data)


def _changed(url: str) -> TransportError:
    return TransportError(f"{url}: the object changed while it was read", retryable=True)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="asyncbatch-read")


if hasattr(os, "register_at_fork"):  # pragma: no branch - on Windows, where nothing forks
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a child has none of the threads
