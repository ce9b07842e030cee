"""The index of a tar: its headers are read in large blocks, and the data of large members is passed by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..codecs import TarDecoder
from ..codecs._events import MemberStart, WholeMember
from ..codecs._tar_header import (
    BLOCK_SIZE,
    checksum_matches,
    decode_text,
    parse_number,
    parse_pax_records,
    stored_name,
)
from ..errors import FormatError, TruncatedArchiveError, UnsupportedFormatError
from ._index import Place, TooManyFilesError, read

if TYPE_CHECKING:
    from ..limits import Limits
    from ._index import Index, Steps

__all__ = ["learn_tar"]

# Bytes of a member from which on it is passed by: about what a store sends in the time in which it begins to
# answer another request.
_WORTH_A_SEEK: Final = 1 << 20
# Bytes that are read behind such a member, most likely to find another one; each read on from there is twice
# as long, up to the second number.
_FIRST_BLOCK: Final = 65_536
_LAST_BLOCK: Final = 1 << 20
# Bytes that are given to a decoder at once. It may have to begin anew behind each sparse member.
_SLICE: Final = 65_536

_SPARSE: Final = ord("S")
_CONTINUED: Final = ord("M")
_IS_EXTENDED_AT: Final = (
    482  # of a sparse header, old GNU format: whether a block with more of the map follows
)
_MORE_EXTENDED_AT: Final = 504  # the same, of such a block
_MAX_MAP: Final = 1 << 20  # bytes of such blocks: 40,000 holes
_FILES: Final = b"0\x007S"


class _Blocks:
    """Reads what comes next, and holds the last block: what is wanted again is not asked for again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._held = b""
        self._start = 0
        self._next = _FIRST_BLOCK

    def some(self, offset: int) -> Steps[bytes]:
        """Read some bytes from `offset`, which is inside the object; none if it has become shorter."""
        at = offset - self._start
        if not 0 <= at < len(self._held):
            if at != len(self._held):
                self._next = _FIRST_BLOCK
            length = min(self._next, self.size - offset)
            self._next = min(2 * self._next, _LAST_BLOCK)
            self._held = yield offset, length
            self._start, at = offset, 0
        if at == 0 and len(self._held) <= _SLICE:
            return self._held
        return self._held[at : at + _SLICE]

    def exactly(self, offset: int, length: int, what: str) -> Steps[bytes]:
        """Read so many bytes, which belong to `what`.

        Raises:
            TruncatedArchiveError: if the object has not as many.
        """
        at = offset - self._start
        if at >= 0 and at + length <= len(self._held):
            return self._held[at : at + length]
        if offset + length > self.size:
            raise TruncatedArchiveError(f"the object ends inside {what}", codec="tar", offset=self.size)
        return (yield from read(offset, length, what, "tar"))


def learn_tar(size: int, index: Index, limits: Limits) -> Steps[None]:
    """Find all files of a tar.

    It may end without the blocks that should end it, and have anything behind them.

    Args:
        size: Bytes of the object.
        index: What to add them to.
        limits: Bounds on what is accepted.

    Raises:
        FormatError: if it is no tar, or damaged.
        LimitExceededError: for a limit of `limits`.
    """
    blocks = _Blocks(size)
    start: int | None = 0
    while start is not None:
        start = yield from _walk(blocks, start, size, index, limits)


def _walk(blocks: _Blocks, start: int, size: int, index: Index, limits: Limits) -> Steps[int | None]:
    """Find the files from `start` on; return where to begin anew, behind a sparse one, or None at the end."""
    decoder = TarDecoder(limits=limits, strict=False)
    at = start
    try:
        while at < size and not decoder.at_end:
            data = yield from blocks.some(at)
            if not data:  # between two members too: those behind it are not there now, and were
                raise TruncatedArchiveError(
                    "the object ends before its stated size", codec="tar", offset=at - start
                )
            at += len(data)
            decoder.feed(data)
            for event in decoder:
                if isinstance(event, (WholeMember, MemberStart)) and event.kind == "file":
                    index.add(event.name, Place(start + event.offset, event.size or 0))
            if (passed := min(decoder.passable, size - at)) >= _WORTH_A_SEEK:
                decoder.pass_by(passed)
                at += passed
        if not decoder.at_end and (at > start or not start):
            decoder.feed_eof()
    except TooManyFilesError:
        raise
    except UnsupportedFormatError as error:
        return (yield from _behind_sparse(blocks, error, start + error.offset, index))
    except FormatError as error:
        error_type = type(error)
        raise error_type(
            error.reason, codec=error.codec, offset=start + error.offset, member=error.member
        ) from None
    return None


def _behind_sparse(blocks: _Blocks, error: UnsupportedFormatError, at: int, index: Index) -> Steps[int]:
    """Pass by a member that the decoder refuses, which has a problem and is no end; return where it ends.

    Args:
        blocks: To read from.
        error: What the decoder says.
        at: Where: at the member's header, or at the body of a PAX header before it.
        index: What to add it to.

    Raises:
        UnsupportedFormatError: `error`, if there is no telling where it ends.
    """
    header = yield from blocks.exactly(at, BLOCK_SIZE, "a header")
    stated = None
    if not checksum_matches(header):
        extension = yield from blocks.exactly(at - BLOCK_SIZE, BLOCK_SIZE, "a header")
        length = parse_number(extension[124:136])
        stated = parse_pax_records((yield from blocks.exactly(at, length, "a PAX header"))).get("size")
        at += length + (-length & 511)
        header = yield from blocks.exactly(at, BLOCK_SIZE, "a header")
        if not checksum_matches(header) or header[156] not in _FILES:
            raise error
    elif header[156] not in {_SPARSE, _CONTINUED}:
        raise error
    try:
        size = int(stated) if stated else parse_number(header[124:136])
    except ValueError:
        raise error from None
    if size < 0:
        raise error
    name = error.member or decode_text(stored_name(header))
    end = at + BLOCK_SIZE
    if header[156] == _SPARSE and header[_IS_EXTENDED_AT]:
        end = yield from _behind_map(blocks, end, error)
    if header[156] != _CONTINUED:
        index.add(name, Place(end, size, problem="it is a sparse file"))
    if end + size > blocks.size:
        raise TruncatedArchiveError(
            "the object ends inside a sparse file", codec="tar", offset=blocks.size, member=name
        )
    return end + size + (-size & 511)


def _behind_map(blocks: _Blocks, at: int, error: UnsupportedFormatError) -> Steps[int]:
    """Read on what of a sparse file's map stands behind its header; return where its data begins."""
    for _ in range(_MAX_MAP // BLOCK_SIZE):
        block = yield from blocks.exactly(at, BLOCK_SIZE, "the map of a sparse file")
        at += BLOCK_SIZE
        if not block[_MORE_EXTENDED_AT]:
            return at
    raise error
