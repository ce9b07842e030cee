"""Fed bytes as a parser wants to read them: top to bottom, as a generator, with no state variable.

A parser is a generator of output. Where it needs bytes that have not come it yields `STARVED`, and is resumed
after the next `feed`. It reads through a `ByteInput`, with ``yield from``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from ..errors import FormatError, TruncatedArchiveError, UnsupportedFormatError

if TYPE_CHECKING:
    from ._events import Buffer

__all__ = ["STARVED", "ByteInput", "Steps"]

STARVED: Final = b""
"""What a parser yields in place of output when it can do nothing until more is fed."""

_NOTHING: Final = memoryview(b"")

_T = TypeVar("_T")

Steps: TypeAlias = Generator[bytes, None, _T]
"""A parser, or a part of one: yields output and `STARVED`, and returns a value to whoever delegated to it."""


class ByteInput:
    """A queue of chunks that counts what was read from it.

    Chunks are not copied, and let go of when a parser starves: everything was read then.

    Args:
        codec: Who reads, for errors.

    Attributes:
        codec: The same.
        offset: Bytes read so far, from the start of the input.
        ended: Whether no more will come; set by the feeding side.
    """

    __slots__ = ("_queue", "_view", "codec", "ended", "offset")

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.offset = 0
        self.ended = False
        self._view = _NOTHING
        self._queue: deque[memoryview] = deque()

    def append(self, chunk: Buffer) -> None:
        """Add a chunk behind what is there. It must not change before it was read."""
        self._queue.append(memoryview(chunk).cast("B"))

    def clear(self) -> None:
        """Forget what was not read."""
        self._view = _NOTHING
        self._queue.clear()

    def more(self) -> Steps[bool]:
        """Wait until there is something to read; False at the end of the input."""
        while not self._view:
            if self._queue:
                self._view = self._queue.popleft()
            elif self.ended:
                return False
            else:
                self._view = _NOTHING  # an empty view, too, keeps its owner from being resized
                yield STARVED
        return True

    def take(self, size: int) -> memoryview:
        """Read what is there in one piece, `size` bytes at most. After `more` it is not empty."""
        taken = self._view[:size]
        self._view = self._view[size:]
        self.offset += len(taken)
        return taken

    def take_all(self) -> Buffer:
        """Read everything that is there, in one piece. After `more` it is not empty."""
        parts = [self._view, *self._queue]
        self.clear()
        self.offset += sum(map(len, parts))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def unread(self, data: bytes) -> None:
        """Put back bytes that were just read."""
        if data:
            # An empty view would keep the buffer that it was the end of, one for each step of a bomb.
            if self._view:
                self._queue.appendleft(self._view)
            self._view = memoryview(data)
            self.offset -= len(data)

    def up_to(self, size: int) -> Steps[bytes]:
        """Read `size` bytes, fewer only where the input ends. They are copied: meant for headers."""
        if size <= len(self._view):
            return bytes(self.take(size))
        collected = bytearray()
        while len(collected) < size and (yield from self.more()):
            collected += self.take(size - len(collected))
        return bytes(collected)

    def exactly(self, size: int, what: str) -> Steps[bytes]:
        """Read `size` bytes, which belong to `what`.

        Raises:
            TruncatedArchiveError: if the input ends before.
        """
        data = yield from self.up_to(size)
        if len(data) < size:
            raise self.truncated(what)
        return data

    def some(self, size: int, what: str) -> Steps[memoryview]:
        """Read as many bytes as lie in one piece, at least one and at most `size`, which belong to `what`.

        Raises:
            TruncatedArchiveError: if the input ends before.
        """
        if not (yield from self.more()):
            raise self.truncated(what)
        return self.take(size)

    def skip(self, size: int, what: str) -> Steps[None]:
        """Read `size` bytes, which belong to `what`, and forget them.

        Raises:
            TruncatedArchiveError: if the input ends before.
        """
        while size:
            size -= len((yield from self.some(size, what)))

    def malformed(self, reason: str, offset: int) -> FormatError:
        """Return the error for a fault at `offset`."""
        return FormatError(reason, codec=self.codec, offset=offset)

    def truncated(self, what: str) -> TruncatedArchiveError:
        """Return the error for an input that has ended inside `what`."""
        return TruncatedArchiveError(f"the input ends inside {what}", codec=self.codec, offset=self.offset)

    def unsupported(self, what: str, offset: int) -> UnsupportedFormatError:
        """Return the error for something at `offset` that is sound, but not decoded here."""
        return UnsupportedFormatError(f"{what} is not supported", codec=self.codec, offset=offset)
