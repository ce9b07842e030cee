"""Archives into folders: members are read here, planned by `_plan` and made by `_writer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._plan import explain, plan_member
from ._writer import FolderWriter

if TYPE_CHECKING:
    import os

    from ._reader import Archive

__all__ = ["ExtractResult", "extract"]


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What was extracted.

    Attributes:
        files: Regular files written.
        bytes: Bytes in them.
        dirs: Members that are folders.
        links: Symbolic and hard links made.
    """

    files: int
    bytes: int
    dirs: int
    links: int


async def extract(archive: Archive, destination: str | os.PathLike[str]) -> ExtractResult:
    """Extract the members of an archive that are still to come; see `Archive.extract_all`."""
    try:
        async with FolderWriter(destination, explain) as writer:
            async for member in archive:
                plan = plan_member(
                    member.name,
                    member.kind,
                    linkname=member.linkname,
                    mode=member.mode,
                    mtime=member.mtime,
                    offset=member.offset,
                )
                await writer.add(plan, member, member.size)
    finally:
        await archive.aclose()
    made = writer.made
    return ExtractResult(made["file"], writer.bytes, made["dir"], made["symlink"] + made["hardlink"])
