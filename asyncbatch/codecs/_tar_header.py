"""Tar headers as pure functions: numbers, checksums, names and PAX records.

Sources: POSIX.1-2024 *pax*, "ustar Interchange Format" and "pax Header Block"; the GNU tar manual,
"Basic Tar Format"; and, for what may be refused, the reader of Go's archive/tar.
Functions raise `ValueError` with the reason; the decoder adds codec, offset and member.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._events import MemberKind

__all__ = [
    "BLOCK_SIZE",
    "ZERO_BLOCK",
    "Adler32Expectations",
    "checksum_matches",
    "decode_text",
    "member_kind",
    "parse_number",
    "parse_octal",
    "parse_pax_records",
    "parse_pax_time",
    "stored_name",
]

BLOCK_SIZE: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK_SIZE)

# By typeflag. "7" is a contiguous file, which everybody reads as a plain one; NUL is what v7 wrote for files.
_KINDS: Final[dict[int, MemberKind]] = {
    ord("0"): "file",
    0: "file",
    ord("7"): "file",
    ord("1"): "hardlink",
    ord("2"): "symlink",
    ord("3"): "char_device",
    ord("4"): "block_device",
    ord("5"): "dir",
    ord("6"): "fifo",
}

_OCTAL_DIGITS: Final = b"01234567"
_PAX_TIME: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]*)?")
# "%d %s=%s\n": a record's length in decimal counts itself; 20 digits are more than any file has.
_PAX_LENGTH: Final = re.compile(rb"([0-9]{1,20}) ")
_PAX_SIZE: Final = re.compile(r"0{0,80}[0-9]{1,20}")
_PAX_OWNER: Final = re.compile(r"-?" + _PAX_SIZE.pattern)
_PAX_NUMBERS: Final = {"size": _PAX_SIZE, "uid": _PAX_OWNER, "gid": _PAX_OWNER}
_PAX_TIMES: Final = frozenset({"mtime", "atime", "ctime"})
_PAX_TEXTS: Final = frozenset({"path", "linkpath", "uname", "gname"})


def decode_text(raw: bytes) -> str:
    """Decode a name as UTF-8; bytes that are not become surrogates, which `os.fsencode` turns back."""
    return raw.decode("utf-8", "surrogateescape")


def member_kind(typeflag: int, name: str) -> MemberKind:
    """What a member is. V7 marked a directory by nothing but a slash behind its name."""
    if typeflag == 0 and name.endswith("/"):
        return "dir"
    return _KINDS.get(typeflag, "other")


def parse_number(field: bytes) -> int:
    """Read a numeric header field: octal digits between spaces and NULs, or GNU's base-256.

    In base-256 the first byte has its top bit set; the remaining bits are a big-endian two's complement
    number. An empty field is 0.
    """
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if value >> (bits - 1) else value
    return parse_octal(field)


def parse_octal(field: bytes) -> int:
    """Read octal digits between spaces and NULs; what stands behind a NUL that ends them does not count."""
    digits = field.strip(b" \0").partition(b"\0")[0]
    if digits.strip(_OCTAL_DIGITS):
        raise ValueError(f"{bytes(field)!r} is not an octal number")
    return int(digits, 8) if digits else 0


def checksum_matches(block: bytes) -> bool:
    """Whether a header's checksum is that of its bytes, its own field counted as spaces.

    POSIX sums unsigned bytes; some historic writers summed signed ones, and readers accept both.
    """
    try:
        stored = parse_octal(block[148:156])
    except ValueError:
        return False
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if stored == unsigned:
        return True
    high = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in block[148:156])
    return stored == unsigned - 256 * high


class Adler32Expectations(dict[bytes, int]):
    """Maps a checksum field to the low half of the Adler-32 that a sound header with that field has.

    The low half of an Adler-32 is 1 plus the sum of the bytes, modulo 65,521 (RFC 1950, section 8.2). An
    ASCII header sums to at most 512 x 127 = 65,024, so for it the low half *is* the sum plus 1, got six times
    faster than by `sum`. Archives have few different checksums; the fields seen are remembered.
    """

    _MAX_REMEMBERED = 4096

    def __missing__(self, field: bytes) -> int:
        try:
            expected = parse_octal(field) - 8 * ord(" ") + sum(field) + 1
        except ValueError:
            expected = -1
        if len(self) >= self._MAX_REMEMBERED:
            self.clear()
        self[field] = expected
        return expected


def stored_name(block: bytes) -> bytes:
    """Return the name of a header without extensions: ``prefix/name``, the prefix in ustar headers only.

    GNU headers use the place of the prefix for other fields; star's prefix is shorter by the two times
    behind it.
    """
    name = block[:100].partition(b"\0")[0]
    if block[257:263] != b"ustar\0":
        return name
    prefix = block[345 : 476 if block[508:512] == b"tar\0" else 500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def parse_pax_time(value: str) -> float:
    """Read a PAX time: decimal seconds since the epoch, with a fraction if need be."""
    if not _PAX_TIME.fullmatch(value):
        raise ValueError(f"{value!r} is not a PAX time")
    return float(value)


def _check_pax_record(key: str, value: str) -> None:
    if not key:
        raise ValueError("a PAX record has an empty keyword")
    if key.startswith("GNU.sparse."):
        return
    if "\0" in (value if key in _PAX_TEXTS else key):
        raise ValueError(f"PAX record {key!r} holds a NUL")
    if not value:
        return
    if key in _PAX_NUMBERS and not _PAX_NUMBERS[key].fullmatch(value):
        raise ValueError(f"PAX record {key}={value!r} is not a decimal number")
    if key in _PAX_TIMES:
        parse_pax_time(value)


def parse_pax_records(body: bytes) -> dict[str, str]:
    """Read the records of an extended header; a later record of the same keyword wins.

    An empty value says that the keyword is not set, overriding a global one.
    """
    records: dict[str, str] = {}
    position = 0
    while position < len(body):
        match = _PAX_LENGTH.match(body, position)
        end = position + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(body) or body[end - 1] != ord("\n"):
            raise ValueError("malformed PAX record")
        raw_key, equals, raw_value = body[match.end() : end - 1].partition(b"=")
        if not equals:
            raise ValueError("a PAX record has no '='")
        key, value = decode_text(raw_key), decode_text(raw_value)
        _check_pax_record(key, value)
        records[key] = value
        position = end
    return records
