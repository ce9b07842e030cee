"""A file of a zip: where its data begins, and the data, held against what the central directory says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..codecs._input import ByteInput
from ..codecs._zip_body import read_body
from ..codecs._zip_header import LOCAL_SIGNATURE, ZipMember, check_support, parse_local_header
from ..errors import FormatError, LimitExceededError, UnsupportedFormatError
from ._index import key_of, keys_of, read

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..codecs._events import Buffer
    from ..limits import Limits
    from ._index import Packed, Place, Steps

__all__ = ["check_place", "find_data", "open_data"]

_HEADER_SIZE: Final = 30  # 4.3.7, without name and extra fields
_MUCH_EXTRA: Final = 512  # bytes of extra fields that are hoped to be enough


def check_place(place: Place, archpath: str, limits: Limits) -> None:
    """Do nothing if the file at a place can be read.

    Raises:
        UnsupportedFormatError: if not.
        LimitExceededError: if it is too large.
    """
    if place.problem:
        codec = "tar" if place.packed is None else "zip"
        raise UnsupportedFormatError(place.problem, codec=codec, offset=place.offset, member=archpath)
    if place.size > limits.max_member_size:
        raise LimitExceededError(
            "max_member_size", place.size, limits.max_member_size, what=f"size of member {archpath!r}"
        )


def find_data(place: Place, packed: Packed, archpath: str, size: int, along: int) -> Steps[tuple[int, bytes]]:
    """Read the local header of a file.

    Args:
        place: Of the file.
        packed: What `place` has of that name.
        archpath: By which it was asked for.
        size: Bytes of the object.
        along: Bytes of data that are to be read with it.

    Returns:
        Where its data begins, and what was read of it: `along` bytes, if it has as many, or others.

    Raises:
        FormatError: if there is no such header, or that of another file.
    """
    offset = place.offset
    keys = keys_of(archpath)
    name_size = len(keys[-1].encode("utf-8", "surrogatepass"))
    length = _HEADER_SIZE + name_size + _MUCH_EXTRA + along
    head = yield offset, min(length, size - offset)
    if len(head) < _HEADER_SIZE or not head.startswith(LOCAL_SIGNATURE):
        raise FormatError(f"no local header at byte {offset}", codec="zip", offset=offset, member=archpath)
    end = _HEADER_SIZE + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    if offset + end + packed.size > size:  # of which the central directory cannot know: the header is longer
        raise FormatError(
            "a local header, or the data behind it, goes on behind the end of the object",
            codec="zip",
            offset=offset,
            member=archpath,
        )
    if end > len(head):
        head += yield from read(offset + len(head), end - len(head), "a local header", "zip")
    if unsupported := check_support(head[:10]):
        raise UnsupportedFormatError(
            f"{unsupported} is not supported", codec="zip", offset=offset, member=archpath
        )
    try:
        local = parse_local_header(head[:end])
        if key_of(local.name) not in keys:
            raise ValueError(f"the central directory says name {archpath!r}, the local header {local.name!r}")
        if local.method != packed.method:
            raise ValueError(
                f"the central directory says method {packed.method}, the local header {local.method}"
            )
    except ValueError as error:
        raise FormatError(str(error), codec="zip", offset=offset, member=archpath) from None
    return offset + end, head[end : end + packed.size]


def open_data(
    place: Place, packed: Packed, archpath: str, start: int, limits: Limits
) -> tuple[ByteInput, Generator[Buffer]]:
    """Return what decompresses a file.

    Args:
        place: Of the file.
        packed: What `place` has of that name.
        archpath: By which it was asked for.
        start: Where in the object its data begins, for errors.
        limits: Bounds on what is accepted.

    Returns:
        What its compressed data is appended to, and a generator that yields its data and, where it can do
        nothing before more is appended, nothing (`STARVED`). It raises `FormatError` in place of its end if
        size or CRC are not those of the central directory.
    """
    source = ByteInput("zip")
    source.offset = start
    member = ZipMember(archpath, False, 0, packed.method, packed.crc, packed.size, place.size)
    return source, _checked(source, member, limits)


def _checked(source: ByteInput, member: ZipMember, limits: Limits) -> Generator[Buffer]:
    try:
        yield from read_body(source, member, limits)
    except FormatError as error:
        reason = f"not what the central directory says: {error.reason}"
        error_type = type(error)
        raise error_type(reason, codec="zip", offset=error.offset, member=member.name) from error
