"""Archives into folders: members are read here, planned by `_plan` and made by `_writer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._plan import explain, plan_member
from ._writer import FolderWriter

if TYPE_CHECKING:
    import os

    from ..codecs._zip_events import ZipRecord
    from ._plan import Plan
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
            late: list[Plan] = []
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
                if member.mode is None:
                    late.append(plan)
            if archive.directory is not None:
                await writer.amend(_last_of_each_name(late, archive.directory))
    finally:
        await archive.aclose()
    made = writer.made
    return ExtractResult(made["file"], writer.bytes, made["dir"], made["symlink"] + made["hardlink"])


def _last_of_each_name(plans: list[Plan], records: tuple[ZipRecord, ...]) -> list[tuple[Plan, ZipRecord]]:
    """Pair the files that were extracted last with their records; the last of a name is what is there now."""
    started = len(records) - len(plans)  # members may have been read before extraction began
    files = {plan.parts: (plan, record) for plan, record in zip(plans, records[started:], strict=True)}
    return [pair for pair in files.values() if pair[0].kind == "file"]
