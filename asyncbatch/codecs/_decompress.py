"""What all decompressors have in common: bounded steps, limits, errors that stick, and frames in a row.

A compressed stream is a row of frames (gzip calls them members), each told by the magic number at its
beginning. A format brings a generator for each kind of frame; everything else is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ..errors import AsyncBatchError, FormatError, LimitExceededError, TruncatedArchiveError, UsageError
from ._input import ByteInput, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..limits import Limits
    from ._events import Buffer

__all__ = [
    "MAX_OUTPUT",
    "RATIO_FREE",
    "SKIPPABLE_FRAMES",
    "Decompressor",
    "FrameReader",
    "StreamDecompressor",
]

MAX_OUTPUT: Final = 262_144
"""Bytes of one step at most: what a bomb costs before the limits are asked again."""

RATIO_FREE: Final = 64 << 20
"""Bytes of output from which on `Limits.max_ratio` holds: less does no harm, however small it was."""

FrameReader: TypeAlias = Callable[[ByteInput], Steps[None]]
"""Decodes one frame. Its magic number was read already; it reads to the frame's end and not beyond."""


class Decompressor(Protocol):
    """A push decompressor: compressed bytes in, bounded pieces of bytes out, no I/O.

    After `feed`, iterating decompresses, one piece per step, for as far as the input reaches. Malformed input
    yields what was sound before it and then raises; from then on every call raises the same error.

    Attributes:
        is_slow: Whether it is better done in a thread: by tens of megabytes per second.
    """

    is_slow: bool

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes of the input."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the output; a loop that was left early is continued by the next one."""
        ...

    def feed_eof(self) -> None:
        """Say that no more bytes come."""
        ...


class StreamDecompressor:
    """Base of the decompressors.

    Work is done by iterating, never by `feed`: each step yields at most `MAX_OUTPUT` bytes, never none, and
    decompresses no more than that. A step in which a library met damaged data yields nothing, and the
    steps before it stand; checksums are compared behind the data they cover, in a step of their own.

    Args:
        codec: The format's name, for errors.
        frames: What decodes a frame, by its magic number; those of a format are of one length. They are
            functions of the input and not methods: a suspended generator that held `self` would make a cycle,
            and its buffers would outlive a decompressor that was dropped.
        limits: `max_total_size` and `max_ratio` bound the output.
        strict: Whether nothing may stand behind the last frame. False ignores what does, unless it begins as
            a frame.
        zero_padding: Whether zero bytes may stand there all the same: who writes records, to a pipe or a
            tape, fills the last one.
    """

    is_slow = False

    def __init__(
        self,
        codec: str,
        frames: Mapping[bytes, FrameReader],
        *,
        limits: Limits,
        strict: bool,
        zero_padding: bool = True,
    ) -> None:
        self._limits = limits
        self._input = ByteInput(codec)
        self._steps = _read_stream(self._input, frames, strict=strict, zero_padding=zero_padding)
        self._starved = True  # nothing can be done until more is fed
        self._produced = 0
        self._error: AsyncBatchError | None = None

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes of the input.

        The chunk is not copied: it must not change until a loop over the output has run to its end.

        Raises:
            AsyncBatchError: what an earlier step met.
            UsageError: after `feed_eof`.
        """
        self._raise_again()
        if self._input.ended:
            raise UsageError("feed() was called after feed_eof()")
        if chunk:
            self._input.append(chunk)
            self._starved = False

    def __iter__(self) -> Iterator[bytes]:
        """Decompress what was fed, in pieces of 1 to `MAX_OUTPUT` bytes.

        Raises:
            FormatError: if the input is malformed; `UnsupportedFormatError` if it is not, but beyond us.
            TruncatedArchiveError: after `feed_eof`, if the input is not whole.
            LimitExceededError: for `max_total_size` or `max_ratio`.
        """
        while piece := self._step():
            yield piece

    def feed_eof(self) -> None:
        """Say that no more bytes come; once is enough.

        If all that was fed has been iterated over, the end is judged here and now. Otherwise nothing is lost
        and nothing is judged yet: iterating yields the rest, and then raises if the input is not whole.

        Raises:
            TruncatedArchiveError: if nothing is left to iterate over and the input is not whole.
            AsyncBatchError: what an earlier step met.
        """
        self._raise_again()
        self._input.ended = True
        if self._starved:
            self._starved = False
            self._step()  # a starved parser has no output to lose

    def _step(self) -> bytes:
        """Return the next piece of output, or `STARVED`."""
        self._raise_again()
        if self._starved:
            return b""
        try:
            piece = next(self._steps, b"")
            self._count(len(piece))
        except AsyncBatchError as error:
            self._error = error
            self._input.clear()
            raise
        self._starved = not piece
        return piece

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _count(self, size: int) -> None:
        self._produced += size
        produced, consumed, limits = self._produced, self._input.offset, self._limits
        if produced > limits.max_total_size:
            raise LimitExceededError(
                "max_total_size",
                produced,
                limits.max_total_size,
                what=f"bytes decompressed from {self._input.codec}",
            )
        if produced >= RATIO_FREE and produced > consumed * limits.max_ratio:
            raise LimitExceededError(
                "max_ratio",
                produced / consumed,
                limits.max_ratio,
                what=f"compression ratio of {self._input.codec}",
            )


def _read_stream(
    source: ByteInput, frames: Mapping[bytes, FrameReader], *, strict: bool, zero_padding: bool
) -> Steps[None]:
    """Decode the frames of a stream, one after the other, to the end of the input."""
    if not (yield from source.more()):
        raise TruncatedArchiveError("the input is empty", codec=source.codec, offset=0)
    magic_size = len(next(iter(frames)))
    while (yield from source.more()):
        start = source.offset
        magic = yield from source.up_to(magic_size)
        if read_frame := frames.get(magic):
            yield from read_frame(source)
        elif any(known.startswith(magic) for known in frames):
            raise source.truncated("a magic number")
        elif start == 0:
            raise source.malformed(f"this is not {source.codec}: it begins with {magic.hex(' ')}", 0)
        else:
            yield from _read_trailing(source, magic, strict=strict, zero_padding=zero_padding)


def _read_trailing(source: ByteInput, data: bytes, *, strict: bool, zero_padding: bool) -> Steps[None]:
    """Read what stands behind the last frame, beginning with `data`, to the end of the input."""
    while True:
        garbage = data.lstrip(b"\0") if zero_padding else data
        if strict and garbage:
            raise FormatError(
                "trailing garbage, behind the end of the compressed data; strict=False ignores it",
                codec=source.codec,
                offset=source.offset - len(garbage),
            )
        if not (yield from source.more()):
            return
        data = bytes(source.take(MAX_OUTPUT))


def _skip_frame(source: ByteInput) -> Steps[None]:
    """Skip a skippable frame: user data of a stated length (RFC 8878, 3.1.2; LZ4 frame format, the same)."""
    size = yield from source.exactly(4, "a skippable frame")
    yield from source.skip(int.from_bytes(size, "little"), "a skippable frame")


SKIPPABLE_FRAMES: Final[dict[bytes, FrameReader]] = {
    (0x184D2A50 + number).to_bytes(4, "little"): _skip_frame for number in range(16)
}
"""The frames that zstd and LZ4 share."""
