"""The central directory of a zip, held against what was delivered.

A streamed zip is read by its local headers, and everybody else reads it by its central directory. Two that
differ are an attack, or damage: here they raise.
"""

from __future__ import annotations

import re
from array import array
from struct import Struct
from typing import TYPE_CHECKING, Final

from ..errors import FormatError, LimitExceededError
from ._zip_events import ZipRecord, kind_and_mode
from ._zip_header import (
    CENTRAL_SIGNATURE,
    DEFLATED,
    END_SIGNATURE,
    LOCATOR_SIGNATURE,
    MAX_32,
    ZIP64,
    ZIP64_END_SIGNATURE,
    apply_zip64,
    decode_name,
    parse_extra,
)

if TYPE_CHECKING:
    from ..limits import Limits
    from ._input import ByteInput, Steps
    from ._zip_header import ZipMember

__all__ = ["Delivered", "read_directory"]

_HEADER_SIZE: Final = 46
# 4.3.12. As the fast path wants it: signature and origin; version to name length; lengths of extra field and
# comment, and disk; external attributes; offset of the local header.
_FAST: Final = Struct("<6s24s6s2xLL").unpack_from
# And in full: flags, method, time, CRC-32, sizes, lengths, disk, attributes, offset.
_FULL: Final = Struct("<8xHHLLLLHHHH2xLL").unpack_from
_KEY: Final = Struct("<2xHHLLLLH").unpack_from  # the same, of a local header
_PLAIN: Final = bytes(4)  # no comment, and the first disk

_UNIX_SYSTEMS: Final = frozenset({3, 19})  # 4.4.2.2: UNIX, and OS X (Darwin): attributes hold st_mode above

# Bits 1 and 2 tell how hard a deflater tried (4.4.4); writers differ in whether both headers say so.
_EFFORT: Final = 0x0006

_END: Final = Struct("<4xHHHHLLH").unpack  # 4.3.16
_ZIP64_END: Final = Struct("<4xQ2x2xLLQQQQ").unpack  # 4.3.14
_ZIP64_END_SIZE: Final = 56
_LOCATOR: Final = Struct("<4sLQL").unpack  # 4.3.15

# A zip inside the comment of a zip holds one of these; to readers that look for the end from behind, it is
# the archive.
_COMMENT_CONTROL: Final = re.compile(rb"[\x01-\x08]").search


class Delivered:
    """What was delivered, to hold the central directory against it: some 100 bytes a member.

    Attributes:
        heads: Of each member its local header up to the end of the name, with the sizes and the CRC that its
            data turned out to have; `MAX_32` for sizes that need more.
        offsets: Where each local header began.
        large: By position, compressed size and size of those that need more than 32 bits.
        names: By position, the names that are not just the header's decoded.
        attributes: Of each member `st_mode`, or 0; -1 as long as the directory did not name it.
        complete: Whether the central directory was read and agreed.
    """

    __slots__ = ("_by_offset", "attributes", "complete", "heads", "large", "names", "offsets")

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.offsets: list[int] = []
        self.large: dict[int, tuple[int, int]] = {}
        self.names: dict[int, str] = {}
        self.attributes = array("l")
        self.complete = False
        self._by_offset: dict[int, int] = {}

    def add(self, head: bytes, offset: int, member: ZipMember) -> None:
        """Take down a member whose data was read.

        Args:
            head: Its local header, up to the end of the name.
            offset: Where that began.
            member: What is known of it.
        """
        crc, packed, size = member.crc or 0, member.packed or 0, member.size or 0
        if max(packed, size) >= MAX_32:
            self.large[len(self.heads)] = packed, size
        if member.renamed:
            self.names[len(self.heads)] = member.name
        numbers = [min(number, MAX_32).to_bytes(4, "little") for number in (crc, packed, size)]
        self.heads.append(b"".join((head[:14], *numbers, head[26:])))
        self.offsets.append(offset)

    def index_of(self, offset: int) -> int | None:
        """Return which member's local header began at `offset`, of those that were not named yet."""
        if not self._by_offset:
            self._by_offset = {known: index for index, known in enumerate(self.offsets)}
            self.attributes.extend([-1] * (len(self.offsets) - len(self.attributes)))
        index = self._by_offset.get(offset)
        return None if index is None or self.attributes[index] != -1 else index

    def sizes(self, index: int) -> tuple[int, int, int]:
        """Return CRC-32, compressed size and size of a member."""
        _, _, _, crc, packed, size, _ = _KEY(self.heads[index], 4)
        return crc, *self.large.get(index, (packed, size))

    def name(self, index: int) -> str:
        """Return the name of a member."""
        flags, *_ = _KEY(self.heads[index], 4)
        return self.names.get(index) or decode_name(self.heads[index][30:], flags, {})

    def record(self, index: int) -> ZipRecord:
        """Return what is known of a member, when the directory was read."""
        head, name = self.heads[index], self.name(index)
        _, method, *_ = _KEY(head, 4)
        crc, packed, size = self.sizes(index)
        kind, mode = kind_and_mode(name, self.attributes[index])
        return ZipRecord(name, head[30:], size, packed, crc, method, self.offsets[index], mode, kind)


def read_directory(source: ByteInput, delivered: Delivered, limits: Limits, *, strict: bool) -> Steps[None]:
    """Read everything behind the last member, to the end of the input.

    Raises:
        FormatError: if it contradicts what was delivered, or itself.
    """
    start = source.offset
    yield from _read_records(source, delivered, limits)
    end = source.offset
    count = len(delivered.heads)
    signature = yield from source.exactly(4, "the central directory")
    facts = {"entries": count, "size": end - start, "offset": start}
    is_zip64 = signature == ZIP64_END_SIGNATURE
    if is_zip64:
        yield from _read_zip64_end(source, facts)
        signature = yield from source.exactly(4, "the end of central directory record")
    if signature != END_SIGNATURE:
        raise source.malformed(
            f"neither a header nor the end of the central directory begins with {signature.hex(' ')}",
            source.offset - 4,
        )
    yield from _read_end(source, facts, is_zip64=is_zip64)
    _check_duplicates(source, delivered)
    delivered.complete = True
    while (yield from source.more()):
        # Zeros are padding: bsdtar fills its last block, when it writes into a pipe.
        garbage = bytes(source.take_all()).lstrip(b"\0")
        if strict and garbage:
            raise source.malformed(
                "data stands behind the end of the archive; strict=False ignores it",
                source.offset - len(garbage),
            )


# -- headers ----------------------------------------------------------------------------------------------


def _read_records(source: ByteInput, delivered: Delivered, limits: Limits) -> Steps[None]:
    held = b""
    index = 0
    while True:
        if not (yield from source.more()):
            raise source.truncated("the central directory")
        window = b"".join((held, source.take_all()))
        base = source.offset - len(window)
        position, index = _check_plain(window, delivered, index)
        while True:
            after = _check_record(window, position, base, delivered, index, limits)
            if after is None:
                break
            position, index = _check_plain(window, delivered, index + 1, after)
        held = window[position:]
        if len(held) >= 4 and not held.startswith(CENTRAL_SIGNATURE):
            source.unread(held)
            if index < len(delivered.heads):
                missing = next(i for i in range(len(delivered.heads)) if _is_unnamed(delivered, i))
                raise FormatError(
                    "the central directory does not have this member, which was in the archive",
                    codec=source.codec,
                    offset=source.offset,
                    member=delivered.name(missing),
                )
            return


def _is_unnamed(delivered: Delivered, index: int) -> bool:
    return index >= len(delivered.attributes) or delivered.attributes[index] == -1


def _check_plain(window: bytes, delivered: Delivered, index: int, position: int = 0) -> tuple[int, int]:
    """Check headers for as long as they say what the local ones did, in the same order, and nothing else.

    Returns:
        Where the first one begins that does not, or is not whole, and its number.
    """
    attributes = delivered.attributes
    first = window[position : position + _HEADER_SIZE]
    if len(attributes) != index or delivered.large or delivered.names or len(first) < _HEADER_SIZE:
        return position, index
    # Timestamps (0x5455) are the one extra field that many archives have throughout.
    lengths = first[30:36]
    extra_size = lengths[0] | lengths[1] << 8
    mark = b"UT" + (max(extra_size, 4) - 4).to_bytes(2, "little")
    origin = first[:6]
    if not origin.startswith(CENTRAL_SIGNATURE) or lengths[2:] != _PLAIN or 0 < extra_size < len(mark):
        return position, index
    shift = 16 if origin[5] in _UNIX_SYSTEMS else 32
    append = attributes.append
    size = len(window)
    most = index + size // _HEADER_SIZE
    for head, offset in zip(delivered.heads[index:most], delivered.offsets[index:most], strict=True):
        if position + _HEADER_SIZE > size:
            break
        found, key, found_lengths, external, found_offset = _FAST(window, position)
        end = position + 16 + len(head)
        if (
            key != head[4:28]
            or window[position + _HEADER_SIZE : end] != head[30:]
            or found_lengths != lengths
            or found != origin
            or found_offset != offset
        ):
            break
        if extra_size:
            if window[end : end + 4] != mark or end + extra_size > size:
                break
            end += extra_size
        append(external >> shift)
        position = end
    return position, len(attributes)


def _check_record(
    window: bytes, position: int, base: int, delivered: Delivered, index: int, limits: Limits
) -> int | None:
    """Check any header, at `position`; return where it ends, or None if it is none, or not whole."""
    if len(window) - position < _HEADER_SIZE or not window.startswith(CENTRAL_SIGNATURE, position):
        return None
    flags, method, time, crc, packed, size, name_size, extra_size, comment_size, disk, external, offset = (
        _FULL(window, position)
    )
    name_end = position + _HEADER_SIZE + name_size
    end: int = name_end + extra_size + comment_size
    if extra_size > limits.max_header_size:
        raise LimitExceededError(
            "max_header_size", extra_size, limits.max_header_size, what="extra fields in a central directory"
        )
    if end > len(window):
        return None
    raw_name = window[name_end - name_size : name_end]
    name = None
    try:
        extra = parse_extra(window[name_end : name_end + extra_size])
        size, packed, offset, disk = apply_zip64(extra.get(ZIP64), size, packed, offset, disk)
        name = decode_name(raw_name, flags, extra)
        which = _find(delivered, index, offset)
        local_flags, local_method, local_time, *_ = _KEY(delivered.heads[which], 4)
        local_name = delivered.names.get(which)
        facts = [
            ("name", raw_name, delivered.heads[which][30:]),
            ("Unicode name", name, name if local_name is None else local_name),
            ("flags", flags, local_flags),
            ("method", method, local_method),
            ("time", time, local_time),
        ]
        facts += zip(
            ("CRC-32", "compressed size", "size"), (crc, packed, size), delivered.sizes(which), strict=True
        )
        if method == DEFLATED:
            facts[2] = ("flags", flags & ~_EFFORT, local_flags & ~_EFFORT)
        if local_name is None:
            facts[1] = ("Unicode name", name, decode_name(raw_name, flags, {}))
        for what, central, local in facts:
            if central != local:
                raise ValueError(f"the central directory says {what} {central!r}, and what came {local!r}")
        if disk:
            raise ValueError(f"the central directory says that a member is on disk {disk}")
    except ValueError as error:
        raise FormatError(str(error), codec="zip", offset=base + position, member=name) from None
    attributes = external >> 16 if window[position + 5] in _UNIX_SYSTEMS else 0
    if which == len(delivered.attributes):
        delivered.attributes.append(attributes)
    else:
        delivered.attributes[which] = attributes
    return end


def _find(delivered: Delivered, index: int, offset: int) -> int:
    """Return the position of the member whose local header is at `offset`: most likely `index`."""
    if (
        index < len(delivered.offsets)
        and offset == delivered.offsets[index]
        and index == len(delivered.attributes)
    ):
        return index
    which = delivered.index_of(offset)
    if which is None:
        raise ValueError(
            f"the central directory has a member at byte {offset}, where none was delivered, or twice"
        )
    return which


def _check_duplicates(source: ByteInput, delivered: Delivered) -> None:
    """Refuse members of one name that differ in their modes: which one counts, readers do not agree about.

    Several members of one name are what a batch is that asks for several ranges of an object.
    """
    if len(set(delivered.attributes)) < 2:
        return
    modes: dict[bytes, int] = {}
    for head, mode in zip(delivered.heads, delivered.attributes, strict=True):
        if modes.setdefault(head[30:], mode) != mode:
            raise source.malformed(f"two members named {head[30:]!r} have different modes", source.offset)


# -- the end ----------------------------------------------------------------------------------------------


def _agree(source: ByteInput, what: str, stated: int, found: int) -> None:
    if stated != found:
        raise source.malformed(
            f"the end of central directory record says {what} {stated}, which is {found}", source.offset
        )


def _read_zip64_end(source: ByteInput, facts: dict[str, int]) -> Steps[None]:
    """Read the ZIP64 end record and its locator, behind the signature of the former (4.3.14, 4.3.15)."""
    start = source.offset - 4
    record = yield from source.exactly(_ZIP64_END_SIZE - 4, "the ZIP64 end of central directory record")
    size, disk, directory_disk, entries_here, entries, directory_size, offset = _ZIP64_END(bytes(4) + record)
    if size != _ZIP64_END_SIZE - 12:
        # 4.3.14.2 lets writers add data to it, for encryption among others. Readers go different ways there.
        raise source.unsupported(f"a ZIP64 end of central directory record of {size} bytes", start)
    _agree(source, "disk", disk, 0)
    _agree(source, "disk of the central directory", directory_disk, 0)
    _agree(source, "entries on this disk", entries_here, facts["entries"])
    _agree(source, "entries", entries, facts["entries"])
    _agree(source, "size", directory_size, facts["size"])
    _agree(source, "offset", offset, facts["offset"])
    locator = yield from source.exactly(20, "the ZIP64 end of central directory locator")
    signature, disk, offset, disks = _LOCATOR(locator)
    if signature != LOCATOR_SIGNATURE:
        raise source.malformed("the ZIP64 end of central directory locator is missing", source.offset - 20)
    _agree(source, "disk of the ZIP64 record", disk, 0)
    _agree(source, "offset of the ZIP64 record", offset, start)
    _agree(source, "disks (one at most)", max(disks, 1), 1)  # some writers say 0


def _read_end(source: ByteInput, facts: dict[str, int], *, is_zip64: bool) -> Steps[None]:
    """Read the end record, behind its signature, and the comment (4.3.16)."""
    record = yield from source.exactly(18, "the end of central directory record")
    disk, directory_disk, entries_here, entries, size, offset, comment_size = _END(bytes(4) + record)
    for what, stated, found, most in (
        ("disk", disk, 0, 0xFFFF),
        ("disk of the central directory", directory_disk, 0, 0xFFFF),
        ("entries on this disk", entries_here, facts["entries"], 0xFFFF),
        ("entries", entries, facts["entries"], 0xFFFF),
        ("size", size, facts["size"], MAX_32),
        ("offset", offset, facts["offset"], MAX_32),
    ):
        if not (is_zip64 and stated == most):  # 4.4.1.4: then the ZIP64 record says it
            _agree(source, what, stated, found)
    comment = yield from source.exactly(comment_size, "the archive's comment")
    if control := _COMMENT_CONTROL(comment):
        raise source.malformed(
            f"the archive's comment has the byte {control.group()!r} in it, as if it were an archive itself",
            source.offset - comment_size + control.start(),
        )
