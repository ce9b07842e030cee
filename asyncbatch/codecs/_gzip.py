"""gzip (RFC 1952): members in a row, each a header, deflate data, and a trailer with CRC-32 and length.

The wrapper is read here and only the deflate data given to the library: so header and trailer are checked
alike, and in full, whichever library it is, and a wrong checksum costs no output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ._backends import crc32, gzip_compressobj, inflate_error, raw_decompressobj
from ._compress import StreamCompressor
from ._decompress import MAX_OUTPUT, StreamDecompressor

if TYPE_CHECKING:
    from ..limits import Limits
    from ._backends import DecompressObject
    from ._events import Buffer
    from ._input import ByteInput, Steps

__all__ = ["GzipCompressor", "GzipDecompressor", "inflate_step"]

_MAGIC: Final = b"\x1f\x8b"
_DEFLATE: Final = 8

# RFC 1952, 2.3.1, FLG.
_FHCRC: Final = 0x02
_FEXTRA: Final = 0x04
_FNAME: Final = 0x08
_FCOMMENT: Final = 0x10
_RESERVED: Final = 0xE0

_MAX_LEVEL: Final = 9

# What is given to the library at once. It copies what it leaves over, at the end of a member up to one slice:
# slices grow with the member, lest a stream of tiny members copy each byte a thousand times.
_FIRST_SLICE: Final = 4096
_LAST_SLICE: Final = 131_072


class GzipCompressor(StreamCompressor):
    """A push compressor to one gzip member, without name or time: equal data gives equal bytes.

    Args:
        level: 0 to 9, as gzip's; low ones are fast.

    Raises:
        UsageError: for any other level.
    """

    def __init__(self, *, level: int = 1) -> None:
        if not 0 <= level <= _MAX_LEVEL:
            raise UsageError(f"gzip has no level {level!r}; it has 0 to {_MAX_LEVEL}")
        super().__init__(gzip_compressobj(level))


def _read_member(source: ByteInput) -> Steps[None]:
    """Decode a member, whose magic number was read."""
    yield from _read_header(source)
    inflate = raw_decompressobj()
    crc = size = 0
    slice_size = _FIRST_SLICE
    while not inflate.eof:
        piece = inflate_step(inflate, (yield from source.some(slice_size, "deflate data")), source)
        while piece:
            crc = crc32(piece, crc)
            size += len(piece)
            yield piece
            # There may be more inside than one step gives: ask without input, until nothing comes.
            piece = inflate_step(inflate, b"", source)
        slice_size = min(2 * slice_size, _LAST_SLICE)
    trailer = yield from source.exactly(8, "a gzip trailer")
    if int.from_bytes(trailer[:4], "little") != crc:
        raise source.malformed("the CRC-32 does not match: the data is damaged", source.offset - 8)
    if int.from_bytes(trailer[4:], "little") != size & 0xFFFF_FFFF:
        raise source.malformed(f"the length does not match: {size} bytes came out", source.offset - 4)


def inflate_step(inflate: DecompressObject, data: Buffer, source: ByteInput) -> bytes:
    """Decompress one step; give back to `source` what was not used. Nothing comes behind the end."""
    if inflate.eof:
        return b""  # asked again, the library would leave the same bytes over a second time
    try:
        piece = inflate.decompress(data, MAX_OUTPUT)
    except inflate_error as error:
        raise source.malformed(f"damaged deflate data ({error})", source.offset - len(data)) from error
    source.unread(inflate.unused_data or inflate.unconsumed_tail)
    return piece


def _read_header(source: ByteInput) -> Steps[None]:
    """Read a header behind its magic number (RFC 1952, 2.3). Names are skipped, and never held."""
    start = source.offset - len(_MAGIC)
    fixed = yield from source.exactly(8, "a gzip header")
    method, flags = fixed[0], fixed[1]
    if method != _DEFLATE:
        raise source.malformed(f"compression method {method}, where gzip knows 8 (deflate) only", start + 2)
    if flags & _RESERVED:
        raise source.malformed("reserved flags are set in a gzip header", start + 3)
    crc = crc32(fixed, crc32(_MAGIC, 0))
    if flags & _FEXTRA:
        length = yield from source.exactly(2, "a gzip header")
        extra = yield from source.exactly(int.from_bytes(length, "little"), "a gzip header")
        crc = crc32(extra, crc32(length, crc))
    for text in (_FNAME, _FCOMMENT):
        if flags & text:
            crc = yield from _skip_text(source, crc)
    if flags & _FHCRC:
        stored = yield from source.exactly(2, "a gzip header")
        if int.from_bytes(stored, "little") != crc & 0xFFFF:
            raise source.malformed("the checksum of a gzip header does not match", source.offset - 2)


def _skip_text(source: ByteInput, crc: int) -> Steps[int]:
    """Skip text that ends with a zero byte; return the CRC-32 continued over it."""
    while True:
        data = bytes((yield from source.some(_FIRST_SLICE, "a gzip header")))
        text, zero, behind = data.partition(b"\0")
        source.unread(behind)
        crc = crc32(text + zero, crc)
        if zero:
            return crc


class GzipDecompressor(StreamDecompressor):
    """A push decompressor for gzip, of one member or many.

    Feed it, iterate for the output, and say `feed_eof`. CRC-32, length and the header's checksum are
    verified. Zero bytes behind the last member are padding.

    Args:
        limits: `max_total_size` and `max_ratio` bound the output.
        strict: Whether to refuse anything else behind the last member; False ignores it.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        super().__init__("gzip", {_MAGIC: _read_member}, limits=limits, strict=strict)
