"""Zstandard (RFC 8878).

`zstandard` decompresses what it is given in one go, whatever comes out. So frames are walked here and their
blocks, of which none holds more than 128 KiB (3.1.1.2.4), given to the library one at a time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import zstandard

from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ._compress import StreamCompressor
from ._decompress import SKIPPABLE_FRAMES, StreamDecompressor

if TYPE_CHECKING:
    from ..limits import Limits
    from ._decompress import FrameReader
    from ._events import Buffer
    from ._input import ByteInput, Steps

__all__ = ["MAX_WINDOW", "ZstdCompressor", "ZstdDecompressor", "read_frame"]

MAX_WINDOW: Final = 128 << 20
"""Bytes of history that a frame may ask for: what zstd(1) takes without being told ``--long=28`` or more."""

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
# What zstd wrote before version 0.8, 0xFD2FB522 to 27.
_LEGACY_MAGICS: Final = [bytes((low, 0xB5, 0x2F, 0xFD)) for low in range(0x22, 0x28)]

# Frame_Header_Descriptor (3.1.1.1.1).
_SINGLE_SEGMENT: Final = 0x20
_RESERVED: Final = 0x08
_HAS_CHECKSUM: Final = 0x04
_DICTIONARY_ID_SIZES: Final = (0, 1, 2, 4)
_CONTENT_SIZE_SIZES: Final = (0, 2, 4, 8)  # but the first is 1 in a single segment
_BIASED: Final = 2  # a Frame_Content_Size of two bytes counts from 256 (3.1.1.1.4)

_MAX_BLOCK: Final = 128 << 10
_RLE_BLOCK: Final = 1
_RESERVED_BLOCK: Final = 3


class ZstdCompressor(StreamCompressor):
    """A push compressor to one Zstandard frame, with a checksum of its content.

    Args:
        level: 1 to 22, as zstd's.

    Raises:
        UsageError: for any other level.
    """

    def __init__(self, *, level: int = 3) -> None:
        if not 1 <= level <= zstandard.MAX_COMPRESSION_LEVEL:
            raise UsageError(f"zstd has no level {level!r}; it has 1 to {zstandard.MAX_COMPRESSION_LEVEL}")
        super().__init__(zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj())


def read_frame(context: zstandard.ZstdDecompressor, source: ByteInput) -> Steps[None]:
    """Decode a frame, whose magic number was read."""
    start = source.offset - len(_MAGIC)
    descriptor = (yield from source.exactly(1, "a zstd frame header"))[0]
    if descriptor & _RESERVED:
        raise source.malformed("a reserved bit is set in a zstd frame header", source.offset - 1)
    content_size_size = _CONTENT_SIZE_SIZES[descriptor >> 6]
    if descriptor & _SINGLE_SEGMENT:
        sizes = (0, _DICTIONARY_ID_SIZES[descriptor & 3], content_size_size or 1)
    else:
        sizes = (1, _DICTIONARY_ID_SIZES[descriptor & 3], content_size_size)
    fields = yield from source.exactly(sum(sizes), "a zstd frame header")
    dictionary_end = sizes[0] + sizes[1]
    if any(fields[sizes[0] : dictionary_end]):
        raise source.unsupported("a zstd frame that needs a dictionary", start)
    window = _window_size(fields[: sizes[0]], fields[dictionary_end:])
    if window > MAX_WINDOW:
        raise source.unsupported(
            f"a zstd frame with a window of {window} bytes (more than {MAX_WINDOW})", start
        )

    stream = context.decompressobj()
    yield from _decompress(stream, b"".join((_MAGIC, bytes((descriptor,)), fields)), source, start)
    yield from _read_blocks(stream, source, min(window, _MAX_BLOCK))
    if descriptor & _HAS_CHECKSUM:
        start = source.offset
        checksum = yield from source.exactly(4, "a zstd content checksum")
        yield from _decompress(stream, checksum, source, start)


def _window_size(window_descriptor: bytes, content_size: bytes) -> int:
    """Return Window_Size (3.1.1.1.2): of its descriptor, or, in a single segment, the size of the content."""
    if window_descriptor:
        exponent, mantissa = divmod(window_descriptor[0], 8)
        base = 1 << (10 + exponent)
        return base + (base >> 3) * mantissa
    size = int.from_bytes(content_size, "little")
    return size + 256 if len(content_size) == _BIASED else size


def _read_blocks(stream: zstandard.ZstdDecompressionObj, source: ByteInput, max_block: int) -> Steps[None]:
    """Decode the blocks of a frame, to the last (3.1.1.2)."""
    last = False
    while not last:
        start = source.offset
        header = yield from source.exactly(3, "a zstd frame")
        word = int.from_bytes(header, "little")
        last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
        if kind == _RESERVED_BLOCK or size > max_block:
            raise source.malformed(f"a zstd block of type {kind} and {size} bytes", start)
        yield from _decompress(stream, header, source, start)
        end = source.offset + (1 if kind == _RLE_BLOCK else size)
        while source.offset < end:
            data = source.some(end - source.offset, "a zstd block")
            yield from _decompress(stream, (yield from data), source, start)


def _decompress(
    stream: zstandard.ZstdDecompressionObj, data: Buffer, source: ByteInput, start: int
) -> Steps[None]:
    """Decompress bytes that were read from `source`, of what begins at `start`: one block at most."""
    try:
        piece = stream.decompress(data)
    except zstandard.ZstdError as error:
        raise source.malformed(f"damaged data ({error})", start) from error
    if piece:
        yield piece


def _refuse_legacy(source: ByteInput) -> Steps[None]:
    raise source.unsupported("a zstd frame of a format before version 0.8", source.offset - len(_MAGIC))


class ZstdDecompressor(StreamDecompressor):
    """A push decompressor for Zstandard, of one frame or many; skippable frames are skipped.

    Feed it, iterate for the output, and say `feed_eof`. Checksums and content sizes are verified where a
    frame has them. Zero bytes behind the last frame are padding. Frames that need a dictionary or more than
    `MAX_WINDOW` bytes of history, and those of versions before 0.8, are refused as unsupported.

    Args:
        limits: `max_total_size` and `max_ratio` bound the output.
        strict: Whether to refuse anything else behind the last frame; False ignores it.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        # One context for all frames: making one costs more than a small frame, and its window is kept.
        frames: dict[bytes, FrameReader] = {_MAGIC: partial(read_frame, zstandard.ZstdDecompressor())}
        frames |= dict.fromkeys(_LEGACY_MAGICS, _refuse_legacy)
        super().__init__("zstd", frames | SKIPPABLE_FRAMES, limits=limits, strict=strict)
