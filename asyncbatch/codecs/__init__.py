"""Sans-IO codecs: bytes in, events or bytes out; no event loop, no I/O.

Names are loaded when first used, and with them the libraries they stand on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ._compress import Compressor, GzipCompressor, Lz4Compressor, ZstdCompressor
    from ._decompress import Decompressor, GzipDecompressor, Lz4Decompressor, ZstdDecompressor
    from ._events import Decoder, Event, MemberData, MemberEnd, MemberKind, MemberStart, WholeMember
    from ._formats import ArchiveFormat
    from ._tar_decoder import TarDecoder
    from ._tar_encoder import TarEncoder

__all__ = [
    "ArchiveFormat",
    "Compressor",
    "Decoder",
    "Decompressor",
    "Event",
    "GzipCompressor",
    "GzipDecompressor",
    "Lz4Compressor",
    "Lz4Decompressor",
    "MemberData",
    "MemberEnd",
    "MemberKind",
    "MemberStart",
    "TarDecoder",
    "TarEncoder",
    "WholeMember",
    "ZstdCompressor",
    "ZstdDecompressor",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "_compress": ("Compressor", "GzipCompressor", "Lz4Compressor", "ZstdCompressor"),
        "_decompress": ("Decompressor", "GzipDecompressor", "Lz4Decompressor", "ZstdDecompressor"),
        "_events": (
            "Decoder",
            "Event",
            "MemberData",
            "MemberEnd",
            "MemberKind",
            "MemberStart",
            "WholeMember",
        ),
        "_formats": ("ArchiveFormat",),
        "_tar_decoder": ("TarDecoder",),
        "_tar_encoder": ("TarEncoder",),
    },
)
