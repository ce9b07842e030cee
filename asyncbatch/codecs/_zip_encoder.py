"""The push encoder for zip (APPNOTE.TXT 6.3.10): one pass, and nothing held but the central directory."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from struct import Struct
from time import gmtime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from ..errors import UsageError
from ._backends import crc32, raw_compressobj

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._backends import CompressObject
    from ._events import Buffer, MemberKind

__all__ = ["ZipCompression", "ZipEncoder"]

ZipCompression: TypeAlias = Literal["stored", "deflate"]

_LOCAL: Final = Struct("<4s5H3I2H")  # 4.3.7
_CENTRAL: Final = Struct("<4s6H3I5H2I")  # 4.3.12
_DESCRIPTOR: Final = Struct("<4s3I")  # 4.3.9
_DESCRIPTOR_64: Final = Struct("<4sI2Q")  # 4.3.9.2
_END_64: Final = Struct("<4sQ2H2I4Q")  # 4.3.14
_LOCATOR_64: Final = Struct("<4sIQI")  # 4.3.15
_END: Final = Struct("<4s4H2IH")  # 4.3.16
_TIMES: Final = Struct("<2HBi")  # the extended timestamp, 0x5455, with a modification time alone

# From these values on, a field says that ZIP64 has the number (4.4.1.4).
_MAX_16: Final = 0xFFFF
_MAX_32: Final = 0xFFFF_FFFF

_HAS_DESCRIPTOR: Final = 0x0008  # 4.4.4
_IS_UTF8: Final = 0x0800

_STORED: Final = 0  # 4.4.5
_DEFLATE: Final = 8
_MAX_LEVEL: Final = 9

_VERSION_64: Final = 45  # 4.4.3.2
_MADE_BY: Final = 3 << 8 | _VERSION_64  # 4.4.2: on UNIX, so that modes count

_TYPES: Final[Mapping[MemberKind, int]] = {"file": 0o100000, "dir": 0o040000, "symlink": 0o120000}
_DOS_DIRECTORY: Final = 0x10

_FIRST_DOS_TIME: Final = 315_532_800  # 1980-01-01
_LAST_DOS_TIME: Final = 4_354_819_198  # 2107-12-31 23:59:58
_MAX_TIME: Final = 10**17


@dataclass(slots=True)
class _Entry:
    """What local header, descriptor and central directory say of a member."""

    raw_name: bytes
    flags: int
    times: tuple[int, int]
    extra: bytes
    attributes: int
    offset: int
    zip64: bool = False
    method: int = _STORED
    crc: int = 0
    size: int = 0
    compressed: int = 0

    @property
    def version(self) -> int:
        """What a reader must know (4.4.3.2)."""
        if self.zip64:
            return 45
        return 20 if self.method == _DEFLATE or self.attributes & _DOS_DIRECTORY else 10

    def local_header(self) -> bytes:
        """Return the header in front of the data; one with a descriptor tells no sizes (4.4.4)."""
        extra, size, compressed = self.extra, self.size, self.compressed
        if self.zip64:
            # 4.5.3: in a local header always both sizes, and the fields say so. With it descriptors have
            # 8-byte sizes, whatever these are (4.3.9.2).
            extra = _zip64_extra(size, compressed) + extra
            size = compressed = _MAX_32
        lengths = len(self.raw_name), len(extra)
        crc = self.crc
        head = _LOCAL.pack(
            b"PK\3\4", self.version, self.flags, self.method, *self.times, crc, compressed, size, *lengths
        )
        return b"".join((head, self.raw_name, extra))

    def descriptor(self) -> bytes:
        """Return what follows the data where the header could not tell; with the usual signature."""
        layout = _DESCRIPTOR_64 if self.zip64 else _DESCRIPTOR
        return layout.pack(b"PK\7\10", self.crc, self.compressed, self.size)

    def central_header(self) -> bytes:
        """Return the entry of the central directory."""
        numbers = self.size, self.compressed, self.offset
        large = [number for number in numbers if number >= _MAX_32]
        extra = (_zip64_extra(*large) if large else b"") + self.extra
        size, compressed, offset = (min(number, _MAX_32) for number in numbers)
        head = _CENTRAL.pack(
            b"PK\1\2",
            _MADE_BY,
            _VERSION_64 if large else self.version,
            self.flags,
            self.method,
            *self.times,
            self.crc,
            compressed,
            size,
            len(self.raw_name),
            len(extra),
            0,  # no comment
            0,  # on the first disk
            0,  # nothing said of text or binary
            self.attributes,
            offset,
        )
        return b"".join((head, self.raw_name, extra))


class ZipEncoder:
    """Turns members into a zip, piece by piece: every call returns the next bytes of the archive.

    ``start, feed…, end`` encodes a member whose data comes in chunks, `encode` one that is whole; `finish`
    closes the archive. The output depends on the arguments alone: times are 1980-01-01 unless given, and UTC.

    Whole members have their sizes and CRC in front. The others have them in a data descriptor behind the
    data, as nobody knows a CRC before. ZIP64 is used where a number asks for it, and for members of unknown
    size, which may turn out that large. Names are UTF-8, and flagged where they are not ASCII.

    Args:
        compression: ``"stored"``, or ``"deflate"`` for the members' data.
        level: 0 to 9, of deflate.

    Raises:
        UsageError: for calls out of order, data longer or shorter than was said, members that zip cannot
            hold, and any other compression or level.
    """

    def __init__(self, *, compression: ZipCompression = "stored", level: int = 1) -> None:
        if compression not in get_args(ZipCompression):
            known = ", ".join(get_args(ZipCompression))
            raise UsageError(f"{compression!r} is no compression that zip is written with; known are {known}")
        if not 0 <= level <= _MAX_LEVEL:
            raise UsageError(f"deflate has no level {level!r}; it has 0 to {_MAX_LEVEL}")
        self._deflate = compression == "deflate"
        self._level = level
        self._open: str | None = None
        self._left: int | None = None  # bytes of data that the open member still lacks; None if nobody knows
        self._entry: _Entry | None = None  # of the open member, unless all of it was returned with its header
        self._compressor: CompressObject | None = None  # of its data
        self._offset = 0  # bytes returned so far
        self._directory = bytearray()
        self._entries = 0
        self._finished = False

    def start(
        self,
        name: str,
        size: int | None = None,
        *,
        kind: MemberKind = "file",
        mode: int = 0o644,
        mtime: float = 0,
        linkname: str = "",
    ) -> bytes:
        """Begin a member of `size` bytes, or None if that is not known, and return its header."""
        self._refuse_open(name)
        if size is not None and (size < 0 or (size and kind != "file")):
            raise UsageError(f"zip member {name!r}: a {kind} cannot have {size} bytes of data")
        if size == 0 or kind != "file":
            head = b"".join(
                self.encode_parts(name, b"", kind=kind, mode=mode, mtime=mtime, linkname=linkname)
            )
            size = 0
        else:
            entry = self._make_entry(name, kind, mode, mtime)
            entry.flags |= _HAS_DESCRIPTOR
            # What is to be compressed, and cannot be, grows by a little.
            entry.zip64 = size is None or size + size // 20 >= _MAX_32
            if self._deflate:
                entry.method = _DEFLATE
                self._compressor = raw_compressobj(self._level)
            head = entry.local_header()
            self._offset += len(head)
            self._entry = entry
        self._open, self._left = name, size
        return head

    def feed(self, chunk: Buffer, /) -> Buffer:
        """Take the next data of the open member; return the same bytes, or what came of compressing them."""
        if self._open is None:
            raise UsageError("zip data was fed outside of start() and end()")
        size = chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        if self._left is not None:
            if size > self._left:
                raise UsageError(f"zip member {self._open!r}: data is longer than the size given to start()")
            self._left -= size
        entry = self._entry
        if entry is None:
            return chunk  # which is empty
        entry.crc = crc32(chunk, entry.crc)
        entry.size += size
        if self._compressor is not None:
            return self._count(entry, self._compressor.compress(chunk))
        entry.compressed += size
        self._offset += size
        return chunk

    def end(self) -> bytes:
        """End the open member and return what tells its sizes and CRC."""
        if self._open is None:
            raise UsageError("end() of a zip member that was not started")
        if self._left:
            raise UsageError(f"zip member {self._open!r}: data is {self._left} bytes short of the size given")
        self._open = None
        entry = self._entry
        if entry is None:
            return b""
        rest = b"" if self._compressor is None else self._count(entry, self._compressor.flush())
        self._entry = self._compressor = None
        self._record(entry)
        descriptor = entry.descriptor()
        self._offset += len(descriptor)
        return rest + descriptor

    def encode(
        self,
        name: str,
        data: bytes,
        *,
        kind: MemberKind = "file",
        mode: int = 0o644,
        mtime: float = 0,
        linkname: str = "",
    ) -> bytes:
        """Encode a whole member."""
        return b"".join(self.encode_parts(name, data, kind=kind, mode=mode, mtime=mtime, linkname=linkname))

    def encode_parts(
        self,
        name: str,
        data: bytes,
        *,
        kind: MemberKind = "file",
        mode: int = 0o644,
        mtime: float = 0,
        linkname: str = "",
    ) -> tuple[bytes, bytes]:
        """Encode a whole member without copying it: return its header, and its data, as it is if stored."""
        self._refuse_open(name)
        if data and kind != "file":
            raise UsageError(f"zip member {name!r}: a {kind} cannot have {len(data)} bytes of data")
        entry = self._make_entry(name, kind, mode, mtime)
        if kind == "symlink":
            data = _encode_text(name, linkname)  # where Info-ZIP keeps the target
        entry.crc, entry.size = crc32(data), len(data)
        if self._deflate and kind == "file":
            compressor = raw_compressobj(self._level)
            deflated = compressor.compress(data) + compressor.flush()
            if len(deflated) < len(data):
                data = deflated
                entry.method = _DEFLATE
        entry.compressed = len(data)
        entry.zip64 = entry.size >= _MAX_32
        head = entry.local_header()
        self._record(entry)
        self._offset += len(head) + len(data)
        return head, data

    def finish(self) -> bytes:
        """Close the archive and return its central directory."""
        if self._open is not None or self._finished:
            raise UsageError("finish() with a zip member open, or for the second time")
        self._finished = True
        size, offset, entries = len(self._directory), self._offset, self._entries
        end_64 = b""
        if entries >= _MAX_16 or size >= _MAX_32 or offset >= _MAX_32:
            counts = entries, entries, size, offset
            versions = _MADE_BY, _VERSION_64
            end_64 = _END_64.pack(b"PK\6\6", _END_64.size - 12, *versions, 0, 0, *counts)
            end_64 += _LOCATOR_64.pack(b"PK\6\7", 0, offset + size, 1)
        entries, size, offset = min(entries, _MAX_16), min(size, _MAX_32), min(offset, _MAX_32)
        end = _END.pack(b"PK\5\6", 0, 0, entries, entries, size, offset, 0)
        return b"".join((self._directory, end_64, end))

    def _refuse_open(self, name: str) -> None:
        if self._open is not None or self._finished:
            raise UsageError(f"zip member {name!r} was started before end() of the last, or after finish()")

    def _make_entry(self, name: str, kind: MemberKind, mode: int, mtime: float) -> _Entry:
        if kind not in _TYPES:
            raise UsageError(f"zip member {name!r}: cannot encode a {kind}; known: {', '.join(_TYPES)}")
        if not abs(mtime) < _MAX_TIME:
            raise UsageError(f"zip member {name!r}: mtime={mtime} is no time in seconds")
        if name.endswith("/") and kind != "dir":
            raise UsageError(f"zip member {name!r}: a slash at its end says that it is a directory")
        if not name:
            raise UsageError("a zip member needs a name")
        stored_name = name if kind != "dir" or name.endswith("/") else name + "/"
        raw_name = _encode_text(name, stored_name)
        attributes = (_TYPES[kind] | mode & 0o7777) << 16
        return _Entry(
            raw_name=raw_name,
            flags=_IS_UTF8 if not raw_name.isascii() and _is_utf8(raw_name) else 0,
            times=_dos_time(mtime),
            extra=_extended_time(mtime),
            attributes=attributes | _DOS_DIRECTORY if kind == "dir" else attributes,
            offset=self._offset,
        )

    def _count(self, entry: _Entry, compressed: bytes) -> bytes:
        entry.compressed += len(compressed)
        self._offset += len(compressed)
        return compressed

    def _record(self, entry: _Entry) -> None:
        self._directory += entry.central_header()
        self._entries += 1


def _zip64_extra(*numbers: int) -> bytes:
    """Return the ZIP64 extended information (4.5.3)."""
    raw = b"".join(number.to_bytes(8, "little") for number in numbers)
    return b"\1\0" + len(raw).to_bytes(2, "little") + raw


def _encode_text(name: str, text: str) -> bytes:
    """Encode a name, or the target of a link, of the member `name`; surrogates are undecodable bytes."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError(f"zip member {name!r}: {error}; only os.fsdecode makes such names") from None
    if not 0 < len(raw) <= _MAX_16 or b"\0" in raw:
        raise UsageError(
            f"zip member {name[:60]!r}: a name, and a link's target, has 1 to {_MAX_16} bytes and no NUL"
        )
    return raw


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _dos_time(mtime: float) -> tuple[int, int]:
    """Return time and date of MS-DOS (4.4.6): local in theory, UTC here; in steps of two seconds."""
    if not mtime:
        return 0, 0x21
    seconds = min(max(floor(mtime), _FIRST_DOS_TIME), _LAST_DOS_TIME)
    year, month, day, hour, minute, second, *_ = gmtime(seconds)
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day


def _extended_time(mtime: float) -> bytes:
    """Return Info-ZIP's extended timestamp (0x5455 of 4.6.1, and its extrafld.txt): seconds, UTC."""
    seconds = floor(mtime)
    if not mtime or not -(1 << 31) <= seconds < 1 << 31:
        return b""
    return _TIMES.pack(0x5455, _TIMES.size - 4, 1, seconds)
