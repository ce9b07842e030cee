"""LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md, version 1.6.4).

Frames are walked block by block, and the blocks given to the library one at a time: so a fault is known to
the block, and what stands before it is not lost. The library verifies all checksums and the content size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import lz4.frame

from ..limits import DEFAULT_LIMITS
from ._compress import StreamCompressor
from ._decompress import MAX_OUTPUT, SKIPPABLE_FRAMES, StreamDecompressor

if TYPE_CHECKING:
    from ..limits import Limits
    from ._events import Buffer
    from ._input import ByteInput, Steps

__all__ = ["Lz4Compressor", "Lz4Decompressor"]

_MAGIC: Final = b"\x04\x22\x4d\x18"
_LEGACY_MAGIC: Final = b"\x02\x21\x4c\x18"

# The FLG byte.
_HAS_DICTIONARY: Final = 0x01
_HAS_CONTENT_CHECKSUM: Final = 0x04
_HAS_CONTENT_SIZE: Final = 0x08
_HAS_BLOCK_CHECKSUM: Final = 0x10

_UNCOMPRESSED: Final = 0x8000_0000  # a block's size has this bit set if its data is not compressed


class _CompressObject:
    """lz4's compressor with zlib's interface, which knows no `begin`."""

    def __init__(self) -> None:
        # Content checksums cost about as much as decompressing, but nothing else tells damaged data.
        self._compressor = lz4.frame.LZ4FrameCompressor(content_checksum=True)
        self._head: bytes = self._compressor.begin()

    def compress(self, data: Buffer, /) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._compressor.compress(data))

    def flush(self) -> bytes:
        return self._head + bytes(self._compressor.flush())


class Lz4Compressor(StreamCompressor):
    """A push compressor to one LZ4 frame, with a checksum of its content."""

    def __init__(self) -> None:
        super().__init__(_CompressObject())


def _read_frame(source: ByteInput) -> Steps[None]:
    """Decode a frame, whose magic number was read."""
    start = source.offset - len(_MAGIC)
    descriptor = yield from source.exactly(2, "an LZ4 frame header")
    flags = descriptor[0]
    if flags & _HAS_DICTIONARY:
        raise source.unsupported("an LZ4 frame that needs a dictionary", start)
    # FLG, BD, the content size if there is one, and a byte of checksum.
    rest = yield from source.exactly((8 if flags & _HAS_CONTENT_SIZE else 0) + 1, "an LZ4 frame header")
    context = lz4.frame.create_decompression_context()
    yield from _decompress(context, b"".join((_MAGIC, descriptor, rest)), source, start)

    checksum_size = 4 if flags & _HAS_BLOCK_CHECKSUM else 0
    size = -1
    while size:
        start = source.offset
        block_header = yield from source.exactly(4, "an LZ4 frame")
        size = int.from_bytes(block_header, "little")  # 0 is the EndMark
        data_size = size & ~_UNCOMPRESSED
        yield from _decompress(context, block_header, source, start)  # refuses a size that is too large
        end = source.offset + (data_size + checksum_size if size else 0)
        while source.offset < end:
            data = source.some(end - source.offset, "an LZ4 block")
            yield from _decompress(context, (yield from data), source, start)
    if flags & _HAS_CONTENT_CHECKSUM:
        start = source.offset
        checksum = yield from source.exactly(4, "an LZ4 content checksum")
        yield from _decompress(context, checksum, source, start)


def _decompress(context: Any, data: Buffer, source: ByteInput, start: int) -> Steps[None]:  # noqa: ANN401 - untyped
    """Decompress bytes read from `source`, of what begins at `start`, in as many steps as it takes."""
    rest = memoryview(data)
    while True:
        try:
            piece, used, _ = lz4.frame.decompress_chunk(context, rest, max_length=MAX_OUTPUT)
        except RuntimeError as error:
            code = str(error).rpartition("ERROR_")[2]
            raise source.malformed(f"damaged LZ4 data ({code})", start) from error
        rest = rest[used:]
        if piece:
            yield piece
        # The library takes in a block before all of it is out; less than asked for says that nothing is left.
        if not rest and len(piece) < MAX_OUTPUT:
            return


def _refuse_legacy(source: ByteInput) -> Steps[None]:
    raise source.unsupported("an LZ4 frame of the legacy format (lz4 -l)", source.offset - len(_LEGACY_MAGIC))


class Lz4Decompressor(StreamDecompressor):
    """A push decompressor for LZ4 frames, of one frame or many; skippable frames are skipped.

    Feed it, iterate for the output, and say `feed_eof`. All checksums that a frame has are verified. Zero
    bytes behind the last frame are padding. Legacy frames, and those that need a dictionary, are refused as
    unsupported.

    Args:
        limits: `max_total_size` and `max_ratio` bound the output.
        strict: Whether to refuse anything else behind the last frame; False ignores it.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        frames = {_MAGIC: _read_frame, _LEGACY_MAGIC: _refuse_legacy, **SKIPPABLE_FRAMES}
        super().__init__("lz4", frames, limits=limits, strict=strict)
