"""Other readers of archives, shown beside the one that counts. Those that are not installed are left out."""

from __future__ import annotations

import io
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from .runner import Delivered

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import IO

    from .runner import Check

__all__ = ["libarchive_reader", "stream_unzip_reader", "webdataset_reader"]

_CHUNK_SIZE: Final = 65_536
_BLOCK_SIZE: Final = 4096


@cache
def _load(module: str, package: str) -> ModuleType | None:
    """Import an optional rival; if it is not there, say so once."""
    try:
        return import_module(module)
    except (ImportError, OSError, AttributeError, TypeError) as error:  # the latter: no C library to bind to
        print(f"{package} is left out: {type(error).__name__}: {error}", file=sys.stderr)
        return None


class _Stream(io.BytesIO):
    """What comes from a socket: nobody may go back in it."""

    def seekable(self) -> bool:
        return False


def libarchive_reader(raw: bytes, format_: str) -> dict[str, Callable[[Check], Delivered]]:
    """Return libarchive's own reader of `raw`, compressed or not, by its name; ``{}`` if it is not there.

    Args:
        raw: The archive.
        format_: ``"tar"`` or ``"zip"``.
    """
    libarchive = _load("libarchive", "libarchive-c")
    if libarchive is None:
        return {}

    def read(check: Check) -> Delivered:
        count = size = 0
        with libarchive.stream_reader(_Stream(raw), format_name=format_, block_size=_CHUNK_SIZE) as archive:
            for entry in archive:
                # It makes a buffer for each member: as large as is of use.
                block_size = min(max(entry.size or 0, _BLOCK_SIZE), _CHUNK_SIZE)
                data = b"".join(entry.get_blocks(block_size))
                count += 1
                size += len(data)
                if check:
                    check(data)
        return Delivered(count, size)

    return {"libarchive-c": read}


def stream_unzip_reader(chunks: list[bytes]) -> dict[str, Callable[[Check], Delivered]]:
    """Return the reader of the package stream-unzip by its name; ``{}`` if it is not there."""
    stream_unzip = _load("stream_unzip", "stream-unzip")
    if stream_unzip is None:
        return {}

    def read(check: Check) -> Delivered:
        count = size = 0
        for _, _, pieces in stream_unzip.stream_unzip(iter(chunks)):
            data = b"".join(pieces)
            count += 1
            size += len(data)
            if check:
                check(data)
        return Delivered(count, size)

    return {"stream-unzip": read}


def webdataset_reader(open_file: Callable[[], IO[bytes]]) -> dict[str, Callable[[Check], Delivered]]:
    """Return webdataset's iterator over the tar in a file by its name; ``{}`` if it is not there."""
    webdataset = _load("webdataset.tariterators", "webdataset")
    if webdataset is None:
        return {}

    def read(check: Check) -> Delivered:
        count = size = 0
        for sample in webdataset.tar_file_iterator(open_file()):
            data = sample["data"]
            count += 1
            size += len(data)
            if check:
                check(data)
        return Delivered(count, size)

    return {"webdataset": read}
