"""Tar archives in memory, plain and compressed: our decoder and `open_archive` beside `tarfile`."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import IO, TYPE_CHECKING, Any, Final

import lz4.frame
import zstandard

from asyncbatch.codecs import GzipDecompressor, Lz4Decompressor, TarDecoder, ZstdDecompressor

from .archives import cut, read_members, rows_of_archive
from .data import COMPRESSORS, Items, make_tar
from .rivals import libarchive_reader, webdataset_reader
from .runner import Delivered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncbatch.codecs import Decompressor

    from .runner import Check, Row

__all__ = ["rows"]

_ITEMS: Final = (
    Items("4KiB", 4096, 20_000),
    Items("100KiB", 102_400, 2000),
    Items("20MiB", 20 << 20, 10),
)
_COMPRESSIONS: Final = {
    ".tar.gz": "gzip",
    ".tar.lz4": "lz4",
    ".tar.lz4 without checksum": "lz4 without checksum",
    ".tar.zst": "zstd",
}
_DECOMPRESSORS: Final[dict[str, Callable[[], Decompressor]]] = {
    ".tar.gz": GzipDecompressor,
    ".tar.lz4": Lz4Decompressor,
    ".tar.lz4 without checksum": Lz4Decompressor,
    ".tar.zst": ZstdDecompressor,
}
# What stands between the file and tarfile.
_OPENERS: Final[dict[str, Callable[[IO[bytes]], Any]]] = {
    ".tar": lambda file: file,
    ".tar.gz": lambda file: gzip.GzipFile(fileobj=file),
    ".tar.lz4": lz4.frame.LZ4FrameFile,
    ".tar.lz4 without checksum": lz4.frame.LZ4FrameFile,
    ".tar.zst": lambda file: zstandard.ZstdDecompressor().stream_reader(file),
}
_BUFFER_SIZES: Final = (10_240, 65_536, 262_144)  # the first is tarfile's default


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield the rows: for each format and size, the codec and `open_archive`."""
    for format_ in _OPENERS:
        for items in _ITEMS:
            if f"{format_[1:]} {items.label}".startswith(only):
                yield from _rows_of(format_, items.scaled(scale), rounds)


def _rows_of(format_: str, items: Items, rounds: int) -> Iterator[Row]:
    raw = make_tar(items)
    if format_ in _COMPRESSIONS:
        raw = COMPRESSORS[_COMPRESSIONS[format_]](raw)
    chunks = cut(raw)
    others = libarchive_reader(raw, "tar") | webdataset_reader(lambda: _OPENERS[format_](io.BytesIO(raw)))
    yield from rows_of_archive(
        f"{format_[1:]} {items.label}",
        items,
        chunks,
        lambda check: _codec(format_, chunks, check),
        rival="tarfile r|*",
        rivals=_rivals(format_, raw),
        others=others,
        rounds=rounds,
    )


def _codec(format_: str, chunks: list[bytes], check: Check) -> Delivered:
    pieces = chunks if format_ == ".tar" else _decompress(_DECOMPRESSORS[format_](), chunks)
    return read_members(TarDecoder(), pieces, check)


def _decompress(decompressor: Decompressor, chunks: list[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        decompressor.feed(chunk)
        yield from decompressor
    decompressor.feed_eof()


def _rivals(format_: str, raw: bytes) -> dict[str, Callable[[Check], Delivered]]:
    """Return every way to use `tarfile` that may be its best."""

    def rival(format_: str, buffer_size: int, *, clear: bool = True) -> Callable[[Check], Delivered]:
        opener = _OPENERS[format_]
        return lambda check: _tarfile(opener(io.BytesIO(raw)), buffer_size, clear=clear, check=check)

    if format_ == ".tar":
        return {
            f"bufsize={size}{', members cleared' * clear}": rival(format_, size, clear=clear)
            for size in _BUFFER_SIZES
            for clear in (False, True)
        }
    found = {
        f"{format_[5:].partition(' ')[0]} stream, bufsize={size}, members cleared": rival(format_, size)
        for size in _BUFFER_SIZES[1:]
    }
    if format_ == ".tar.gz":
        found["bufsize=65536, members cleared"] = rival(".tar", 65_536)  # tarfile's own gzip
    return found


def _tarfile(file: IO[bytes], buffer_size: int, *, clear: bool, check: Check) -> Delivered:
    count = size = 0
    with tarfile.open(fileobj=file, mode="r|*", bufsize=buffer_size) as tar:
        for info in tar:
            if clear:
                tar.members = []  # type: ignore[attr-defined]  # it keeps all that it has seen
            member = tar.extractfile(info)
            assert member is not None
            data = member.read()
            count += 1
            size += len(data)
            if check:
                check(data)
    return Delivered(count, size)
