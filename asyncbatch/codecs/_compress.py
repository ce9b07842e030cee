"""What all compressors have in common: fed until they are finished, and not again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import UsageError

if TYPE_CHECKING:
    from ._backends import CompressObject
    from ._events import Buffer

__all__ = ["Compressor", "StreamCompressor"]


class Compressor(Protocol):
    """A push compressor: bytes in, compressed bytes out, no I/O."""

    def feed(self, chunk: Buffer, /) -> bytes:
        """Give the next bytes; return what came out, which may be nothing yet."""
        ...

    def finish(self) -> bytes:
        """End the stream; return what had not come out."""
        ...


class StreamCompressor:
    """Base of the compressors.

    Args:
        stream: The library's object.
    """

    def __init__(self, stream: CompressObject) -> None:
        self._stream: CompressObject | None = stream

    def feed(self, chunk: Buffer, /) -> bytes:
        """Give the next bytes; return what came out, which may be nothing yet.

        Raises:
            UsageError: after `finish`.
        """
        return self._unfinished().compress(chunk)

    def finish(self) -> bytes:
        """End the stream; return what had not come out.

        Raises:
            UsageError: if it was called before.
        """
        stream = self._unfinished()
        self._stream = None
        return stream.flush()

    def _unfinished(self) -> CompressObject:
        if self._stream is None:
            raise UsageError("the compressed stream was finished; a new one needs a new compressor")
        return self._stream
