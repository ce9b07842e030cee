"""xz (https://tukaani.org/xz/xz-file-format.txt, version 1.2.1): streams in a row, padding between them.

The library verifies all that a stream has: the checksums of its headers, blocks and index, and their sizes.
"""

from __future__ import annotations

import lzma
from functools import partial
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ._backends import crc32
from ._compress import StreamCompressor
from ._decompress import StreamDecompressor
from ._stdlib import read_frame

if TYPE_CHECKING:
    from ..limits import Limits
    from ._decompress import FrameReader
    from ._input import ByteInput, Steps

__all__ = ["MAX_MEMORY", "XzCompressor", "XzDecompressor"]

MAX_MEMORY: Final = 129 << 20
"""Bytes that decoding a stream may take: a dictionary of 128 MiB, twice that of ``xz -9``, and the rest.

A header states the dictionary's size and the library allocates it, whatever comes then."""

# Magic numbers are told by their first three bytes, which suffices; the rest is read with the header.
_MAGIC: Final = b"\xfd7zXZ\0"  # 2.1.1.1
_MAGIC_BEGINNING: Final = _MAGIC[:3]
_LEGACY_MAGIC: Final = b"]\0\0"  # .lzma has none, but its usual properties and a dictionary from 64 KiB

_MAX_LEVEL: Final = 9
_ALIGNMENT: Final = 4


class XzCompressor(StreamCompressor):
    """A push compressor to one xz stream, with a CRC-64 of its content.

    Args:
        level: 0 to 9, as xz's. They differ in memory most of all: 1 takes 9 MiB, 6 takes 94, 9 takes 674.

    Raises:
        UsageError: for any other level.
    """

    def __init__(self, *, level: int = 1) -> None:
        if not 0 <= level <= _MAX_LEVEL:
            raise UsageError(f"xz has no level {level!r}; it has 0 to {_MAX_LEVEL}")
        super().__init__(lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_CRC64, preset=level))


def _read_stream(source: ByteInput, *, strict: bool) -> Steps[None]:
    """Decode a stream, of whose header the first bytes were read, and the padding behind it."""
    start = source.offset - len(_MAGIC_BEGINNING)
    # Stream Header (2.1.1): magic, two bytes of flags, their CRC-32.
    head = _MAGIC_BEGINNING + (yield from source.exactly(9, "an xz stream header"))
    if not head.startswith(_MAGIC):
        raise source.malformed(f"this is not xz: it begins with {head[: len(_MAGIC)].hex(' ')}", start)
    if int.from_bytes(head[8:], "little") != crc32(head[6:8]):
        raise source.malformed("the checksum of an xz stream header does not match", start + 8)
    check = head[7] & 0x0F  # 2.1.1.2. Of the library's own accord, one that it does not know would be ignored
    if not lzma.is_check_supported(check):
        raise source.unsupported(f"an xz stream with a checksum of type {check}", start)

    def convert(error: Exception, offset: int) -> Exception:
        reason = str(error)
        if "limit" in reason:
            what = f"an xz stream that takes more than {MAX_MEMORY} bytes to decode"
            return source.unsupported(what, start)
        if "unsupported" in reason:  # flags that are reserved for the future, and sound by their checksum
            return source.unsupported(f"an xz stream with other options ({reason})", start)
        return source.malformed(f"damaged xz data ({reason})", offset)

    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_MEMORY)
    yield from read_frame(source, head, stream, lzma.LZMAError, convert)
    yield from _skip_padding(source, strict=strict)


def _skip_padding(source: ByteInput, *, strict: bool) -> Steps[None]:
    """Skip Stream Padding (2.2): zero bytes, in fours."""
    start = source.offset
    rest = b""
    while not rest and (yield from source.more()):
        rest = bytes(source.take(4096)).lstrip(b"\0")
    source.unread(rest)
    size = source.offset - start
    if strict and size % _ALIGNMENT:
        if not rest:
            raise source.truncated("stream padding, which comes in fours")
        raise source.malformed(f"{size} bytes of stream padding, which comes in fours", start)


def _refuse_legacy(source: ByteInput) -> Steps[None]:
    raise source.unsupported("the legacy format .lzma (xz --format=lzma)", source.offset - len(_LEGACY_MAGIC))


class XzDecompressor(StreamDecompressor):
    """A push decompressor for xz, of one stream or many, with padding between and behind them.

    Feed it, iterate for the output, and say `feed_eof`. All checksums are verified. The older .lzma is
    refused as unsupported, and so are streams that take more than `MAX_MEMORY`.

    Args:
        limits: `max_total_size` and `max_ratio` bound the output.
        strict: Whether to refuse anything else behind the last stream; False ignores it.
    """

    is_slow = True

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        frames: dict[bytes, FrameReader]
        frames = {_MAGIC_BEGINNING: partial(_read_stream, strict=strict), _LEGACY_MAGIC: _refuse_legacy}
        super().__init__(
            "xz", frames, limits=limits, strict=strict, zero_padding=False
        )  # it has rules for that
