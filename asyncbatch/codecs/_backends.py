"""The one place that knows which library does zlib's work: isal if it is there, else zlib-ng, else zlib.

All three have zlib's interface, so nothing else in the library has to ask. Over tar.gz streams isal inflates
1.4 times as fast as zlib, and its checksums cost next to nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._events import Buffer

__all__ = [
    "BACKEND",
    "Backend",
    "CompressObject",
    "DecompressObject",
    "adler32",
    "choose_backend",
    "crc32",
    "gzip_compressobj",
    "inflate_error",
    "raw_compressobj",
    "raw_decompressobj",
]

# wbits as in zlib's manual: 15 is deflate's largest window; 16 more mean a gzip wrapper, negative none.
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class DecompressObject(Protocol):
    """What `zlib.decompressobj` returns."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was met."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """Input that `max_length` kept from being read; behind the end, empty or as `unused_data`."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Input behind the end, else empty. isal reads ahead: it may begin before the last argument did."""
        ...

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """Decompress `data` to at most `max_length` bytes."""
        ...


class CompressObject(Protocol):
    """What `zlib.compressobj` returns."""

    def compress(self, data: Buffer, /) -> bytes:
        """Compress `data`; the result may come later."""
        ...

    def flush(self) -> bytes:
        """Return what is left, and end the stream."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """A library with zlib's interface.

    Attributes:
        name: The module.
        module: The module itself.
        max_level: The highest level its `compressobj` takes.
    """

    name: str
    module: Any
    max_level: int


# isal has levels of its own: its 0 to 3 are all about as fast as zlib's 1.
_CANDIDATES: Final = (("isal.isal_zlib", 3), ("zlib_ng.zlib_ng", 9), ("zlib", 9))


def choose_backend(load: Callable[[str], Any] = import_module) -> Backend:
    """Return the fastest backend that `load` can import.

    Args:
        load: Imports a module by name, or raises `ImportError`. It must have `zlib`.

    Raises:
        ImportError: if `load` has not even `zlib`.
    """
    missing = []
    for name, max_level in _CANDIDATES:
        try:
            return Backend(name, load(name), max_level)
        except ImportError:
            missing.append(name)
    raise ImportError(f"none of {', '.join(missing)} can be imported")


BACKEND: Final = choose_backend()

adler32: Final[Callable[..., int]] = BACKEND.module.adler32  # (data, value=1)
crc32: Final[Callable[..., int]] = BACKEND.module.crc32  # (data, value=0)
inflate_error: Final[type[Exception]] = BACKEND.module.error


def raw_decompressobj(backend: Backend = BACKEND) -> DecompressObject:
    """Return a decompressor of raw deflate (RFC 1951), without any wrapper."""
    decompressobj: DecompressObject = backend.module.decompressobj(wbits=_RAW)
    return decompressobj


def gzip_compressobj(level: int, backend: Backend = BACKEND) -> CompressObject:
    """Return a compressor to gzip (RFC 1952).

    Its modification time is 0, as zlib has it: one backend makes equal bytes of equal data.

    Args:
        level: 0 (store, or the least effort) to 9. Levels that `backend` does not have are zlib's.
        backend: Who does it.
    """
    return _compressobj(level, _GZIP, backend)


def raw_compressobj(level: int, backend: Backend = BACKEND) -> CompressObject:
    """Return a compressor to raw deflate (RFC 1951), without any wrapper; as `gzip_compressobj`."""
    return _compressobj(level, _RAW, backend)


def _compressobj(level: int, wbits: int, backend: Backend) -> CompressObject:
    module = backend.module if level <= backend.max_level else zlib
    compressobj: CompressObject = module.compressobj(level, zlib.DEFLATED, wbits)
    return compressobj
