"""What the benchmarks read: items of one size, the same in every run, and archives of them made by others."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import struct
import tarfile
import time
import zipfile
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final, Self

import lz4.frame
import zstandard

from .runner import Expected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["COMPRESSORS", "ZIP_KINDS", "Items", "header", "make_tar", "make_zip"]

# Items are taken one behind the other. The pool is beyond the reach of every codec's window: that it repeats
# helps none. No two items are the same, for their sizes are even and the gap between them is not.
_POOL_SIZE: Final = 4 << 20
_GAP: Final = 13
_MTIME: Final = 1_700_000_000

# Fast levels, as servers choose them (AIStore: gzip level 1).
COMPRESSORS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda raw: gzip.compress(raw, 1, mtime=0),
    "lz4": lambda raw: lz4.frame.compress(raw, content_checksum=True),
    # As AIStore writes it.
    "lz4 without checksum": lambda raw: lz4.frame.compress(raw, block_size=lz4.frame.BLOCKSIZE_MAX256KB),
    "zstd": zstandard.ZstdCompressor(level=3, write_checksum=True).compress,
    "bzip2": bz2.compress,
    "xz": lambda raw: lzma.compress(raw, preset=1),
}

# Method, and whether sizes and CRC-32 stand in a descriptor behind the data, as where Go streams (AIStore:
# stored, with descriptors).
ZIP_KINDS: Final = {
    "stored": (zipfile.ZIP_STORED, False),
    "stored with descriptors": (zipfile.ZIP_STORED, True),
    "deflate": (zipfile.ZIP_DEFLATED, False),
    "deflate with descriptors": (zipfile.ZIP_DEFLATED, True),
}
_DEFLATE_LEVEL: Final = 5  # of Go's archive/zip
_GO_TIME: Final = struct.pack("<HHBl", 0x5455, 5, 1, _MTIME)  # the extra field that Go's archive/zip writes


@dataclass(frozen=True, slots=True)
class Items:
    """A number of items of one size.

    Attributes:
        label: The size, for people.
        size: Bytes of each.
        count: How many.
    """

    label: str
    size: int
    count: int

    def scaled(self, scale: float) -> Self:
        """Return the same with another count, at least 1."""
        return replace(self, count=max(1, round(self.count * scale)))

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Iterate over names and data."""
        pool = _pool()
        for index in range(self.count):
            start = index * (self.size + _GAP) % _POOL_SIZE
            data = pool[start : start + self.size]
            while len(data) < self.size:
                data += pool[: self.size - len(data)]
            yield f"train/shard-{index // 1000:04d}/sample-{index:08d}.jpg", data

    def expected(self) -> Expected:
        """Return what must come out."""
        digest = hashlib.blake2b()
        for _, data in self:
            digest.update(data)
        return Expected(self.count, self.count * self.size, digest.hexdigest())


@cache
def _pool() -> bytes:
    """Make bytes that compress to a little more than half, like the mixed content of a data set."""
    rng = random.Random(7)
    words = [bytes(rng.choices(range(97, 123), k=rng.randint(2, 9))) for _ in range(4000)]
    # Few words are frequent and most are rare, as in any language.
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    parts: list[bytes] = []
    size = 0
    while size < _POOL_SIZE:
        length = rng.randint(200, 1200)
        noise = rng.random() < 0.42
        part = rng.randbytes(length) if noise else b" ".join(rng.choices(words, weights, k=length // 6))
        parts.append(part)
        size += len(part)
    return b"".join(parts)[:_POOL_SIZE]


def header(name: str, size: int) -> bytes:
    """Return the header of a tar member, as Python's `tarfile` writes it."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = size, _MTIME
    return info.tobuf(tarfile.USTAR_FORMAT)


def make_tar(items: Items) -> bytes:
    """Make a tar with `tarfile`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in items:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), _MTIME
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


class _Unseekable(io.BytesIO):
    """What `zipfile` streams to."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


def make_zip(items: Items, kind: str) -> bytes:
    """Make a zip of one of the `ZIP_KINDS` with `zipfile`; a streamed one as Go's `archive/zip` does."""
    method, streamed = ZIP_KINDS[kind]
    file = _Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=_DEFLATE_LEVEL) as archive:
        for name, data in items:
            info = zipfile.ZipInfo(name, time.gmtime(_MTIME)[:6])
            if streamed:
                info.extra = _GO_TIME
            archive.writestr(info, data, method, _DEFLATE_LEVEL)
    return file.getvalue()
