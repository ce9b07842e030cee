"""Compressed streams in memory: each decompressor beside the reader that everybody has for its format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import lz4.frame
import zstandard

from asyncbatch.codecs import (
    Bzip2Decompressor,
    GzipDecompressor,
    Lz4Decompressor,
    XzDecompressor,
    ZstdDecompressor,
)

from .archives import cut
from .data import COMPRESSORS, Items
from .runner import Contender, Delivered, Row, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncbatch.codecs import Decompressor

    from .runner import Check

__all__ = ["rows"]

_READ_SIZES: Final = (65_536, 262_144)


class _Format(NamedTuple):
    """A compression.

    Attributes:
        decompressor: Ours.
        rival: What the other is called.
        open_file: Makes it, over a file.
        megabytes: Of data: slow ones have less to do.
    """

    decompressor: Callable[[], Decompressor]
    rival: str
    open_file: Callable[[IO[bytes]], Any]
    megabytes: int


_FORMATS: Final = {
    "gzip": _Format(GzipDecompressor, "gzip.GzipFile", lambda file: gzip.GzipFile(fileobj=file), 64),
    "lz4": _Format(Lz4Decompressor, "lz4.frame.LZ4FrameFile", lz4.frame.LZ4FrameFile, 128),
    "lz4 without checksum": _Format(Lz4Decompressor, "lz4.frame.LZ4FrameFile", lz4.frame.LZ4FrameFile, 128),
    "zstd": _Format(
        ZstdDecompressor,
        "zstandard's stream_reader",
        lambda file: zstandard.ZstdDecompressor().stream_reader(file),
        128,
    ),
    "bzip2": _Format(Bzip2Decompressor, "bz2.BZ2File", bz2.BZ2File, 16),
    "xz": _Format(XzDecompressor, "lzma.LZMAFile", lzma.LZMAFile, 16),
}


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield a row for each format."""
    for name, format_ in _FORMATS.items():
        if name.startswith(only):
            items = Items("1MiB", 1 << 20, format_.megabytes).scaled(scale)
            yield _row_of(name, format_, items, rounds)


def _row_of(name: str, format_: _Format, items: Items, rounds: int) -> Row:
    # The stream is one: what it is made of is of no interest here.
    expected = items.expected()._replace(items=1)
    raw = COMPRESSORS[name](b"".join(data for _, data in items))
    chunks = cut(raw)

    def rival(read_size: int) -> Callable[[Check], Delivered]:
        return lambda check: _read(format_.open_file(io.BytesIO(raw)), read_size, check)

    rivals = {f"read({size})": rival(size) for size in _READ_SIZES}
    contenders: dict[str, Callable[[Check], Delivered]] = {
        "codec": lambda check: _decompress(format_.decompressor(), chunks, check),
        **rivals,
    }
    seconds = measure({what: Contender(run, expected) for what, run in contenders.items()}, rounds)
    best = min(rivals, key=seconds.__getitem__)
    return Row(
        work=name,
        what="codec",
        rival=format_.rival,
        settings=best,
        ours=seconds["codec"],
        theirs=seconds[best],
        items=expected.items,
        bytes=expected.bytes,
        rounds=rounds,
    )


def _decompress(decompressor: Decompressor, chunks: list[bytes], check: Check) -> Delivered:
    size = 0
    for chunk in chunks:
        decompressor.feed(chunk)
        for piece in decompressor:
            size += len(piece)
            if check:
                check(piece)
    decompressor.feed_eof()
    return Delivered(1, size)


def _read(file: IO[bytes], read_size: int, check: Check) -> Delivered:
    size = 0
    with file:
        while piece := file.read(read_size):
            size += len(piece)
            if check:
                check(piece)
    return Delivered(1, size)
