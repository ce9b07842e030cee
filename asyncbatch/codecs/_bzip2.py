"""bzip2: streams in a row, as ``bzip2 -d`` reads them. There is no specification but its source.

The library verifies the CRC-32 of every block and of the stream. It does so in the step that gives the last
bytes of a block: that step yields nothing if the block is damaged.
"""

from __future__ import annotations

import bz2
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ._compress import StreamCompressor
from ._decompress import StreamDecompressor
from ._stdlib import read_frame

if TYPE_CHECKING:
    from ..limits import Limits
    from ._decompress import FrameReader
    from ._input import ByteInput, Steps

__all__ = ["Bzip2Compressor", "Bzip2Decompressor"]

_LEVELS: Final = range(1, 10)  # in 100 kB of a block; decompressing needs 4 bytes of memory for each


class Bzip2Compressor(StreamCompressor):
    """A push compressor to one bzip2 stream.

    Args:
        level: 1 to 9, as bzip2's: 100 kB of a block each, which changes size and memory but hardly the time.

    Raises:
        UsageError: for any other level.
    """

    def __init__(self, *, level: int = 9) -> None:
        if level not in _LEVELS:
            raise UsageError(f"bzip2 has no level {level!r}; it has 1 to 9")
        super().__init__(bz2.BZ2Compressor(level))


def _read_stream(level: int) -> FrameReader:
    magic = b"BZh%d" % level

    def read(source: ByteInput) -> Steps[None]:
        def convert(error: Exception, offset: int) -> Exception:
            return source.malformed(f"damaged bzip2 data ({error})", offset)

        return read_frame(source, magic, bz2.BZ2Decompressor(), OSError, convert)

    return read


class Bzip2Decompressor(StreamDecompressor):
    """A push decompressor for bzip2, of one stream or many. Every checksum is verified.

    Feed it, iterate for the output, and say `feed_eof`. Zero bytes behind the last stream are padding.

    Args:
        limits: `max_total_size` and `max_ratio` bound the output.
        strict: Whether to refuse anything else behind the last stream; False ignores it.
    """

    is_slow = True

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        frames = {b"BZh%d" % level: _read_stream(level) for level in _LEVELS}
        super().__init__("bzip2", frames, limits=limits, strict=strict)
