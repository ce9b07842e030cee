"""The push parser for zip: chunks in, members out, and at the end everything held against the directory.

Almost every member of a batch is stored or deflated, has a short ASCII name and lies whole in a chunk. That
path is straight-line code in `_zip_plain`. Everything else goes through `_take_any`, which reads
a header in full and leaves the data to `_zip_body`; what follows the last member is for `_zip_directory`.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from ..errors import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from ..limits import DEFAULT_LIMITS
from ._decompress import MAX_OUTPUT, RATIO_FREE
from ._events import MemberData, MemberEnd, WholeMember
from ._input import ByteInput
from ._zip_body import read_body
from ._zip_directory import Delivered, read_directory
from ._zip_events import ZipMemberStart, ZipWholeMember
from ._zip_header import (
    CENTRAL_SIGNATURE,
    DESCRIPTOR_SIGNATURE,
    END_SIGNATURE,
    LOCAL_SIGNATURE,
    STORED,
    ZIP64_END_SIGNATURE,
    check_support,
    parse_local_header,
)
from ._zip_plain import PLAIN_EXTRA_SIZE, PlainReader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from ..limits import Limits
    from ._events import Buffer, Event
    from ._zip_events import ZipRecord
    from ._zip_header import ZipMember

__all__ = ["ZipDecoder"]

_LOCAL_SIZE: Final = 30
_LENGTHS: Final = Struct("<HH").unpack_from  # of name and extra fields, where a local header has them (4.3.7)
_LENGTHS_AT: Final = 26

_SPLIT_SIGNATURES: Final = (DESCRIPTOR_SIGNATURE, b"PK00")  # 8.5.3, 8.5.4

_DIRECTORY_SIGNATURES: Final = (CENTRAL_SIGNATURE, ZIP64_END_SIGNATURE, END_SIGNATURE)

# Less than this of a member, or than a few chunks, is kept until more of it comes: it is whole then, more
# often than not, and that costs less than an event for each part of it.
_KEPT: Final = 16_384
_KEPT_CHUNKS: Final = 4

_MEMBER_END: Final = MemberEnd()


class ZipDecoder:
    """A push decoder for zip archives: stored, deflate, bzip2, LZMA and zstd.

    Events carry, beyond `name` and `size`, the `offset` of the member's data in the input and, of its local
    header, `kind, mtime, raw_name, compress_method` and `crc`. A start's `size` and `crc` are None where only
    a descriptor behind the data tells them. Modes and links are told by the central directory alone, at the
    end: see `directory`.

    Each member is sound in itself, by size and CRC, when its end is told. That the archive *has* it is
    known at the end, when all members are held against the central directory; several of one name are
    delivered as they come. Encrypted members, split archives and other methods are refused as unsupported.

    After `feed`, iteration does the work, and decompresses no more than one step ahead of what it yields.
    Behind the events of what was sound it raises `FormatError`, `UnsupportedFormatError` or
    `LimitExceededError`; from then on every call raises the same.

    Args:
        limits: Bounds on what is accepted. `max_total_size` counts the archive's bytes and those that came
            out of compressed members; `max_ratio` holds for each member and for the archive.
        strict: Whether nothing but zeros may stand behind the end of the archive. False ignores what does.
        sizes: Bytes of each member, in the order of the archive, as far as they are known from elsewhere.
            They tell where a stored member with a descriptor ends; nothing in its data can then pretend to be
            its end. Members of another size raise.

    Raises:
        UsageError: if a size is negative.
    """

    def __init__(
        self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True, sizes: Sequence[int] | None = None
    ) -> None:
        if sizes and min(sizes) < 0:
            raise UsageError(f"sizes has a negative number in it ({min(sizes)})")
        self._limits = limits
        self._strict = strict
        self._sizes = sizes or ()
        self._events: Iterator[Event] = iter(())
        self._error: AsyncBatchError | None = None
        self._last_error: AsyncBatchError | None = None  # to be raised when nothing else is left to do
        self._eof = False
        self._idle = True  # nothing can be done until more is fed

        self._fed = 0  # bytes, of all chunks
        self._inflated = 0  # bytes that came out of compressed members
        self._chunk = b""  # what is to be parsed,
        self._position = 0  # from where on,
        self._base = 0  # and where in the input it begins
        self._kept = _KEPT  # bytes of a member that are not many

        # A large member, or the central directory, is read by a generator, from a source of its own.
        self._source = ByteInput("zip")
        self._steps: Generator[Buffer, None, None] | None = None
        self._member: ZipMember | None = None  # that is open
        self._head = b""
        self._start = 0

        self._delivered = Delivered()
        self._plain = PlainReader(self._delivered, self._sizes, strict=strict)
        self._directory: tuple[ZipRecord, ...] | None = None

    is_slow = False  # but for methods that are rare in zips

    @property
    def decompresses(self) -> bool:
        """Whether members are compressed, those that came so far."""
        return self._inflated > 0

    @property
    def directory(self) -> tuple[ZipRecord, ...] | None:
        """What the central directory says of each member, in the order of the events; None before its end."""
        delivered = self._delivered
        if self._directory is None and delivered.complete:
            self._directory = tuple(map(delivered.record, range(len(delivered.heads))))
        return self._directory

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes of the archive. They must not change until they were iterated over.

        Raises:
            AsyncBatchError: what an earlier chunk brought about.
            UsageError: after `feed_eof`.
        """
        self._raise_again()
        if self._eof:
            raise UsageError("feed() was called after feed_eof()")
        if type(chunk) is not bytes:
            chunk = memoryview(chunk).cast("B")
        fed, maximum = self._fed + len(chunk), self._limits.max_total_size
        if fed > maximum:
            chunk = chunk[: maximum - self._fed]
            self._last_error = LimitExceededError("max_total_size", fed, maximum, what="zip archive")
        self._fed += len(chunk)
        self._idle = False
        if self._steps is not None:
            self._source.append(chunk)
            self._chunk = b""  # the open member goes beyond it
            return
        if type(chunk) is not bytes:
            chunk = bytes(chunk)  # a view dies with the next feed, but whole members are for keeps
        rest = memoryview(self._chunk)[self._position :]
        self._kept = min(max(_KEPT, _KEPT_CHUNKS * len(chunk)), MAX_OUTPUT)
        self._base += self._position
        self._position = 0
        self._chunk = b"".join((rest, chunk)) if rest else chunk

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete; a loop that was left early is continued by the next one."""
        while True:
            yield from self._events
            if not self._advance():
                break
        self._raise_again()

    def feed_eof(self) -> None:
        """Say that the input has ended.

        If all that was fed was iterated over, the end is judged here and now; a last member may come out of
        that still. Otherwise nothing is judged yet: iterating yields the rest, and then raises if the archive
        is not whole.

        Raises:
            TruncatedArchiveError: unless the archive is whole.
            AsyncBatchError: what a chunk brought about.
        """
        self._raise_again()
        self._eof = True
        if self._idle and self._steps is None:
            self._read_kept()
        elif self._idle:
            self._judge_end()
        self._raise_again()

    def _read_kept(self) -> None:
        """Read what was kept for more of it to come, and judge the end."""
        pending = [*self._events]
        self._kept, self._idle = 0, False
        events: list[Event] = []
        while self._advance():
            events += self._events
        # Of a member that is not whole there is nothing to be said.
        while events and not isinstance(events[-1], WholeMember | MemberEnd):
            events.pop()
        self._events = iter(pending + events)

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _advance(self) -> bool:
        """Work until there are events; False if there is nothing left to do."""
        events: list[Event] = []
        while not (events or self._idle or self._error):
            try:
                if self._steps is None:
                    self._parse(events)
                else:
                    self._go_on(self._steps, events)
            except AsyncBatchError as error:
                self._fail(error)
        if self._idle and self._error is None:
            if self._last_error is not None and not events:
                self._error = self._last_error
            elif self._eof:
                self._judge_end()
        self._events = iter(events)
        return bool(events)

    def _fail(self, error: AsyncBatchError) -> None:
        if isinstance(error, FormatError) and error.member is None and self._member is not None:
            cause = error.__cause__
            error = type(error)(error.reason, codec="zip", offset=error.offset, member=self._member.name)
            error.__cause__ = cause
        self._error = error
        self._steps = None
        self._source.clear()

    def _judge_end(self) -> None:
        try:
            if self._steps is not None:
                self._source.ended = True
                next(self._steps, None)  # raises, unless it is the directory's and at its end
                return
            if not self._fed:
                what = "the input is empty"
            elif len(self._chunk) - self._position < _LOCAL_SIZE:
                what = "the input ends inside a header, or before the central directory"
            else:
                what = "the input ends inside a member, cut or damaged,"
            raise TruncatedArchiveError(what, codec="zip", offset=self._fed)
        except AsyncBatchError as error:
            self._fail(error)

    # -- members ------------------------------------------------------------------------------------------

    def _parse(self, events: list[Event]) -> None:
        """Append the events of members that are whole, up to the first that is not, or not plain."""
        limits, size, plain = self._limits, len(self._chunk), self._plain
        if (
            len(self._delivered.heads) + size // _LOCAL_SIZE <= limits.max_members
            and max(size, MAX_OUTPUT) <= limits.max_member_size
            and limits.max_name_length >= 0xFFFF
            and limits.max_header_size >= PLAIN_EXTRA_SIZE
        ):
            self._position = plain.take(self._chunk, self._position, self._base, self._kept, events)
            self._count_inflated(plain.inflated)
            self._idle = plain.is_cut
            if plain.is_cut or plain.inflated >= MAX_OUTPUT:
                return  # that is all, or one step's worth
        self._take_any(self._chunk, events)

    def _take_any(self, chunk: bytes, events: list[Event]) -> None:
        """Take one member, whatever it is, or begin it; or begin the central directory."""
        self._member = None  # one that was begun, and kept, may have become plain since
        position = self._position
        start = self._base + position
        signature = chunk[position : position + 4]
        if signature in _DIRECTORY_SIGNATURES:
            self._hand_over(chunk, position)
            self._steps = read_directory(self._source, self._delivered, self._limits, strict=self._strict)
            self._chunk, self._position = b"", 0
            return
        if len(signature) == 4 and signature != LOCAL_SIGNATURE:
            raise _no_header(signature, start)
        head = self._whole_head(chunk, position)
        if head is None:
            self._idle = True
            return
        member = self._read_head(head, start)
        whole = None if member.packed is None else len(head) + member.packed
        if whole is not None and len(chunk) - position < whole <= self._kept:
            self._idle = True
            return
        offset = start + len(head)
        self._member, self._head, self._start = member, head, start
        crc, size = member.crc, member.size
        self._hand_over(chunk, position + len(head))
        steps = read_body(self._source, member, self._limits, searched=self._plain.searched - offset)
        most = len(chunk) if member.method == STORED else MAX_OUTPUT
        pieces: list[Buffer] = []
        produced = 0
        for piece in steps:
            pieces.append(piece)
            produced += len(piece)
            if not piece or produced > most:
                break
        else:
            self._position = self._source.offset - self._base
            self._count_inflated(0 if member.method == STORED else produced)
            data = b"".join(pieces)
            events.append(ZipWholeMember(member.name, len(data), data, offset, member.crc or 0, head))
            self._end_member()
            return
        if not pieces[-1] and len(chunk) - position <= self._kept and (whole is None or whole <= self._kept):
            self._idle = True  # its descriptor is not all there, or it is not known how long it is
            return
        events.append(ZipMemberStart(member.name, size, offset, crc, head))
        events.extend(MemberData(piece) for piece in pieces if piece)
        self._count_inflated(0 if member.method == STORED else produced)
        self._steps = steps

    def _hand_over(self, chunk: bytes, position: int) -> None:
        """Make the source read from `position` on."""
        self._source.clear()
        self._source.offset = self._base + position
        self._source.append(memoryview(chunk)[position:])

    def _go_on(self, steps: Generator[Buffer, None, None], events: list[Event]) -> None:
        """Read one more piece of the member, or the directory, that is open."""
        piece = next(steps, None)
        if piece is None:
            source = self._source
            self._steps = None
            if self._chunk:  # the member lay in it, and the next one does
                self._position = source.offset - self._base
                source.clear()
            else:
                self._chunk = bytes(source.take_all())
                self._base, self._position = source.offset - len(self._chunk), 0
            events.append(_MEMBER_END)
            self._end_member()
        elif piece:
            events.append(MemberData(piece))
            if self._member is not None and self._member.method != STORED:
                self._count_inflated(len(piece))
        else:
            self._idle = True

    def _whole_head(self, chunk: bytes, position: int) -> bytes | None:
        """Return the local header, with name and extra fields; None if it is not all there."""
        if len(chunk) - position < _LOCAL_SIZE:
            return None
        name_size, extra_size = _LENGTHS(chunk, position + _LENGTHS_AT)
        for limit, value, what in (
            ("max_name_length", name_size, "name of a zip member"),
            ("max_header_size", extra_size, "extra fields of a zip member"),
        ):
            maximum = getattr(self._limits, limit)
            if value > maximum:
                raise LimitExceededError(limit, value, maximum, what=what)
        end = position + _LOCAL_SIZE + name_size + extra_size
        return chunk[position:end] if end <= len(chunk) else None

    def _read_head(self, head: bytes, start: int) -> ZipMember:
        """Read a local header in full, and hold it against the limits and what the caller knows."""
        prefix = head[:10]
        if unsupported := check_support(prefix):
            raise UnsupportedFormatError(
                f"{unsupported} cannot be decoded", codec="zip", offset=start, member=_shown_name(head)
            )
        index, sizes, limits = len(self._delivered.heads), self._sizes, self._limits
        try:
            member = parse_local_header(head)
            if index < len(sizes):
                if member.size not in {None, sizes[index]}:
                    raise ValueError(f"the header says {member.size} bytes, the caller {sizes[index]}")
                member.size = sizes[index]
                if member.method == STORED:
                    member.packed = member.size
        except ValueError as error:
            raise FormatError(str(error), codec="zip", offset=start, member=_shown_name(head)) from None
        if index >= limits.max_members:
            raise LimitExceededError("max_members", index + 1, limits.max_members, what="members of a zip")
        if member.size is not None and member.size > limits.max_member_size:
            raise LimitExceededError(
                "max_member_size",
                member.size,
                limits.max_member_size,
                what=f"size of zip member {member.name!r}",
            )
        self._plain.learn(prefix, member)
        return member

    def _end_member(self) -> None:
        """Take down the member whose data was read."""
        assert self._member is not None  # noqa: S101 - the directory ends with the input
        name_end = _LOCAL_SIZE + int.from_bytes(self._head[26:28], "little")
        self._delivered.add(self._head[:name_end], self._start, self._member)
        self._member = None

    def _count_inflated(self, size: int) -> None:
        if not size:
            return
        self._inflated += size
        total, limits = self._fed + self._inflated, self._limits
        if total > limits.max_total_size:
            raise LimitExceededError("max_total_size", total, limits.max_total_size, what="zip archive")
        if self._inflated >= RATIO_FREE and self._inflated > self._fed * limits.max_ratio:
            ratio = self._inflated / self._fed
            raise LimitExceededError(
                "max_ratio", ratio, limits.max_ratio, what="compression ratio of a zip archive"
            )


def _shown_name(head: bytes) -> str:
    """Return a header's name for an error, whatever is wrong with it."""
    name_end = _LOCAL_SIZE + int.from_bytes(head[26:28], "little")
    return head[_LOCAL_SIZE:name_end].decode("utf-8", "backslashreplace")


def _no_header(signature: bytes, offset: int) -> FormatError:
    if offset:
        reason = f"no zip header begins with {signature.hex(' ')}"
    elif signature in _SPLIT_SIGNATURES:
        return UnsupportedFormatError(
            "a split archive cannot be decoded; join its parts", codec="zip", offset=0
        )
    else:
        reason = f"this is no zip, or one with something in front of it: it begins with {signature.hex(' ')}"
    return FormatError(reason, codec="zip", offset=offset)
