"""The index of a zip: its central directory, read block by block and never held whole.

Source: PKWARE's APPNOTE.TXT 6.3.10, cited by section.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from ..codecs._zip_header import (
    CENTRAL_SIGNATURE,
    DEFLATED,
    END_SIGNATURE,
    LOCATOR_SIGNATURE,
    STORED,
    ZIP64,
    ZIP64_END_SIGNATURE,
    ZSTD,
    apply_zip64,
    check_support,
    decode_name,
    parse_extra,
)
from ..errors import FormatError, LimitExceededError, TruncatedArchiveError, UnsupportedFormatError
from ._index import NOTHING, Packed, Place, read

if TYPE_CHECKING:
    from ..limits import Limits
    from ._index import Index, Steps

__all__ = ["learn_zip"]

METHODS: Final = (STORED, DEFLATED, ZSTD)  # the others take long enough to keep an event loop from its work

_MAX_DIRECTORY: Final = 256 << 20
_BLOCK: Final = 1 << 20  # bytes of the directory that are read at once
_SLICE: Final = 65_536  # and that are looked at in one go: some milliseconds of work

_END: Final = Struct("<4xHHHHLLH").unpack_from  # 4.3.16
_END_SIZE: Final = 22
_ZIP64_END: Final = Struct("<4sQ4xLLQQQQ").unpack  # 4.3.14
_ZIP64_END_SIZE: Final = 56
_LOCATOR: Final = Struct("<4sLQL").unpack  # 4.3.15
_LOCATOR_SIZE: Final = 20
_TAIL: Final = _ZIP64_END_SIZE + _LOCATOR_SIZE + _END_SIZE + 0xFFFF  # with the longest comment

# 4.3.12: flags, method, CRC-32, sizes; lengths of name, extra field and comment; disk; offset.
_RECORD: Final = Struct("<8xHH4xLLLHHHH6xL").unpack_from
_RECORD_SIZE: Final = 46
_LOCAL_SIZE: Final = 30  # 4.3.7, at the least

_MAX_16: Final = 0xFFFF
_MAX_32: Final = 0xFFFF_FFFF


class _Directory(NamedTuple):
    """Where the central directory is.

    Attributes:
        start: In the object.
        size: Bytes.
        entries: Headers in it.
        shift: Bytes in front of the archive, as in one that extracts itself: its offsets do not count them.
    """

    start: int
    size: int
    entries: int
    shift: int


def learn_zip(size: int, index: Index, limits: Limits) -> Steps[None]:
    """Find all files of a zip.

    Args:
        size: Bytes of the object.
        index: What to add them to.
        limits: Bounds on what is accepted.

    Raises:
        FormatError: if it is no zip, or damaged.
        LimitExceededError: for a limit of `limits`.
    """
    start = max(size - _TAIL, 0)
    if not size:
        raise TruncatedArchiveError("the object is empty", codec="zip", offset=0)
    tail = yield from read(start, size - start, "the end of a zip", "zip")
    directory = _find_directory(tail, start)
    if directory.size > _MAX_DIRECTORY:
        raise UnsupportedFormatError(
            f"a central directory of {directory.size} bytes is too large; at most {_MAX_DIRECTORY} are read",
            codec="zip",
            offset=directory.start,
        )
    if directory.entries > limits.max_members:
        raise LimitExceededError(
            "max_members", directory.entries, limits.max_members, what="members of a zip"
        )
    yield from _read_records(directory, tail if directory.start >= start else b"", start, index, limits)


# -- the end ----------------------------------------------------------------------------------------------


def _find_directory(tail: bytes, start: int) -> _Directory:
    """Read the end records out of the last bytes of the object, which begin at `start`."""
    at = _find_end(tail, start)
    disk, directory_disk, entries_here, entries, size, offset, _ = _END(tail, at)
    stated = [disk, directory_disk, entries_here, entries, size, offset]
    end = at
    record_offset = None
    locator = tail[max(at - _LOCATOR_SIZE, 0) : at]
    if locator.startswith(LOCATOR_SIGNATURE):
        end = at - _LOCATOR_SIZE - _ZIP64_END_SIZE
        record_offset, numbers = _read_zip64(tail, end, locator, start)
        most = (_MAX_16, _MAX_16, _MAX_16, _MAX_16, _MAX_32, _MAX_32)
        for number, large, maximum in zip(stated, numbers, most, strict=True):
            if number not in {large, maximum}:  # 4.4.1.4
                raise _malformed(
                    f"the two end of central directory records contradict each other: {number} and {large}",
                    start + at,
                )
        stated = numbers
    disk, directory_disk, entries_here, entries, size, offset = stated
    if disk or directory_disk or entries_here != entries:
        raise UnsupportedFormatError("a zip on several disks", codec="zip", offset=start + at)
    first = start + end - size
    shift = first - offset
    if shift < 0 or record_offset not in {None, start + end - shift}:
        raise _malformed(
            f"a central directory of {size} bytes at byte {offset}, as the end record says, cannot be",
            start + at,
        )
    return _Directory(first, size, entries, shift)


def _find_end(tail: bytes, start: int) -> int:
    """Return where the end record begins: the last one whose comment ends where the object does.

    Zeros behind it are padding: bsdtar fills its last block, when it writes into a pipe.
    """
    sound = len(tail.rstrip(b"\0"))
    at = len(tail)
    while (at := tail.rfind(END_SIGNATURE, 0, at)) >= 0:
        if len(tail) - at >= _END_SIZE:
            *_, comment_size = _END(tail, at)
            if sound <= at + _END_SIZE + comment_size <= len(tail):
                return at
        at += len(END_SIGNATURE) - 1
    raise _malformed("there is no end of central directory record: this is no zip, or it is cut", start)


def _read_zip64(tail: bytes, at: int, locator: bytes, start: int) -> tuple[int, list[int]]:
    """Read the ZIP64 end record at `at` and its locator; return its offset by the latter, and its numbers."""
    _, disk, offset, disks = _LOCATOR(locator)
    record = tail[max(at, 0) : max(at, 0) + _ZIP64_END_SIZE]
    signature, size, *numbers = _ZIP64_END(record)
    # 4.3.14.2 lets writers add data to it, for encryption among others.
    if at < 0 or signature != ZIP64_END_SIGNATURE or size != _ZIP64_END_SIZE - 12:
        raise _malformed("there is no ZIP64 end of central directory record before its locator", start + at)
    if disk or disks > 1:
        raise UnsupportedFormatError("a zip on several disks", codec="zip", offset=start + at)
    return offset, numbers


# -- the directory ----------------------------------------------------------------------------------------


def _read_records(
    directory: _Directory, held: bytes, held_start: int, index: Index, limits: Limits
) -> Steps[None]:
    """Add what each header of the directory says. `held` are bytes of the object that were read, if any."""
    at, end = directory.start, directory.start + directory.size
    block = held[at - held_start : end - held_start] if held else b""
    window, found = b"", 0
    while at < end:
        if not block:
            block = yield from read(at, min(_BLOCK, end - at), "the central directory", "zip")
        part, block = block[:_SLICE], block[_SLICE:]
        window += part
        at += len(part)
        base = at - len(window)
        position = 0
        while (after := _read_record(window, position, base, directory, index, limits)) is not None:
            position = after
            found += 1
            if found > directory.entries:
                break
        window = window[position:]
        if found > directory.entries or (len(window) >= 4 and not window.startswith(CENTRAL_SIGNATURE)):
            break
        yield NOTHING
    if window or found != directory.entries:
        raise _malformed(
            f"the central directory is not the {directory.entries} headers that its end record states",
            at - len(window),
        )


def _read_record(
    window: bytes, position: int, base: int, directory: _Directory, index: Index, limits: Limits
) -> int | None:
    """Add what the header at `position` says; return where it ends, or None if it is none, or not whole."""
    if len(window) - position < _RECORD_SIZE or not window.startswith(CENTRAL_SIGNATURE, position):
        return None
    flags, method, crc, packed, size, name_size, extra_size, comment_size, disk, offset = _RECORD(
        window, position
    )
    name_end = position + _RECORD_SIZE + name_size
    end: int = name_end + extra_size + comment_size
    if end > len(window):
        return None
    for limit, value, maximum, what in (
        ("max_name_length", name_size, limits.max_name_length, "name of a zip member"),
        ("max_header_size", extra_size, limits.max_header_size, "extra fields in a central directory"),
    ):
        if value > maximum:
            raise LimitExceededError(limit, value, maximum, what=what)
    try:
        extra = parse_extra(window[name_end : name_end + extra_size]) if extra_size else {}
        size, packed, offset, disk = apply_zip64(extra.get(ZIP64), size, packed, offset, disk)
        name = decode_name(window[name_end - name_size : name_end], flags, extra)
    except ValueError as error:
        raise _malformed(str(error), base + position) from None
    if not name.endswith("/"):
        start = directory.shift + offset
        problem = check_support(window[position + 2 : position + 12])
        if problem is not None:
            problem += " is not supported"
        elif method not in METHODS:
            problem = f"a member compressed by method {method} is not supported: {METHODS} are"
        elif disk or start + _LOCAL_SIZE + packed > directory.start or (method == STORED and packed != size):
            problem = "what the central directory says of its place and its sizes cannot be"
        index.add(name, Place(start, size, Packed(method, packed, crc), problem or ""))
    return end


def _malformed(reason: str, offset: int) -> FormatError:
    return FormatError(reason, codec="zip", offset=max(offset, 0))
