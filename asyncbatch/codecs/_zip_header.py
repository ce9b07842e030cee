"""Zip headers as pure functions: signatures, flags, methods, extra fields, names and times.

Source: PKWARE's APPNOTE.TXT 6.3.10, cited by section. What may be refused was held against the streamed
unzip of the `uv` installer. Functions raise `ValueError` with the reason; the decoder adds the place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from struct import Struct
from typing import TYPE_CHECKING, Final

from ._backends import crc32
from ._tar_header import decode_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BZIP2",
    "CENTRAL_SIGNATURE",
    "DEFLATED",
    "DESCRIPTOR_SIGNATURE",
    "END_SIGNATURE",
    "EXTENDED_TIME",
    "HAS_DESCRIPTOR",
    "IS_UTF8",
    "LOCAL_SIGNATURE",
    "LOCATOR_SIGNATURE",
    "LZMA",
    "LZMA_ENDS_ITSELF",
    "MAX_32",
    "METHODS",
    "NEXT_SIGNATURES",
    "STORED",
    "ZIP64",
    "ZIP64_END_SIGNATURE",
    "ZSTD",
    "ZipMember",
    "apply_zip64",
    "check_support",
    "decode_name",
    "descriptor_forms",
    "parse_dos_time",
    "parse_extended_time",
    "parse_extra",
    "parse_local_header",
]

LOCAL_SIGNATURE: Final = b"PK\x03\x04"  # 4.3.7
DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"  # 4.3.9.3; at the very beginning it marks a split archive (8.5.3)
CENTRAL_SIGNATURE: Final = b"PK\x01\x02"  # 4.3.12
ZIP64_END_SIGNATURE: Final = b"PK\x06\x06"  # 4.3.14
LOCATOR_SIGNATURE: Final = b"PK\x06\x07"  # 4.3.15
END_SIGNATURE: Final = b"PK\x05\x06"  # 4.3.16

NEXT_SIGNATURES: Final = (LOCAL_SIGNATURE, CENTRAL_SIGNATURE)
"""What may follow a member."""

# Compression methods (4.4.5).
STORED: Final = 0
DEFLATED: Final = 8
BZIP2: Final = 12
LZMA: Final = 14
ZSTD: Final = 93
METHODS: Final = frozenset({STORED, DEFLATED, BZIP2, LZMA, ZSTD})
_OTHER_METHODS: Final = {
    1: "shrunk",
    2: "reduced",
    3: "reduced",
    4: "reduced",
    5: "reduced",
    6: "imploded",
    9: "deflate64",
    10: "imploded (PKWARE DCL)",
    16: "IBM z/OS CMPSC",
    18: "IBM TERSE",
    19: "IBM LZ77",
    20: "zstd (the number before 93)",
    94: "MP3",
    95: "xz",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
}
_AES: Final = 99  # stands in place of the method of what was encrypted (appendix E)

# General purpose bit flag (4.4.4).
_IS_ENCRYPTED: Final = 0x0001
LZMA_ENDS_ITSELF: Final = 0x0002
HAS_DESCRIPTOR: Final = 0x0008
_IS_PATCH: Final = 0x0020
_STRONG_ENCRYPTION: Final = 0x0040
IS_UTF8: Final = 0x0800
_IS_MASKED: Final = 0x2000
# Bit 0 is set with every one of them, and last here: the more exact word is the better one.
_UNSUPPORTED_FLAGS: Final = {
    _STRONG_ENCRYPTION: "a member with strong encryption",
    _IS_MASKED: "a member whose header is masked by an encrypted central directory",
    _IS_ENCRYPTED: "an encrypted member",
    _IS_PATCH: "a member that is a patch of another file",
}

_MAX_VERSION: Final = 63  # of the specification, times ten (4.4.3)

MAX_32: Final = 0xFFFF_FFFF
_MAX_16: Final = 0xFFFF

# Extra fields (4.5.2, 4.6.1).
ZIP64: Final = 0x0001
EXTENDED_TIME: Final = 0x5455
_UNICODE_PATH: Final = 0x7075

# Uncompressed size, compressed size, header offset, disk (4.5.3): width, and what says "look in ZIP64".
_ZIP64_FIELDS: Final = ((8, MAX_32), (8, MAX_32), (8, MAX_32), (4, _MAX_16))

_LOCAL: Final = Struct("<6xHH4xLLLH2x").unpack_from
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search  # Unicode's category Cc


@dataclass(slots=True)
class ZipMember:
    """What is known of a member: what its local header says (4.3.7), and all of it when its data was read.

    Attributes:
        name: Decoded.
        renamed: Whether an extra field has another name than the header.
        flags: General purpose bit flag.
        method: Compression method, one of `METHODS`.
        crc: CRC-32 of the data; None as long as only a descriptor tells.
        packed: Bytes of compressed data; None likewise.
        size: Bytes of data; None likewise.
    """

    name: str
    renamed: bool
    flags: int
    method: int
    crc: int | None
    packed: int | None
    size: int | None


def parse_local_header(head: bytes) -> ZipMember:
    """Read a local header, which `check_support` let pass.

    Args:
        head: All of it, with name and extra fields.

    Raises:
        ValueError: with the reason.
    """
    flags, method, crc, packed, size, name_size = _LOCAL(head)
    raw_name = head[30 : 30 + name_size]
    extra = parse_extra(head[30 + name_size :])
    name = decode_name(raw_name, flags, extra)
    renamed = _UNICODE_PATH in extra and name != decode_name(raw_name, flags, {})
    size, packed = apply_zip64(extra.get(ZIP64), size, packed)
    member = ZipMember(name, renamed, flags, method, crc, packed, size)
    if flags & HAS_DESCRIPTOR:
        # 4.4.4, bit 3: the three are zero, and their values follow the data. A writer that knew them before
        # and wrote them as well is held to them.
        member.crc, member.packed, member.size = crc or None, packed or None, size or None
    if name.endswith("/"):
        if size:
            raise ValueError(f"a directory with {size} bytes of data")
        member.size = 0
    if method == STORED:
        if None not in {member.packed, member.size} and member.packed != member.size:
            raise ValueError(f"a stored member's two sizes differ: {packed} and {size}")
        member.size = member.packed = member.packed if member.size is None else member.size
    return member


def check_support(prefix: bytes) -> str | None:
    """Tell what about a member is not supported, if anything.

    Args:
        prefix: The first ten bytes of its local header: signature, version, flags, method.
    """
    version, flags, method = prefix[4], prefix[6] | prefix[7] << 8, prefix[8] | prefix[9] << 8
    for flag, what in _UNSUPPORTED_FLAGS.items():
        if flags & flag:
            return what
    if method == _AES:
        return "a member encrypted with AES"
    if method not in METHODS:
        return f"a member compressed by method {method} ({_OTHER_METHODS.get(method, 'unknown')})"
    if version > _MAX_VERSION:  # the high byte is the system's (4.4.3), as some writers have it
        return f"a member that needs version {version / 10} of the format"
    return None


def parse_extra(extra: bytes) -> dict[int, bytes]:
    """Split extra fields (4.5.1). What is too short for a field, as padding is, is left alone."""
    fields: dict[int, bytes] = {}
    position, end = 0, len(extra)
    while position + 4 <= end:
        number = extra[position] | extra[position + 1] << 8
        start = position + 4
        position = start + (extra[position + 2] | extra[position + 3] << 8)
        if position > end:
            raise ValueError(f"extra field {number:#06x} is longer than what is there")
        if number in fields:
            raise ValueError(f"extra field {number:#06x} stands there twice")
        fields[number] = extra[start:position]
    return fields


def apply_zip64(field: bytes | None, *values: int) -> tuple[int, ...]:
    """Put the numbers of a ZIP64 field in place of those that say "look there" (4.5.3).

    Writers also store numbers that nothing refers to (Go's the offset, others both sizes): then all of them
    must be there and agree with the header.

    Args:
        field: The extra field, or None if there is none.
        values: Size, compressed size and, of a central header, offset and disk, as the header has them.
    """
    if field is None:
        if MAX_32 in values[:3]:
            raise ValueError("a field of 0xFFFFFFFF refers to a ZIP64 extra field, which is not there")
        return values
    kinds = _ZIP64_FIELDS[: len(values)]
    needed = [value == sentinel for value, (_, sentinel) in zip(values, kinds, strict=True)]
    taken = needed
    if len(field) != sum(width for (width, _), need in zip(kinds, needed, strict=True) if need):
        taken = [end <= len(field) for end in accumulate(width for width, _ in kinds)]
    resolved, position = [], 0
    for value, need, take, (width, _) in zip(values, needed, taken, kinds, strict=True):
        number = value
        if take:
            number = int.from_bytes(field[position : position + width], "little")
            position += width
        if number != value and not need:
            raise ValueError(f"the ZIP64 extra field says {number}, the header {value}")
        if need and not take:
            position = -1
            break
        resolved.append(number)
    if position != len(field):
        raise ValueError(f"a ZIP64 extra field of {len(field)} bytes does not hold what refers to it")
    return tuple(resolved)


def decode_name(raw: bytes, flags: int, extra: Mapping[int, bytes]) -> str:
    """Decode a name: of the Unicode Path field if it has one (4.6.9), else UTF-8 or CP437 (appendix D).

    Bytes that are not UTF-8 become surrogates. Names that other readers would cut, or not show as they are,
    are refused: empty ones and those with control characters.
    """
    name = decode_text(raw) if flags & IS_UTF8 else raw.decode("cp437")
    field = extra.get(_UNICODE_PATH, b"")
    # Version 1, and the CRC of the name that it stands for: if that was changed since, the field is stale.
    if len(field) > 5 and field[0] == 1 and int.from_bytes(field[1:5], "little") == crc32(raw):
        try:
            name = field[5:].decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("the Unicode Path extra field is not UTF-8") from None
    if not raw:
        raise ValueError("a member has no name")
    if control := _CONTROL(name):
        raise ValueError(f"a member's name has the control character {control.group()!r} in it")
    return name


def parse_dos_time(word: int) -> float | None:
    """Convert an MS-DOS date and time (4.4.6), taken for UTC; None if it is no date."""
    date, time = word >> 16, word & _MAX_16
    try:
        moment = datetime(
            1980 + (date >> 9),
            date >> 5 & 15,
            date & 31,
            time >> 11,
            time >> 5 & 63,
            (time & 31) * 2,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp()


def parse_extended_time(field: bytes) -> float | None:
    """Read the modification time of an extended timestamp (Info-ZIP's 0x5455); None if it has none."""
    if len(field) < 5 or not field[0] & 1:
        return None
    return float(int.from_bytes(field[1:5], "little", signed=True))


def descriptor_forms(crc: int, packed: int, size: int) -> list[bytes]:
    """Return what a data descriptor of these values may look like (4.3.9).

    The signature is optional, and numbers have 8 bytes in a ZIP64 member. Writers differ in what they take
    for one, but only one of these forms can be followed by what has to follow.
    """
    forms = []
    for width in (4, 8):
        if max(packed, size) < 1 << 8 * width:
            body = b"".join(
                (crc.to_bytes(4, "little"), packed.to_bytes(width, "little"), size.to_bytes(width, "little"))
            )
            forms += [DESCRIPTOR_SIGNATURE + body, body]
    return forms
