"""Sans-IO codecs: bytes in, events or bytes out; no event loop, no I/O.

Names are loaded when first used, and with them the libraries they stand on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ._bzip2 import Bzip2Compressor, Bzip2Decompressor
    from ._compress import Compressor
    from ._decompress import Decompressor
    from ._events import Decoder, Event, MemberData, MemberEnd, MemberKind, MemberStart, WholeMember
    from ._formats import ArchiveFormat
    from ._gzip import GzipCompressor, GzipDecompressor
    from ._lz4 import Lz4Compressor, Lz4Decompressor
    from ._multipart import MultipartDecoder
    from ._multipart_header import parse_boundary
    from ._tar_decoder import TarDecoder
    from ._tar_encoder import TarEncoder
    from ._xz import XzCompressor, XzDecompressor
    from ._zip_decoder import ZipDecoder
    from ._zip_encoder import ZipEncoder
    from ._zip_events import ZipRecord
    from ._zstd import ZstdCompressor, ZstdDecompressor

__all__ = [
    "ArchiveFormat",
    "Bzip2Compressor",
    "Bzip2Decompressor",
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
    "MultipartDecoder",
    "TarDecoder",
    "TarEncoder",
    "WholeMember",
    "XzCompressor",
    "XzDecompressor",
    "ZipDecoder",
    "ZipEncoder",
    "ZipRecord",
    "ZstdCompressor",
    "ZstdDecompressor",
    "parse_boundary",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "_bzip2": ("Bzip2Compressor", "Bzip2Decompressor"),
        "_compress": ("Compressor",),
        "_decompress": ("Decompressor",),
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
        "_gzip": ("GzipCompressor", "GzipDecompressor"),
        "_lz4": ("Lz4Compressor", "Lz4Decompressor"),
        "_multipart": ("MultipartDecoder",),
        "_multipart_header": ("parse_boundary",),
        "_tar_decoder": ("TarDecoder",),
        "_tar_encoder": ("TarEncoder",),
        "_xz": ("XzCompressor", "XzDecompressor"),
        "_zip_decoder": ("ZipDecoder",),
        "_zip_encoder": ("ZipEncoder",),
        "_zip_events": ("ZipRecord",),
        "_zstd": ("ZstdCompressor", "ZstdDecompressor"),
    },
)
