"""Archives from bytes and to bytes: a source and a decoder give members, members and an encoder bytes."""

from __future__ import annotations

from ._encode import EncodedArchive, EncodeMember, encode_archive
from ._extract import ExtractResult
from ._reader import Archive, ArchiveMember, open_archive

__all__ = [
    "Archive",
    "ArchiveMember",
    "EncodeMember",
    "EncodedArchive",
    "ExtractResult",
    "encode_archive",
    "open_archive",
]
