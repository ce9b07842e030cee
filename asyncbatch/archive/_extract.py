"""Archives into folders: members are read here, planned by `_plan` and made by `_folder`, off the loop."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._folder import Folder
from ._plan import explain, plan_member
from ._threads import in_thread

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ._plan import Plan
    from ._reader import Archive, ArchiveMember

__all__ = ["ExtractResult", "extract"]

# What goes to a thread at once: enough for the hop not to matter, little enough to be held.
_BATCH_SIZE: Final = 262_144
_BATCH_MEMBERS: Final = 256


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
    folder = Folder(destination)
    try:
        await in_thread(folder.open)
        extraction = _Extraction(folder)
        try:
            async for member in archive:
                await extraction.add(member)
        except Exception:
            # What was received whole before the fault is good. Not so on a cancellation: that is to stop.
            await extraction.flush()
            raise
        await extraction.flush()
        return extraction.result
    finally:
        await archive.aclose()
        await in_thread(folder.close)


class _Extraction:
    """Gathers small members, to make many per hop to a thread, and passes large ones on as they come."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._gathered: list[tuple[Plan, list[bytes]]] = []
        self._held = 0
        self._counts = {"file": 0, "dir": 0, "symlink": 0, "hardlink": 0}
        self._bytes = 0

    @property
    def result(self) -> ExtractResult:
        counts = self._counts
        return ExtractResult(
            counts["file"], self._bytes, counts["dir"], counts["symlink"] + counts["hardlink"]
        )

    async def add(self, member: ArchiveMember) -> None:
        """Extract a member, at once or with those that follow."""
        plan = plan_member(
            member.name,
            member.kind,
            linkname=member.linkname,
            mode=member.mode,
            mtime=member.mtime,
            offset=member.offset,
        )
        data: list[bytes] = []
        if plan.kind == "file":
            if member.size is None or member.size > _BATCH_SIZE:
                await self._stream(plan, member)
                return
            data = [chunk async for chunk in member]
            self._held += member.size
        self._gathered.append((plan, data))
        if self._held >= _BATCH_SIZE or len(self._gathered) >= _BATCH_MEMBERS:
            await self.flush()

    async def flush(self) -> None:
        """Make what was gathered."""
        gathered, self._gathered, self._held = self._gathered, [], 0
        if gathered:
            await in_thread(self._make_all, gathered)

    async def _stream(self, plan: Plan, member: ArchiveMember) -> None:
        """Write a file that is not held in memory."""
        await self.flush()
        await in_thread(self._begin, plan)
        gathered: list[bytes] = []
        held = 0
        async for chunk in member:
            gathered.append(chunk)
            held += len(chunk)
            if held >= _BATCH_SIZE:
                await in_thread(self._write, plan, gathered)
                gathered, held = [], 0
        await in_thread(self._commit, plan, gathered)

    # -- in a thread --------------------------------------------------------------------------------------

    def _make_all(self, gathered: list[tuple[Plan, list[bytes]]]) -> None:
        for plan, data in gathered:
            with _explaining(plan):
                self._make(plan, data)
            self._count(plan, data)

    def _make(self, plan: Plan, data: list[bytes]) -> None:
        if plan.kind == "file":
            self._folder.write_file(plan.parts, data, mode=plan.mode, mtime=plan.mtime)
        elif plan.kind == "dir":
            self._folder.make_folder(plan.parts, plan.mode)
        elif plan.kind == "symlink":
            self._folder.make_symlink(plan.parts, plan.target)
        else:
            self._folder.make_hardlink(plan.parts, plan.target_parts)

    def _begin(self, plan: Plan) -> None:
        with _explaining(plan):
            self._folder.begin(plan.parts, plan.mode)

    def _write(self, plan: Plan, data: list[bytes]) -> None:
        with _explaining(plan):
            self._folder.write(data)
        self._bytes += sum(map(len, data))

    def _commit(self, plan: Plan, data: list[bytes]) -> None:
        with _explaining(plan):
            self._folder.write(data)
            self._folder.commit(plan.mtime)
        self._count(plan, data)

    def _count(self, plan: Plan, data: list[bytes]) -> None:
        self._counts[plan.kind] += 1
        self._bytes += sum(map(len, data))


@contextmanager
def _explaining(plan: Plan) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error, plan) from error
