"""The push parser for tar: chunks in, members out, in one pass and without copying more than it hands out.

Almost every member of a training set is a plain file with a short ASCII name that lies whole in a chunk. That
path is straight-line code in `TarDecoder._parse`; everything else (extended headers, long names, odd types,
members larger than a chunk) leaves it for methods of its own.
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
from ._backends import adler32
from ._events import MemberData, MemberEnd
from ._tar_events import TarMemberStart, TarWholeMember
from ._tar_header import (
    BLOCK_SIZE,
    ZERO_BLOCK,
    Adler32Expectations,
    checksum_matches,
    decode_text,
    member_kind,
    parse_number,
    parse_pax_records,
    stored_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..limits import Limits
    from ._events import Buffer, Event

__all__ = ["TarDecoder"]

_FILE: Final = ord("0")
_OCTAL_DIGITS: Final = b"01234567"
_SPACE: Final = ord(" ")  # or a zero byte, which has none of its bits, ends a number
# A member of a few chunks is kept until it is whole: one event costs less, here and for whoever takes it,
# than an event for each part.
_KEPT_CHUNKS: Final = 4
_MAX_KEPT: Final = 262_144
# What a global record counts beyond its text. Members hold all of them, each in a mapping of its own where
# one differs: a megabyte of tiny records would make half a gigabyte out of a chunk of small members.
_GLOBAL_RECORD_COST: Final = 1024
# What tells a plain member: the name, the digits of the size and the byte behind them, the checksum, the
# typeflag, the first byte of the prefix. All in one call, which takes half the time of a slice for each.
_PLAIN_FIELDS: Final = Struct("100s 24x 11sB 12x 8sB 188x B 166x")

# Headers that speak about the next member (or, "g", about all that follow).
_PAX: Final = ord("x")
_PAX_GLOBAL: Final = ord("g")
_GNU_LONG_NAME: Final = ord("L")
_GNU_LONG_LINK: Final = ord("K")
_EXTENSIONS: Final = {
    _PAX: "PAX header",
    ord("X"): "PAX header",  # Solaris wrote them before POSIX chose the letter
    _PAX_GLOBAL: "global PAX header",
    _GNU_LONG_NAME: "GNU long name",
    _GNU_LONG_LINK: "GNU long link name",
}
# The others have none, whatever their size field says (POSIX allows a size on directories, as a quota).
_KINDS_WITH_DATA: Final = frozenset({"file", "other"})
# What can be said of one member only. Readers disagree on such global records, Go ignores them: what one
# takes for data would be a header for the other.
_NEVER_GLOBAL: Final = ("path", "linkpath", "size")
_UNSUPPORTED: Final = {
    ord("S"): "a sparse member (old GNU format)",
    ord("M"): "a member continued from another volume",
}


_MEMBER_END: Final = MemberEnd()
_NO_RECORDS: Final[Mapping[str, str]] = {}


class TarDecoder:
    """A push decoder for tar: ustar, PAX with global headers, GNU long names, base-256 numbers, and v7.

    Events carry, beyond `name` and `size`, the `offset` of the member's data in the input and the header's
    `kind, mode, mtime, linkname, uid, gid, uname, gname, typeflag` and `pax_headers`. Sparse members are
    refused as unsupported, never misread.

    After `feed`, iteration yields what became complete. Behind the events of what was sound it raises
    `FormatError`, `UnsupportedFormatError` or `LimitExceededError`; from then on every call raises the same.

    Args:
        limits: Bounds on what is accepted.
        strict: Whether the archive must end as the format says, with two zero blocks and nothing but zeros
            behind them. False accepts an end at a member's boundary, and anything behind the end.
    """

    decompresses = is_slow = False

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> None:
        self._limits = limits
        self._strict = strict
        self._expected = Adler32Expectations()
        self._events: Iterator[Event] = iter(())
        self._error: AsyncBatchError | None = None
        self._eof = False

        self._fed = 0  # bytes, of all chunks
        self._members = 0
        self._tail = b""  # the beginning of a header whose rest is in the next chunk
        self._name: str | None = None  # of the member that is open
        self._kept: TarWholeMember | None = None  # the same if it is kept, its data in parts
        self._parts: list[Buffer] = []
        self._open = 0  # bytes that the open member, or extended header, still lacks
        self._padding = 0  # bytes from there to the end of the block
        self._zero_blocks = 0  # in a row; two end the archive

        self._extension = 0  # typeflag of the extended header that is open
        self._extension_body = bytearray()
        self._extension_bytes = 0  # of all extended headers since the last member
        self._global: dict[str, str] = {}
        self._local: dict[str, str] = {}  # for the next member
        self._gnu_names: dict[str, str] = {}  # likewise; they win over PAX, as in Go
        # Whether the next header means just what it says. Lets the fast path ask one question.
        self._plain = self._plain_by_default = limits.max_name_length >= 100

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes of the archive.

        Raises:
            AsyncBatchError: what an earlier chunk brought about.
            UsageError: after `feed_eof`.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._eof:
            raise UsageError("feed() was called after feed_eof()")
        if type(chunk) is not bytes:
            chunk = memoryview(chunk).cast("B")
        events = [*self._events]  # none, unless a loop was left early
        fed, maximum = self._fed + len(chunk), self._limits.max_total_size
        try:
            self._parse(chunk if fed <= maximum else chunk[: maximum - self._fed], events)
            if fed > maximum:
                raise LimitExceededError("max_total_size", fed, maximum, what="tar archive")
        except AsyncBatchError as error:
            self._error = error
        self._events = iter(events)

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete; a loop that was left early is continued by the next one."""
        return self._events if self._error is None else self._then_raise(self._error)

    def _then_raise(self, error: AsyncBatchError) -> Iterator[Event]:
        yield from self._events
        raise error.with_traceback(None)

    @property
    def passable(self) -> int:
        """Bytes of the open member's data that may go past the decoder instead of being fed.

        At least its last byte is fed. Asked for when all events were taken.
        """
        if self._error is not None or self._kept is not None or self._extension:
            return 0
        return max(0, min(self._open - 1, self._limits.max_total_size - self._fed))

    def pass_by(self, size: int) -> None:
        """Tell that the next `size` bytes of the input, which are `passable`, will not be fed."""
        self._open -= size
        self._fed += size

    @property
    def at_end(self) -> bool:
        """Whether the zero blocks that end the archive have come: no member is behind them."""
        return self._zero_blocks == 2

    def feed_eof(self) -> None:
        """Say that the input has ended. What was not iterated over yet stays there.

        Raises:
            TruncatedArchiveError: unless the archive is whole.
            AsyncBatchError: what a chunk brought about.
        """
        self._eof = True
        if self._error is None and (reason := self._what_is_missing()):
            self._error = TruncatedArchiveError(reason, codec="tar", offset=self._fed, member=self._name)
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _what_is_missing(self) -> str | None:
        if self._zero_blocks == 2:
            return None
        if not self._fed:
            return "the input is empty"
        if self._open:
            what = "an extended header" if self._extension else "a member"
            return f"the input ends inside {what}, which lacks {self._open} bytes,"
        if self._tail:
            return "the input ends inside a header"
        if self._extension_bytes:
            return "the input ends between an extended header and its member"
        if self._strict:
            return "the input ends without the two zero blocks that close a tar"
        return None

    def _parse(self, chunk: bytes | memoryview, events: list[Event]) -> None:
        """Append the events of a chunk; those before a fault also when it raises."""
        limits = self._limits
        base = self._fed  # where chunk[0] stands in the input
        self._fed += len(chunk)
        position = 0
        if self._open or self._padding:
            position = self._continue_body(chunk, 0, events)
            if position == len(chunk):
                return
        if self._zero_blocks == 2:
            self._check_trailing(chunk, position, base)
            return
        if type(chunk) is not bytes:
            # A view dies with the next feed, but whole members are for keeps.
            base += position
            chunk, position = bytes(chunk[position:]), 0
        if self._tail:
            base -= len(self._tail)
            chunk, self._tail = self._tail + chunk, b""

        end = len(chunk)
        expected = self._expected
        append, unpack_fields = events.append, _PLAIN_FIELDS.unpack
        make, member_type, no_records = object.__new__, TarWholeMember, _NO_RECORDS
        max_member_size, more_members = limits.max_member_size, limits.max_members - self._members
        while (data_start := position + BLOCK_SIZE) <= end:
            block = chunk[position:data_start]
            # The plain member: sound checksum, a regular file, all ASCII, name and size in the usual form,
            # and nothing before it that would change them. The other branch makes the same tests in full.
            name_field, digits, digits_end, checksum, typeflag, prefix_start = unpack_fields(block)
            if (
                adler32(block) & 0xFFFF == expected[checksum]
                and self._plain
                and typeflag == _FILE
                and not prefix_start
                and block.isascii()
                and not digits_end & ~_SPACE
                and not digits.strip(_OCTAL_DIGITS)
            ):
                name = name_field.partition(b"\0")[0].decode()
                size = int(digits, 8)
                pax = no_records
            else:
                header = self._read_header(block, base + position)
                if header is None:
                    if self._zero_blocks == 2:
                        break
                    position = self._continue_body(chunk, data_start, events)
                    continue
                name, size, pax = header
            more_members -= 1
            if size > max_member_size or more_members < 0:
                raise self._too_much(name, size)
            data_end = data_start + size
            if data_end <= end:
                # As TarWholeMember(…), in two thirds of the time.
                member = make(member_type)
                member.name = name
                member.size = size
                member.data = chunk[data_start:data_end]
                member.offset = base + data_start
                member._block = block  # noqa: SLF001 - as in its constructor
                member._pax = pax  # noqa: SLF001
                append(member)
                position = data_end + (-size & 511)
            else:
                self._begin_cut(name, size, chunk, data_start, base, pax, events)
                break

        self._members = limits.max_members - more_members
        if not self._open:
            self._end_chunk(chunk, position, base)

    def _begin_cut(
        self,
        name: str,
        size: int,
        chunk: bytes,
        data_start: int,
        base: int,
        pax: Mapping[str, str],
        events: list[Event],
    ) -> None:
        """Begin a member that goes on behind the chunk."""
        end = len(chunk)
        block, offset = chunk[data_start - BLOCK_SIZE : data_start], base + data_start
        data = memoryview(chunk)[data_start:]
        self._name, self._open, self._padding = name, size - len(data), -size & 511
        if size <= _MAX_KEPT and size <= _KEPT_CHUNKS * end:
            self._kept = TarWholeMember(name, size, b"", offset, block, pax)
            self._parts.append(data)
        else:
            events.append(TarMemberStart(name, size, offset, block, pax))
            if data:
                events.append(MemberData(data))

    def _end_chunk(self, chunk: bytes, position: int, base: int) -> None:
        """Take note of what follows the last member that lies whole in the chunk."""
        if self._zero_blocks == 2:
            self._check_trailing(chunk, position, base)
        elif position > len(chunk):
            self._padding = position - len(chunk)
        else:
            self._tail = chunk[position:]

    def _continue_body(self, chunk: bytes | memoryview, position: int, events: list[Event]) -> int:
        """Go on with the open member or extended header and its padding; return where that ends."""
        end = len(chunk)
        left = self._open
        if left:
            stop = position + left
            if stop > end:
                self._open = stop - end
                self._take_piece(chunk if position == 0 else memoryview(chunk)[position:], events)
                return end
            self._open = 0
            piece = memoryview(chunk)[position:stop]
            position = stop
            if (kept := self._kept) is not None:
                parts = self._parts
                parts.append(piece)
                kept.data = b"".join(parts)
                parts.clear()
                events.append(kept)
                self._kept = None
            elif self._extension:
                self._extension_body += piece
                self._end_extension(self._fed - end + stop)
            else:
                events += (MemberData(piece), _MEMBER_END)
            self._name = None
        position += self._padding
        if position <= end:
            self._padding = 0
            return position
        self._padding = position - end
        return end

    def _take_piece(self, piece: Buffer, events: list[Event]) -> None:
        """Take in more of what is open, all of which is not there yet."""
        if self._extension:
            self._extension_body += piece
        elif self._kept is None:
            if piece:
                events.append(MemberData(piece))
        else:
            self._parts.append(
                piece if type(piece) is bytes else bytes(piece)
            )  # a view dies with the next feed

    def _check_trailing(self, chunk: bytes | memoryview, position: int, base: int) -> None:
        # Writers fill the last record with zeros (POSIX: 20 blocks), of any length.
        if self._strict and (garbage := bytes(chunk[position:]).lstrip(b"\0")):
            raise FormatError(
                "data stands behind the end of the archive; strict=False ignores it",
                codec="tar",
                offset=base + len(chunk) - len(garbage),
            )

    # -- everything that is not a plain member ------------------------------------------------------------

    def _read_header(self, block: bytes, offset: int) -> tuple[str, int, Mapping[str, str]] | None:
        """Read any header in full; None if it is not a member's."""
        self._plain = False
        if block == ZERO_BLOCK:
            self._zero_blocks += 1
            return None
        try:
            if not checksum_matches(block):
                if self._zero_blocks and not self._strict:
                    self._zero_blocks = 2  # a lone zero block was the end, and this is what follows an end
                    return None
                raise ValueError("the header's checksum does not match; the input is damaged, or no tar")
            if self._zero_blocks and self._strict:
                raise ValueError("a header follows a lone zero block")
            self._zero_blocks = 0
            size = parse_number(block[124:136])
            if size < 0:
                raise ValueError(f"the header's size is negative ({size})")
            if block[156] in _EXTENSIONS:
                self._start_extension(block[156], size, offset)
                return None
            return self._read_member(block, size, offset)
        except ValueError as error:
            raise FormatError(str(error), codec="tar", offset=offset) from None

    def _read_member(self, block: bytes, size: int, offset: int) -> tuple[str, int, Mapping[str, str]]:
        """Apply the extended headers to a member's own."""
        records = self._global
        if self._local or self._gnu_names:
            names = {key: name for key, name in self._gnu_names.items() if name}  # an empty one says nothing
            records = {**records, **self._local, **names}
        self._local, self._gnu_names, self._extension_bytes = {}, {}, 0
        self._plain = self._plain_by_default and not self._global

        name = records.get("path") or decode_text(stored_name(block))
        linkname = records.get("linkpath") or decode_text(block[157:257].partition(b"\0")[0])
        length = max(len(text.encode("utf-8", "surrogateescape")) for text in (name, linkname))
        if length > self._limits.max_name_length:
            raise LimitExceededError(
                "max_name_length", length, self._limits.max_name_length, what="name of a tar member, or link"
            )
        if block[156] in _UNSUPPORTED:
            raise _unsupported(_UNSUPPORTED[block[156]], offset, name)
        if member_kind(block[156], name) not in _KINDS_WITH_DATA:
            size = 0
        elif records.get("size"):
            size = int(records["size"])
        if records.get("SCHILY.realsize", str(size)) != str(size):
            raise _unsupported("a sparse member (star)", offset, name)
        return name, size, records

    def _too_much(self, name: str, size: int) -> LimitExceededError:
        limits = self._limits
        if size > limits.max_member_size:
            return LimitExceededError(
                "max_member_size", size, limits.max_member_size, what=f"size of tar member {name!r}"
            )
        maximum = limits.max_members
        return LimitExceededError("max_members", maximum + 1, maximum, what="members of a tar")

    def _start_extension(self, typeflag: int, size: int, offset: int) -> None:
        self._extension_bytes += BLOCK_SIZE + size
        total = self._extension_bytes
        if total > self._limits.max_header_size:
            raise LimitExceededError(
                "max_header_size", total, self._limits.max_header_size, what=_EXTENSIONS[typeflag]
            )
        self._extension, self._open, self._padding = typeflag, size, -size & 511
        if not size:
            self._end_extension(offset)

    def _end_extension(self, offset: int) -> None:
        """Take in the body of an extended header, whose end is at `offset`."""
        typeflag, body = self._extension, bytes(self._extension_body)
        self._extension = 0
        self._extension_body.clear()
        if typeflag == _GNU_LONG_NAME:
            self._gnu_names["path"] = decode_text(body.partition(b"\0")[0])
        elif typeflag == _GNU_LONG_LINK:
            self._gnu_names["linkpath"] = decode_text(body.partition(b"\0")[0])
        else:
            try:
                records = parse_pax_records(body)
            except ValueError as error:
                raise FormatError(str(error), codec="tar", offset=offset - len(body)) from None
            if any(key.startswith("GNU.sparse.") for key in records):
                name = records.get("GNU.sparse.name") or records.get("path")
                raise _unsupported("a sparse member (PAX)", offset - len(body), name)
            if typeflag == _PAX_GLOBAL:
                self._update_global(records, offset - len(body))
            else:
                self._local = records  # the last one counts, in GNU tar and in Go; POSIX allows only one

    def _update_global(self, records: dict[str, str], offset: int) -> None:
        for key in _NEVER_GLOBAL:
            if records.get(key):
                raise FormatError(
                    f"a global PAX record says {key!r}, which is for one member only",
                    codec="tar",
                    offset=offset,
                )
        self._global = {**self._global, **records}
        size = sum(len(key) + len(value) + _GLOBAL_RECORD_COST for key, value in self._global.items())
        if size > self._limits.max_header_size:
            raise LimitExceededError(
                "max_header_size", size, self._limits.max_header_size, what="global PAX records"
            )


def _unsupported(what: str, offset: int, member: str | None) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        f"{what} cannot be decoded; store it in full", codec="tar", offset=offset, member=member
    )
