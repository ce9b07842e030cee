"""An async source of bytes and a decoder make an async iterator of members."""

from __future__ import annotations

from ._reader import Archive, ArchiveMember, open_archive

__all__ = ["Archive", "ArchiveMember", "open_archive"]
