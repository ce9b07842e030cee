"""What a `TarDecoder` says of members: the rest of a header is parsed when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import FormatError
from ._events import MemberStart, WholeMember
from ._tar_header import BLOCK_SIZE, decode_text, member_kind, parse_number, parse_pax_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._events import MemberKind

__all__ = ["TarMemberStart", "TarWholeMember"]


class _TarFields:
    """Header fields beyond name, size and type: parsed when asked for, not before."""

    __slots__ = ()

    name: str
    offset: int
    _block: bytes
    _pax: Mapping[str, str]

    @property
    def typeflag(self) -> bytes:
        """The type as the header has it, one byte."""
        return self._block[156:157]

    @property
    def kind(self) -> MemberKind:
        """What the member is."""
        return member_kind(self._block[156], self.name)

    @property
    def mode(self) -> int:
        """Permission bits."""
        return self._number("mode", 100, 108) & 0o7777

    @property
    def mtime(self) -> float:
        """Modification time in seconds since the epoch."""
        value = self._pax.get("mtime")
        return parse_pax_time(value) if value else self._number("mtime", 136, 148)

    @property
    def uid(self) -> int:
        """Numeric owner."""
        return int(self._pax.get("uid") or self._number("uid", 108, 116))

    @property
    def gid(self) -> int:
        """Numeric group."""
        return int(self._pax.get("gid") or self._number("gid", 116, 124))

    @property
    def linkname(self) -> str:
        """Target of a link, ``""`` for everything else."""
        return self._pax.get("linkpath") or self._text(157, 257)

    @property
    def uname(self) -> str:
        """Name of the owner; v7 headers have none."""
        return self._pax.get("uname") or self._ustar_text(265, 297)

    @property
    def gname(self) -> str:
        """Name of the group; v7 headers have none."""
        return self._pax.get("gname") or self._ustar_text(297, 329)

    @property
    def pax_headers(self) -> dict[str, str]:
        """The extended records that apply: global, local, and GNU long names as ``path`` and ``linkpath``."""
        return dict(self._pax)

    def _text(self, start: int, end: int) -> str:
        return decode_text(self._block[start:end].partition(b"\0")[0])

    def _ustar_text(self, start: int, end: int) -> str:
        return self._text(start, end) if self._block[257:262] == b"ustar" else ""

    def _number(self, field: str, start: int, end: int) -> int:
        try:
            return parse_number(self._block[start:end])
        except ValueError as error:
            raise FormatError(
                f"the header's {field} is malformed: {error}",
                codec="tar",
                offset=self.offset - BLOCK_SIZE + start,
                member=self.name,
            ) from None


class TarWholeMember(_TarFields, WholeMember):
    __slots__ = ("_block", "_pax", "data", "name", "offset", "size")

    def __init__(
        self, name: str, size: int, data: bytes, offset: int, block: bytes, pax: Mapping[str, str]
    ) -> None:
        self.name = name
        self.size = size
        self.data = data
        self.offset = offset
        self._block = block
        self._pax = pax


class TarMemberStart(_TarFields, MemberStart):
    __slots__ = ("_block", "_pax", "name", "offset", "size")

    def __init__(self, name: str, size: int, offset: int, block: bytes, pax: Mapping[str, str]) -> None:
        self.name = name
        self.size = size
        self.offset = offset
        self._block = block
        self._pax = pax
