"""Where the bytes of an answer come from: an object, a range of it, a file in a shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..codecs._backends import inflate_error
from ..errors import AsyncBatchError
from ._store import StoreError
from ._stream import CHUNK_SIZE, CutError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType
    from typing import Self

    from ..codecs._events import Buffer
    from ._store import StoredObject

__all__ = ["Source", "read_range"]


class Source:
    """Bytes of a known size, open for reading.

    Args:
        stored: The object they are in or come out of.
        size: How many.
        mtime: Their age, for an archive's header.
        read: Yields `length` of them from `start`.
    """

    def __init__(
        self, stored: StoredObject, *, size: int, mtime: int, read: Callable[[int, int], Iterator[Buffer]]
    ) -> None:
        self.stored = stored
        self.size = size
        self.mtime = mtime
        self._read = read
        self._held: tuple[int, int, bytes] | None = None

    @classmethod
    def whole(cls, stored: StoredObject) -> Source:
        """Return the source that is an object."""
        return cls(stored, size=stored.size, mtime=stored.mtime, read=lambda at, n: read_range(stored, at, n))

    def hold(self, start: int, length: int) -> None:
        """Read a part now and keep it, for when `pieces` of that part are asked for.

        Raises:
            CutError: as `pieces` does. Nothing is kept then.
        """
        self._held = start, length, b"".join(self.pieces(start, length))

    def pieces(self, start: int, length: int) -> Generator[Buffer]:
        """Yield exactly `length` bytes from `start`.

        Raises:
            CutError: if they cannot be had, or the object changed meanwhile. At least one byte is then
                missing from what was yielded: the last piece is kept back until all is known to be well.
        """
        if self._held is not None and self._held[:2] == (start, length):
            yield self._held[2]
            return
        kept: Buffer = b""
        left = length
        try:
            for piece in self._read(start, length):
                if kept:
                    yield kept
                kept = piece
                left -= len(piece)
        except (OSError, StoreError, AsyncBatchError, inflate_error) as error:
            raise CutError(f"reading failed: {error}") from error
        if left or self.stored.is_changed():
            raise CutError("the object changed while it was read")
        if kept:
            yield kept

    def close(self) -> None:
        """Close the object."""
        self.stored.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def read_range(stored: StoredObject, start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes from `start`; fewer if the object has become shorter."""
    end = start + length
    while start < end and (data := stored.read(start, min(CHUNK_SIZE, end - start))):
        yield data
        start += len(data)
