"""Archives too large to be held, made while they are read; and a process that measures what that holds.

``python -m tests.support.large KIND DATA SIZE [LIMIT=MAXIMUM …]`` reads an archive with a member of SIZE
bytes of DATA (zeros or noise), chunk by chunk. It prints the bytes that came, and what the process grew by at
most; and, if a limit ended it, which one, and by how much it was exceeded.

Nothing of that size is compressed for it: a block is, once, and then said again and again.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import random
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lz4.frame
import zstandard

from asyncbatch import open_archive
from asyncbatch.codecs import TarEncoder
from asyncbatch.errors import LimitExceededError
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KINDS"]

_BLOCK: Final = 1 << 20
_CHUNK: Final = 65_536
_NAME: Final = b"large"


def _tar(size: int, block: bytes) -> Iterator[bytes]:
    """A tar, in pieces of which all but the first and the last are the same object. There is no padding."""
    yield TarEncoder().start("large", size)
    for _ in range(size // len(block)):
        yield block
    yield bytes(1024)


def _packed(pieces: Iterator[bytes], pack: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Compress each piece by itself, and one that comes again and again but once."""
    last, packed = b"", b""
    for piece in pieces:
        if piece is not last:
            last, packed = piece, pack(piece)
        yield packed


def _deflated(data: bytes) -> bytes:
    """Some blocks of a deflate stream that refer to none before them, and do not end it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


_DEFLATE_END: Final = b"\3\0"


def _gzip(size: int, block: bytes) -> Iterator[bytes]:
    """One member of gzip."""
    yield b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    crc = total = 0

    def counted() -> Iterator[bytes]:
        nonlocal crc, total
        for piece in _tar(size, block):
            crc, total = zlib.crc32(piece, crc), total + len(piece)
            yield piece

    yield from _packed(counted(), _deflated)
    yield _DEFLATE_END + struct.pack("<LL", crc, total & 0xFFFF_FFFF)


def _zip(size: int, block: bytes, method: int) -> Iterator[bytes]:
    """A zip with a member whose sizes only a descriptor tells, in 8 bytes each."""
    head = struct.pack("<HHHHHLLLHH", 45, 8, method, 0, 0x21, 0, 0xFFFF_FFFF, 0xFFFF_FFFF, len(_NAME), 20)
    start = b"PK\3\4" + head + _NAME + struct.pack("<HHQQ", 1, 16, 0, 0)
    yield start
    crc = packed = 0
    deflated = _deflated(block)
    for _ in range(size // len(block)):
        crc = zlib.crc32(block, crc)
        packed += len(deflated) if method else len(block)
        yield deflated if method else block
    if method:
        packed += len(_DEFLATE_END)
        yield _DEFLATE_END
    yield b"PK\7\x08" + struct.pack("<LQQ", crc, packed, size)
    offset = len(start) + packed + 24
    sizes = struct.pack("<HHQQ", 1, 16, size, packed)
    record = struct.pack("<HHHHHHLLLHHHHHLL", 0x32D, 45, 8, method, 0, 0x21, crc, 0xFFFF_FFFF, 0xFFFF_FFFF,
                         len(_NAME), len(sizes), 0, 0, 0, 0, 0)  # fmt: skip
    central = b"PK\1\2" + record + _NAME + sizes
    yield central
    yield b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, len(central), offset)
    yield b"PK\6\7" + struct.pack("<LQL", 0, offset + len(central), 1)
    yield b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, 0xFFFF_FFFF, 0xFFFF_FFFF, 0)


KINDS: Final[dict[str, Callable[[int, bytes], Iterator[bytes]]]] = {
    ".tar": _tar,
    ".tar.gz": _gzip,
    ".tar.lz4": lambda size, block: _packed(_tar(size, block), lz4.frame.compress),
    ".tar.zst": lambda size, block: _packed(_tar(size, block), zstandard.ZstdCompressor().compress),
    ".tar.bz2": lambda size, block: _packed(_tar(size, block), bz2.compress),
    ".tar.xz": lambda size, block: _packed(_tar(size, block), lambda data: lzma.compress(data, preset=1)),
    ".zip": lambda size, block: _zip(size, block, 0),
    ".zip-deflated": lambda size, block: _zip(size, block, 8),
}


def _chunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut into chunks as they come from a socket; small ones are joined."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        if len(piece) > _CHUNK:
            yield b"".join(held)
            held, length = [], 0
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]
            continue
        held.append(piece)
        length += len(piece)
        if length >= _CHUNK:
            yield b"".join(held)
            held, length = [], 0
    yield b"".join(held)


async def _read(kind: str, size: int, block: bytes, limits: Limits) -> tuple[int, LimitExceededError | None]:
    came = 0
    chunks = _chunked(KINDS[kind](size, block))
    try:
        async with open_archive(chunks, format=kind.partition("-")[0], limits=limits) as archive:
            async for member in archive:
                async for chunk in member:
                    came += len(chunk)
    except LimitExceededError as error:
        return came, error
    return came, None


def _kibibytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def main(kind: str, data: str, size: int, **limits: Any) -> None:  # noqa: ANN401 - of Limits
    """Measure, from when everything is loaded and was used once."""
    block = bytes(_BLOCK) if data == "zeros" else random.Random(0).randbytes(_BLOCK)
    asyncio.run(_read(kind, 8 * _BLOCK, block, Limits()))
    before = _kibibytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak
    came, error = asyncio.run(_read(kind, size, block, Limits(**limits)))
    growth = (_kibibytes("VmHWM") - before) * 1024
    print(came, growth, *(() if error is None else (error.limit, error.value - error.maximum)))  # noqa: T201


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[4:])
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), **{name: int(value) for name, value in pairs})
