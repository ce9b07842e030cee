"""What the tests of the zip codec share: archives made byte by byte, and reading them in every way."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from asyncbatch.codecs import MemberData, MemberEnd, MemberStart, WholeMember, ZipDecoder
from asyncbatch.errors import AsyncBatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncbatch.codecs._events import Buffer

VECTORS = Path(__file__).parent.parent / "data" / "zip"
TIME = 0x5821_6000  # 2024-01-01 12:00:00


def pack(method: int, data: bytes) -> bytes:
    """Compress as a member."""
    if method == 8:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        return deflate.compress(data) + deflate.flush()
    if method == 12:
        return bz2.compress(data)
    if method == 14:
        alone = lzma.compress(
            data, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 65_536}]
        )
        return b"\x09\x14\x05\x00" + alone[:5] + alone[13:]  # with an end mark
    if method == 93:
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return data


@dataclass
class Entry:
    """A member to write. `local` and `central` override fields of the two headers."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    descriptor: str | None = None  # "signed", "bare", "signed64" or "bare64"
    extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    packed: bytes | None = None
    behind: bytes | None = None  # in place of the descriptor
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)


LOCAL_FIELDS = {
    "version": "H",
    "flags": "H",
    "method": "H",
    "time": "L",
    "crc": "L",
    "packed": "L",
    "size": "L",
}
CENTRAL_FIELDS = {"made_by": "H", **LOCAL_FIELDS}


def descriptor(kind: str, crc: int, packed: int, size: int) -> bytes:
    """Make a data descriptor."""
    numbers = struct.pack("<LQQ" if kind.endswith("64") else "<LLL", crc, packed, size)
    return (b"PK\x07\x08" if kind.startswith("signed") else b"") + numbers


def build(
    entries: Sequence[Entry],
    *,
    comment: bytes = b"",
    prefix: bytes = b"",
    central_order: Sequence[int] | None = None,
    zip64: dict[str, int] | None = None,
    end: dict[str, int] | None = None,
) -> bytes:
    """Write an archive; `zip64` and `end` override fields of the end records, `zip64` writes that one."""
    out = bytearray(prefix)
    records = []
    for entry in entries:
        data = pack(entry.method, entry.data) if entry.packed is None else entry.packed
        flags = entry.flags | (8 if entry.descriptor else 0)
        facts: dict[str, Any] = {
            "made_by": 0x0314, "version": 20, "flags": flags, "method": entry.method, "time": TIME,
            "crc": zlib.crc32(entry.data), "packed": len(data), "size": len(entry.data),
        }  # fmt: skip
        zeros = {"crc": 0, "packed": 0, "size": 0} if entry.descriptor else {}
        local = {**facts, **zeros, "name": entry.name, **entry.local}
        offset = len(out)
        out += b"PK\x03\x04" + b"".join(
            struct.pack("<" + code, local[key]) for key, code in LOCAL_FIELDS.items()
        )
        out += struct.pack("<HH", len(local["name"]), len(entry.extra)) + local["name"] + entry.extra + data
        if entry.behind is not None:
            out += entry.behind
        elif entry.descriptor:
            out += descriptor(entry.descriptor, facts["crc"], facts["packed"], facts["size"])
        central = {
            **facts, "name": entry.name, "offset": offset, "disk": 0, "attributes": 0o100644 << 16,
            **entry.central,
        }  # fmt: skip
        record = b"PK\x01\x02"
        record += b"".join(struct.pack("<" + code, central[key]) for key, code in CENTRAL_FIELDS.items())
        record += struct.pack(
            "<HHHHHLL",
            len(central["name"]), len(entry.central_extra), len(entry.comment),
            central["disk"], 0, central["attributes"], central["offset"],
        )  # fmt: skip
        records.append(record + central["name"] + entry.central_extra + entry.comment)
    start = len(out)
    for index in range(len(records)) if central_order is None else central_order:
        out += records[index]
    size = len(out) - start
    count = len(records) if central_order is None else len(central_order)
    ends = {"disk": 0, "directory_disk": 0, "here": count, "entries": count, "size": size, "offset": start}
    if zip64 is not None:
        at = len(out)
        big = {"record": 44, **ends, "signature": 0x07064B50, "at": at, "at_disk": 0, "disks": 1, **zip64}
        out += b"PK\x06\x06" + struct.pack("<QHH", big["record"], 45, 45)
        out += struct.pack("<LLQQQQ", *(big[key] for key in ends))
        out += struct.pack("<LLQL", big["signature"], big["at_disk"], big["at"], big["disks"])
        ends |= {"here": 0xFFFF, "entries": 0xFFFF, "size": 0xFFFF_FFFF, "offset": 0xFFFF_FFFF}
    ends |= {"comment": len(comment)} | (end or {})
    out += b"PK\x05\x06" + struct.pack("<HHHHLLH", *ends.values()) + comment
    return bytes(out)


def field_of(number: int, data: bytes) -> bytes:
    """Make an extra field."""
    return struct.pack("<HH", number, len(data)) + data


@dataclass
class Read:
    """What came of reading an archive: the members whose end was told, and all the rest."""

    members: list[tuple[str, bytes]]
    events: list[Any]
    error: AsyncBatchError | None
    directory: Any
    cut: str | None  # the member that was open at the end

    @property
    def starts(self) -> list[Any]:
        return [event for event in self.events if isinstance(event, WholeMember | MemberStart)]


def read(chunks: Iterable[Buffer], **options: Any) -> Read:  # noqa: ANN401 - the decoder's own
    """Read an archive, and hold the decoder to the order of events."""
    decoder = ZipDecoder(**options)
    result = Read([], [], None, None, None)
    parts: list[bytes] = []

    def drain() -> None:
        for event in decoder:
            result.events.append(event)
            if isinstance(event, WholeMember):
                assert result.cut is None
                assert len(event.data) == event.size
                result.members.append((event.name, event.data))
            elif isinstance(event, MemberStart):
                assert result.cut is None
                result.cut = event.name
                parts.clear()
            elif isinstance(event, MemberData):
                assert event.data
                parts.append(bytes(event.data))
            else:
                assert isinstance(event, MemberEnd)
                assert result.cut is not None
                result.members.append((result.cut, b"".join(parts)))
                result.cut = None

    try:
        for chunk in chunks:
            decoder.feed(chunk)
            drain()
        decoder.feed_eof()
    except AsyncBatchError as error:
        result.error = error
        with suppress(AsyncBatchError):
            drain()  # what the end has brought out
    result.directory = decoder.directory
    return result


def split(data: bytes, size: int) -> list[bytes]:
    """Cut into chunks of a size."""
    return [data[start : start + size] for start in range(0, len(data), size)]
