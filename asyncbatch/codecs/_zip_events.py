"""What a `ZipDecoder` says of members: events while they come, and records at the end."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._events import MemberStart, WholeMember
from ._zip_header import EXTENDED_TIME, parse_dos_time, parse_extended_time, parse_extra

if TYPE_CHECKING:
    from ._events import MemberKind

__all__ = ["ZipMemberStart", "ZipRecord", "ZipWholeMember", "kind_and_mode"]


def _kind_of(name: str) -> MemberKind:
    # Only the central directory knows of links and modes; that a directory's name ends so, all writers agree.
    return "dir" if name.endswith("/") else "file"


class _ZipFields:
    """Fields of a local header beyond name and size: parsed when asked for, not before."""

    __slots__ = ()

    name: str
    _head: bytes

    @property
    def kind(self) -> MemberKind:
        """``"dir"`` or ``"file"``; whether a file is a symbolic link is told in `ZipDecoder.directory`."""
        return _kind_of(self.name)

    @property
    def is_symlink(self) -> bool | None:
        """False for a directory; else only the central directory tells."""
        return False if self.kind == "dir" else None

    @property
    def mtime(self) -> float | None:
        """Modification time in seconds since the epoch.

        Of the extended timestamp if there is one, else of the header, which has no time zone (UTC is
        assumed) and steps of two seconds. None if neither is a date.
        """
        head = self._head
        extra = parse_extra(head[30 + self._name_size :])
        time = parse_extended_time(extra.get(EXTENDED_TIME, b""))
        return parse_dos_time(int.from_bytes(head[10:14], "little")) if time is None else time

    @property
    def raw_name(self) -> bytes:
        """The name as the header has it, for those whose writer did not say that it is UTF-8."""
        return self._head[30 : 30 + self._name_size]

    @property
    def compress_method(self) -> int:
        """Compression method: 0 stored, 8 deflate, 12 bzip2, 14 lzma, 93 zstd."""
        return int.from_bytes(self._head[8:10], "little")

    @property
    def _name_size(self) -> int:
        return int.from_bytes(self._head[26:28], "little")


class ZipWholeMember(_ZipFields, WholeMember):
    """A member of a zip that came whole.

    Attributes:
        crc: CRC-32 of its data, which it matched.
    """

    __slots__ = ("_head", "crc", "data", "name", "offset", "size")

    def __init__(self, name: str, size: int, data: bytes, offset: int, crc: int, head: bytes) -> None:
        self.name = name
        self.size = size
        self.data = data
        self.offset = offset
        self.crc = crc
        self._head = head


class ZipMemberStart(_ZipFields, MemberStart):
    """The head of a member of a zip.

    Attributes:
        crc: CRC-32 that its data must have; None where only a descriptor behind the data tells.
    """

    __slots__ = ("_head", "crc", "name", "offset", "size")

    def __init__(self, name: str, size: int | None, offset: int, crc: int | None, head: bytes) -> None:
        self.name = name
        self.size = size
        self.offset = offset
        self.crc = crc
        self._head = head


@dataclass(frozen=True, slots=True)
class ZipRecord:
    """A member, as the central directory has it; name, sizes and CRC are those that were delivered.

    Attributes:
        name: As in the member's event.
        raw_name: Likewise.
        size: Bytes of data.
        compressed_size: Bytes that they took in the archive.
        crc: CRC-32 of the data.
        compress_method: Compression method.
        offset: Of the local header, in bytes from the start of the archive.
        mode: Permission bits, or None where the archive was made by a system without them.
        kind: ``"file"``, ``"dir"`` or ``"symlink"``; the data of a link is its target.
    """

    name: str
    raw_name: bytes
    size: int
    compressed_size: int
    crc: int
    compress_method: int
    offset: int
    mode: int | None
    kind: MemberKind

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.kind == "symlink"


def kind_and_mode(name: str, attributes: int) -> tuple[MemberKind, int | None]:
    """Read the attributes of a member, as Unix has them (`st_mode`); 0 if there are none.

    Zips have no devices: Info-ZIP says of data that it read from a pipe that it is one.
    """
    if not attributes:
        return _kind_of(name), None
    if stat.S_ISLNK(attributes):
        return "symlink", stat.S_IMODE(attributes)
    return _kind_of(name), stat.S_IMODE(attributes)
