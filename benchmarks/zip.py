"""Zip archives in memory: our decoder and `open_archive`, as they arrive, beside `zipfile` on all of it."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final

from asyncbatch.codecs import ZipDecoder

from .archives import cut, read_members, rows_of_archive
from .data import ZIP_KINDS, Items, make_zip
from .rivals import libarchive_reader, stream_unzip_reader
from .runner import Delivered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .runner import Check, Row

__all__ = ["rows"]

_ITEMS: Final = (
    Items("4KiB", 4096, 20_000),
    Items("100KiB", 102_400, 2000),
    Items("20MiB", 20 << 20, 10),
)
_REFUSED: Final = "stored with descriptors"  # by stream-unzip: it cannot tell where such a member ends


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield the rows: for each kind and size, the codec and `open_archive`."""
    for kind in ZIP_KINDS:
        for items in _ITEMS:
            if f"zip {kind} {items.label}".startswith(only):
                yield from _rows_of(kind, items.scaled(scale), rounds)


def _rows_of(kind: str, items: Items, rounds: int) -> Iterator[Row]:
    raw = make_zip(items, kind)
    chunks = cut(raw)
    others = libarchive_reader(raw, "zip")
    if kind != _REFUSED:
        others |= stream_unzip_reader(chunks)
    yield from rows_of_archive(
        f"zip {kind} {items.label}",
        items,
        chunks,
        lambda check: read_members(ZipDecoder(), chunks, check),
        rival="zipfile on the buffered body",
        rivals=_rivals(chunks),
        others=others,
        rounds=rounds,
    )


def _rivals(chunks: list[bytes]) -> dict[str, Callable[[Check], Delivered]]:
    """Return every way to use `zipfile` that may be its best."""
    return {
        "joined": lambda check: _zipfile(io.BytesIO(b"".join(chunks)), check),
        "written to a BytesIO": lambda check: _zipfile(_written(chunks), check),
    }


def _written(chunks: list[bytes]) -> io.BytesIO:
    file = io.BytesIO()
    file.writelines(chunks)
    return file


def _zipfile(file: io.BytesIO, check: Check) -> Delivered:
    count = size = 0
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            data = archive.read(info)
            count += 1
            size += len(data)
            if check:
                check(data)
    return Delivered(count, size)
