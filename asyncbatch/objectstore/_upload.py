"""Objects on their way into a store: whole where they are small, in parts where they are large."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from ..archive._sources import close_source, iterate_source
from ..errors import LimitExceededError
from ._calls import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..batch import ObjectData

__all__ = ["UploadError", "upload"]

# Bytes of a part, and how many are sent at once. S3 takes 10,000 parts.
_PART: Final = 8 << 20
_PARTS: Final = 4
_LARGEST: Final = 10_000


class UploadError(Exception):
    """Says that an error is obstore's, and not one of a file or an iterable that was to be stored.

    Attributes:
        error: What obstore raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def upload(store: Any, path: str, data: ObjectData, *, whole: int | None = None) -> None:  # noqa: ANN401
    """Store an object. It is seen whole or not at all.

    Args:
        store: One of obstore's.
        path: In it.
        data: Bytes, a path, or an async iterable of bytes, which is read once, by this task.
        whole: For stores that take no parts: how many bytes are held in memory at most.

    Raises:
        OSError: if a file cannot be read.
        LimitExceededError: for more than `whole` bytes.
        UploadError: for what obstore raises.
        Exception: what the iterable does.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        await _put(store, path, data, parts=whole is None)
        return
    chunks = iterate_source(data)
    try:
        first, ended = await _gather(chunks, _PART if whole is None else whole + 1)
        if whole is not None and len(first) > whole:
            what = f"object {path!r}, held in memory since HTTP takes no parts"
            raise LimitExceededError("max_item_size", len(first), whole, what=what)
        if ended:
            await _put(store, path, first, parts=whole is None)
        else:
            await _put_parts(store, path, first, chunks)
    finally:
        await close_source(chunks)


async def _put(store: Any, path: str, data: Any, *, parts: bool) -> None:  # noqa: ANN401
    size = max(_PART, len(data) // _LARGEST + 1)
    try:
        await call(
            "put_async",
            store,
            path,
            data,
            use_multipart=None if parts else False,
            chunk_size=size,
            max_concurrency=_PARTS,
        )
    except Exception as error:
        raise UploadError(error) from error


async def _put_parts(store: Any, path: str, first: bytes, chunks: AsyncIterator[bytes]) -> None:  # noqa: ANN401
    """Store what is read meanwhile.

    obstore could read the iterable itself, but in tasks of its own, and would leave the last one waiting if
    it is cancelled. So the iterable is read here, and obstore reads from `_Parts`.
    """
    parts = _Parts()
    put = asyncio.ensure_future(
        call("put_async", store, path, parts, use_multipart=True, chunk_size=_PART, max_concurrency=_PARTS)
    )
    put.add_done_callback(parts.stop)
    try:
        part, ended = first, False
        while part and await parts.send(part):
            part, ended = (b"", True) if ended else await _gather(chunks, _PART)
        parts.end()
        try:
            await put
        except Exception as error:
            raise UploadError(error) from error
    except BaseException as error:
        parts.fail()
        try:
            if isinstance(error, Exception):
                await asyncio.wait([put])  # obstore takes back what it has sent
        finally:
            put.cancel()
            await parts.left()
        raise


async def _gather(chunks: AsyncIterator[bytes], size: int) -> tuple[bytes, bool]:
    """Return at least so many bytes, or all there are, and whether that is so."""
    parts: list[bytes] = []
    held = 0
    while held < size:
        chunk = await anext(chunks, None)
        if chunk is None:
            return b"".join(parts), True
        parts.append(bytes(chunk))
        held += len(chunk)
    return b"".join(parts), False


class _AbandonedError(Exception):
    """Tells obstore to take back what it has sent."""


class _Parts:
    """Hands parts from the task that has them to obstore, one at a time."""

    def __init__(self) -> None:
        self._part: bytes | None = None
        self._ended = False
        self._failed = False
        self._stopped = False
        self._readers = 0
        self._changed = asyncio.Event()

    async def send(self, part: bytes) -> bool:
        """Hand over a part when the one before was taken. Return False if none is wanted any more."""
        while self._part is not None and not self._stopped:
            await self._wait()
        self._part = part
        self._changed.set()
        return not self._stopped

    def end(self) -> None:
        """Tell that there are no more."""
        self._ended = True
        self._changed.set()

    def fail(self) -> None:
        """Tell that it is given up."""
        self._failed = True
        self._changed.set()

    def stop(self, _put: object) -> None:
        """Hear that no more will be taken."""
        self._stopped = True
        self._changed.set()

    async def left(self) -> None:
        """Wait until nobody reads, which after `fail` is so at once."""
        while self._readers:
            await self._wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._readers += 1
        try:
            while True:
                if self._failed:
                    raise _AbandonedError
                if self._part is not None:
                    part, self._part = self._part, None
                    return part
                if self._ended:
                    raise StopAsyncIteration
                await self._wait()
        finally:
            self._readers -= 1
            self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
