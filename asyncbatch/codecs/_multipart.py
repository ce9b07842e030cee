"""The push decoder for multipart bodies (RFC 2046, 5.1): parts in, the events of members out.

The grammar is taken by its word, since whoever reads a body differently than its author meant delivers
somebody else's bytes:

- Lines end with CRLF. A delimiter is CRLF, two dashes and the boundary; LF alone makes neither a delimiter
  nor a header, or the last byte of a body before it would be a guess.
- A line that begins as a delimiter and goes on otherwise may not stand in a body ("body-part"), and readers
  disagree on whether it is one ("it is sufficient that the boundary appear in its entirety following the
  CRLF"). It is refused.
- Bodies are never decoded or stripped: what stands between the blank line and the delimiter is the data. A
  Content-Transfer-Encoding that would have to be undone is refused as unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from ..errors import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from ..limits import DEFAULT_LIMITS
from ._events import MemberData, MemberEnd, MemberStart, WholeMember
from ._multipart_header import boundary_fault, parse_fields, parse_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..limits import Limits
    from ._events import Buffer, Event

__all__ = ["MultipartDecoder"]

_T = TypeVar("_T")

_Steps: TypeAlias = Generator["Event | None", None, _T]
"""A parser: yields events, None where it can do nothing until more is fed, and returns to its delegator."""

_MEMBER_END: Final = MemberEnd()
_SLICE: Final = 4096  # heads are copied together from slices, and most are smaller than one
_DELIMITER_END: Final = re.compile(rb"--|[ \t]*+\r\n")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})  # RFC 2045, 6.2: no encoding was done


class _PartFields:
    """What events know of their part."""

    __slots__ = ()

    headers: Mapping[str, str]
    filename: str | None


class _WholePart(_PartFields, WholeMember):
    __slots__ = ("data", "filename", "headers", "name", "offset", "size")

    def __init__(self, head: _Head, data: bytes) -> None:
        self.name, self.filename, self.headers, self.offset = head.name, head.filename, head.fields, head.end
        self.data = data
        self.size = len(data)


class _PartStart(_PartFields, MemberStart):
    __slots__ = ("filename", "headers", "name", "offset", "size")

    def __init__(self, head: _Head) -> None:
        self.name, self.filename, self.headers, self.offset = head.name, head.filename, head.fields, head.end
        self.size = None


class MultipartDecoder:
    """A push decoder for multipart bodies, whose parts are the members.

    Events carry, beyond `name`, `offset` and `size` (None until the end, save of a whole member), the part's
    `headers`, a mapping with lower-case keys, and its `filename`, or None. Name and file name are those of
    Content-Disposition; a part without a name is called ``""``. A part that is multipart itself is data like
    any other. Preamble and epilogue are skipped; a body may have no parts at all.

    After `feed`, iteration yields what became complete. Behind the events of what was sound it raises
    `FormatError`, `UnsupportedFormatError` or `LimitExceededError`; from then on every call raises the same.

    Args:
        boundary: As `parse_boundary` returns it.
        limits: Bounds on what is accepted; `max_header_size` holds for the head of one part.
        strict: Whether an epilogue must begin with a line end, as the RFC has it. False ignores whatever
            stands behind the last delimiter. Without that delimiter a body is truncated in both.

    Raises:
        UsageError: if RFC 2046 allows no such boundary.
    """

    decompresses = is_slow = False

    def __init__(self, boundary: bytes, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        if fault := boundary_fault(boundary):
            raise UsageError(fault)
        self._max_total_size = limits.max_total_size
        self._input = _Input()
        # A function of the input and not a method: as in the decompressors, no cycle shall keep chunks alive.
        self._steps = _read_body(self._input, b"\r\n--" + boundary, limits, strict=strict)
        self._events: Iterator[Event] = iter(())
        self._error: AsyncBatchError | None = None

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes of the body.

        Raises:
            AsyncBatchError: what an earlier chunk brought about.
            UsageError: after `feed_eof`.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._input.ended:
            raise UsageError("feed() was called after feed_eof()")
        if type(chunk) is not bytes:
            chunk = bytes(
                chunk
            )  # views cannot be searched; copying one costs less than another way to search
        fed, maximum = self._input.base + len(chunk), self._max_total_size
        self._input.append(chunk if fed <= maximum else chunk[: maximum - fed])
        self._advance()
        if fed > maximum and self._error is None:
            self._error = LimitExceededError("max_total_size", fed, maximum, what="multipart body")

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete; a loop that was left early is continued by the next one."""
        return self._events if self._error is None else self._then_raise(self._error)

    def feed_eof(self) -> None:
        """Say that the body has ended. What was not iterated over yet stays there.

        Raises:
            TruncatedArchiveError: unless the closing delimiter was there.
            AsyncBatchError: what a chunk brought about.
        """
        if self._error is None and not self._input.ended:
            self._input.ended = True
            self._advance()
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _then_raise(self, error: AsyncBatchError) -> Iterator[Event]:
        yield from self._events
        raise error.with_traceback(None)

    def _advance(self) -> None:
        """Parse as far as the input reaches."""
        events = list(self._events)  # empty, unless a loop was left early
        try:
            for event in self._steps:
                if event is None:
                    break
                events.append(event)
        except AsyncBatchError as error:
            self._error = error
            self._input.append(b"")
        self._events = iter(events)


class _Input:
    """The chunk that is being parsed; when more is asked for, all of it was read.

    Attributes:
        chunk: The bytes.
        position: Where the next byte to be read stands in them.
        base: Where their first byte stands in the whole input.
        ended: Whether no more will come.
    """

    __slots__ = ("base", "chunk", "ended", "position")

    def __init__(self) -> None:
        self.chunk = b""
        self.position = 0
        self.base = 0
        self.ended = False

    @property
    def offset(self) -> int:
        """Bytes read so far."""
        return self.base + self.position

    def append(self, chunk: bytes) -> None:
        """Go on with the next chunk."""
        self.base += len(self.chunk)
        self.chunk, self.position = chunk, 0

    def more(self) -> _Steps[bool]:
        """Wait until there is something to read; False at the end of the input."""
        while self.position == len(self.chunk):
            if self.ended:
                return False
            self.append(b"")  # for nothing to be kept that was read
            yield None
        return True

    def some(self, size: int, what: str, member: str | None = None) -> _Steps[bytes]:
        """Read 1 to `size` bytes, which belong to `what`.

        Raises:
            TruncatedArchiveError: if the input ends before.
        """
        if not (yield from self.more()):
            raise self.truncated(what, member)
        data = self.chunk[self.position : self.position + size]
        self.position += len(data)
        return data

    def truncated(self, what: str, member: str | None) -> TruncatedArchiveError:
        """Return the error for an input that has ended inside `what`."""
        reason = f"the input ends inside {what}" if self.offset else "the input is empty"
        return TruncatedArchiveError(reason, codec="multipart", offset=self.offset, member=member)


class _Head:
    """The head of a part: its fields, what Content-Disposition says, and where the data begins."""

    __slots__ = ("end", "fields", "filename", "name")

    def __init__(self, block: bytes, end: int) -> None:
        self.end = end
        self.fields = parse_fields(block)
        # RFC 2183, 2: whatever its type, a disposition's parameters are these.
        parameters = parse_parameters(self.fields.get("content-disposition", "").partition(";")[2])
        self.name = parameters.get("name", "")
        self.filename = parameters.get("filename")  # not filename*, which RFC 7578, 4.2, forbids


def _read_body(source: _Input, delimiter: bytes, limits: Limits, *, strict: bool) -> _Steps[None]:
    """Parse a multipart body (RFC 2046, 5.1.1, "multipart-body")."""
    parts = 0
    yield from _read_data(source, delimiter, None, limits)  # the preamble
    closed = yield from _read_delimiter_end(source, None, limits)
    while not closed:
        parts += 1
        if parts > limits.max_members:
            raise LimitExceededError(
                "max_members", parts, limits.max_members, what="parts of a multipart body"
            )
        head = yield from _read_head(source, limits)
        data = _take_whole(source, delimiter)
        if data is None:
            yield _PartStart(head)
            yield from _read_data(source, delimiter, head, limits)
            closed = yield from _read_delimiter_end(source, head.name, limits)
            yield _MEMBER_END
        else:
            _check_size(len(data), head, limits)
            yield _WholePart(head, data)
            closed = yield from _read_delimiter_end(source, head.name, limits)
    yield from _skip_epilogue(source, strict=strict)


def _read_data(source: _Input, delimiter: bytes, head: _Head | None, limits: Limits) -> _Steps[None]:
    """Yield what comes before the delimiter, and read that as well; without a head, as the preamble."""
    what, member = ("the preamble", None) if head is None else ("a part", head.name)
    size = 0
    # So many bytes of a delimiter are what was read last. CR comes in it only once, at its beginning: if
    # what follows them does not match, they are data, and another delimiter can only begin behind them. At
    # the beginning it is the end of the line before, which may end a part without data; that is no data.
    matched, owed_from = 2, 2
    while matched < len(delimiter):
        if not (yield from source.more()):
            raise source.truncated(what, member)
        chunk, start = source.chunk, source.position
        owed = b""
        if matched:
            wanted = delimiter[matched : matched + len(chunk) - start]
            if chunk.startswith(wanted, start):
                matched += len(wanted)
                source.position += len(wanted)
                continue
            owed = delimiter[owed_from:matched]
        owed_from = 0
        end = chunk.find(delimiter, start)
        if end >= 0:
            matched = len(delimiter)
        else:
            end = _end_of_data(chunk, start, delimiter)
            matched = len(chunk) - end
        source.position = end + matched
        if head is not None:
            size += len(owed) + end - start
            _check_size(size, head, limits)
            if owed:
                yield MemberData(owed)
            if end > start:
                yield MemberData(chunk if end - start == len(chunk) else memoryview(chunk)[start:end])


def _end_of_data(chunk: bytes, start: int, delimiter: bytes) -> int:
    """Return where the last bytes of a chunk, if any, might begin a delimiter."""
    place = chunk.rfind(b"\r", max(start, len(chunk) - len(delimiter) + 1))
    return place if place >= 0 and delimiter.startswith(chunk[place:]) else len(chunk)


def _take_whole(source: _Input, delimiter: bytes) -> bytes | None:
    """Read a part's data and the delimiter if they lie whole, with its line, in what is there."""
    chunk, start = source.chunk, source.position
    if chunk.startswith(delimiter[2:], start):
        end, behind = start, start + len(delimiter) - 2  # the blank line's end was the delimiter's beginning
    else:
        end = chunk.find(delimiter, start)
        behind = end + len(delimiter)
    if end < 0 or not _DELIMITER_END.match(chunk, behind):
        return None
    source.position = behind
    return chunk[start:end]


def _read_delimiter_end(source: _Input, member: str | None, limits: Limits) -> _Steps[bool]:
    """Read the rest of a delimiter's line, behind the boundary; return whether it closes the body."""
    padding = 0
    rest = b""
    while not rest:
        piece = yield from source.some(_SLICE, "a delimiter", member)
        rest = piece.lstrip(b" \t")  # transport padding, which gateways add
        padding += len(piece) - len(rest)
        if padding > limits.max_header_size:
            raise LimitExceededError(
                "max_header_size", padding, limits.max_header_size, what="padding of a multipart delimiter"
            )
    source.position -= len(rest)
    offset = source.offset
    mark = yield from source.some(1, "a delimiter", member)
    if mark in b"-\r":
        mark += yield from source.some(1, "a delimiter", member)
    if mark == b"--" and not padding:
        return True  # nothing behind the dashes is needed to know it: a body may end here
    if mark != b"\r\n":
        what = "ends with LF alone, not CRLF" if mark == b"\n" else "goes on as no delimiter may"
        raise FormatError(
            f"a line begins with the boundary and {what}", codec="multipart", offset=offset, member=member
        )
    return False


def _read_head(source: _Input, limits: Limits) -> _Steps[_Head]:
    """Read the head of a part and the blank line behind it."""
    start = source.offset
    block = bytearray(b"\r\n")  # the end of the line before: so a head without fields ends as others do
    end = -1
    while end < 0:
        searched = max(0, len(block) - 3)
        block += yield from source.some(_SLICE, "the head of a part")
        end = block.find(b"\r\n\r\n", searched)
        head_end = len(block) if end < 0 else end + 4
        if head_end - 2 > limits.max_header_size:
            raise LimitExceededError(
                "max_header_size", head_end - 2, limits.max_header_size, what="head of a multipart part"
            )
        if bare := _BARE_LF.search(block, searched, head_end):
            # Told here, for there may be no blank line with CRLF, and all of the data be taken for headers.
            raise FormatError(
                "a header of a part ends with LF alone, not CRLF",
                codec="multipart",
                offset=start - 2 + bare.start(),
            )
    source.position -= len(block) - end - 4
    try:
        head = _Head(bytes(block[2:end]), source.offset)
    except ValueError as error:
        raise FormatError(str(error), codec="multipart", offset=start) from None
    _check_head(head, start, limits)
    return head


def _check_head(head: _Head, offset: int, limits: Limits) -> None:
    for name in (head.name, head.filename or ""):
        length = len(name.encode("utf-8", "surrogateescape"))
        if length > limits.max_name_length:
            raise LimitExceededError(
                "max_name_length",
                length,
                limits.max_name_length,
                what="name of a multipart part, or its file",
            )
    encoding = head.fields.get("content-transfer-encoding", "").lower()
    if encoding not in _IDENTITY:
        raise UnsupportedFormatError(
            f"a part with Content-Transfer-Encoding {encoding[:60]!r} cannot be decoded; send it as binary",
            codec="multipart",
            offset=offset,
            member=head.name,
        )


def _check_size(size: int, head: _Head, limits: Limits) -> None:
    if size > limits.max_member_size:
        raise LimitExceededError(
            "max_member_size", size, limits.max_member_size, what=f"size of multipart part {head.name!r}"
        )


def _skip_epilogue(source: _Input, *, strict: bool) -> _Steps[None]:
    """Read what stands behind the closing delimiter: padding, and behind a line end anything at all."""
    line_end = b""
    while strict and len(line_end) < 2 and (yield from source.more()):
        piece = line_end + source.chunk[source.position :]
        source.position = len(source.chunk)
        rest = piece.lstrip(b" \t")
        line_end = rest[:2]
        if not b"\r\n".startswith(line_end):
            raise FormatError(
                "data stands behind the closing delimiter; strict=False ignores it",
                codec="multipart",
                offset=source.offset - len(rest),
            )
    while (yield from source.more()):
        source.position = len(source.chunk)
