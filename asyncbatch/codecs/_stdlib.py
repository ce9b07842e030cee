"""Frames that a decompressor of the standard library reads from beginning to end, checksums and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from ._decompress import MAX_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._events import Buffer
    from ._input import ByteInput, Steps

__all__ = ["BoundedDecompressor", "read_frame"]

# What is given to the library at once. What stands behind the frame comes back as a copy: slices grow with
# the frame, lest a stream of tiny ones copy each byte a thousand times.
_FIRST_SLICE: Final = 4096
_LAST_SLICE: Final = 131_072


class BoundedDecompressor(Protocol):
    """What `bz2.BZ2Decompressor` and `lzma.LZMADecompressor` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the frame was met."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out of what was given."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Input behind the end."""
        ...

    def decompress(self, data: Buffer, max_length: int) -> bytes:
        """Decompress `data`, and what was left of earlier data, to at most `max_length` bytes."""
        ...


def read_frame(
    source: ByteInput,
    head: bytes,
    stream: BoundedDecompressor,
    error_type: type[Exception],
    convert: Callable[[Exception, int], Exception],
) -> Steps[None]:
    """Decode a frame, whose `head` was read already.

    Args:
        source: The input.
        head: The bytes of the frame that were read.
        stream: Decompresses it.
        error_type: What `stream` raises for data that it does not like.
        convert: Makes an error of ours of one of those, and of the offset where the data began.
    """
    data: Buffer = head
    slice_size = _FIRST_SLICE
    while True:
        try:
            piece = stream.decompress(data, MAX_OUTPUT)
        except error_type as error:
            raise convert(error, source.offset - len(data)) from error
        if piece:
            yield piece
        if stream.eof:
            source.unread(stream.unused_data)
            return
        data = b""
        if stream.needs_input:
            data = yield from source.some(slice_size, f"{source.codec} data")
            slice_size = min(2 * slice_size, _LAST_SLICE)
