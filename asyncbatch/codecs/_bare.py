"""Bare compressions, such as ``words.txt.gz``: what they hold is one member, named after the source."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import LimitExceededError, UsageError
from ..limits import DEFAULT_LIMITS
from ._events import MemberData, MemberEnd, MemberStart, WholeMember
from ._formats import format_of_name, looks_like_tar
from ._tar_decoder import TarDecoder
from ._tar_header import BLOCK_SIZE, ZERO_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..errors import AsyncBatchError
    from ..limits import Limits
    from ._events import Buffer, Decoder, Event

__all__ = ["NAMELESS", "BareDecoder", "TarOrBareDecoder", "bare_name"]

NAMELESS: Final = "data"
"""What the member of a source without a name is called.

Not by gzip's FNAME: the other formats have none, it is in no certain encoding (RFC 1952, 2.3.1), and whoever
made the stream chose it. gzip(1) does not use it either, unless asked to."""


def bare_name(source_name: str) -> str:
    """Return the member's name for the name of a file: that, without the extension of a compression."""
    row = format_of_name(source_name)
    if row is None or row.container != "bare" or len(source_name) == len(row.name):
        return source_name
    return source_name[: -len(row.name)]


class _Whole(WholeMember):
    __slots__ = ("data", "name", "offset", "size")

    def __init__(self, name: str) -> None:
        self.name, self.data, self.size, self.offset = name, b"", 0, 0


class _Start(MemberStart):
    __slots__ = ("name", "offset", "size")

    def __init__(self, name: str) -> None:
        self.name, self.size, self.offset = name, None, 0


class BareDecoder:
    """A push decoder that takes all of its input for the data of one member, of unknown size until the end.

    Args:
        name: The member's.
        limits: `max_member_size` bounds it.
    """

    decompresses = is_slow = False

    def __init__(self, name: str = NAMELESS, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._name = name
        self._max_size = limits.max_member_size
        self._size = 0
        self._events: deque[Event] = deque()
        self._error: AsyncBatchError | None = None
        self._eof = False

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes.

        Raises:
            LimitExceededError: what an earlier chunk brought about.
            UsageError: after `feed_eof`.
        """
        self._raise_again()
        if self._eof:
            raise UsageError("feed() was called after feed_eof()")
        data = memoryview(chunk).cast("B")
        if not data:
            return
        if not self._size:
            self._events.append(_Start(self._name))
        self._size += len(data)
        if self._size > self._max_size:
            self._error = LimitExceededError(
                "max_member_size", self._size, self._max_size, what=f"size of {self._name!r}"
            )
        else:
            self._events.append(MemberData(chunk if type(chunk) is bytes else data))

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete."""
        while self._events:
            yield self._events.popleft()
        self._raise_again()

    def feed_eof(self) -> None:
        """Say that the input has ended, and the member with it: any number of bytes is a whole one.

        Raises:
            LimitExceededError: what a chunk brought about.
        """
        self._raise_again()
        if not self._eof:
            self._eof = True
            self._events.append(MemberEnd() if self._size else _Whole(self._name))

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)


class TarOrBareDecoder:
    """A push decoder for what a compressed stream holds: a tar if it begins as one, else one member.

    Where the source's name says that it is a tar, it is nothing else: a damaged one shall not come out as a
    member. Where it says that it is none, zeros at the beginning are data, and no empty tar.

    Args:
        source_name: What the source is called.
        limits: Bounds on what is accepted.
        strict: As `TarDecoder` takes it.
    """

    decompresses = is_slow = False

    def __init__(self, source_name: str, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        self._source_name = source_name
        self._limits = limits
        self._strict = strict
        self._head = b""
        self._decoder: Decoder | None = None

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes; nothing comes out before there are enough of them to tell."""
        if self._decoder is not None:
            self._decoder.feed(chunk)
            return
        self._head += chunk
        if len(self._head) >= BLOCK_SIZE:
            self._decide()

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete."""
        return iter(self._decoder or ())

    def feed_eof(self) -> None:
        """Say that the input has ended, as the decoder that was chosen takes it."""
        decoder = self._decide() if self._decoder is None else self._decoder
        decoder.feed_eof()

    def _decide(self) -> Decoder:
        row = format_of_name(self._source_name)
        container = None if row is None else row.container
        zeros = container == "bare" and self._head.startswith(ZERO_BLOCK)
        if container == "tar" or (looks_like_tar(self._head) and not zeros):
            self._decoder = TarDecoder(limits=self._limits, strict=self._strict)
        else:
            self._decoder = BareDecoder(bare_name(self._source_name), limits=self._limits)
        self._decoder.feed(self._head)
        self._head = b""
        return self._decoder
