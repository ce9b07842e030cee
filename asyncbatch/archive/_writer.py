"""Files into a folder from a coroutine: small ones many at a time, large ones as their data comes."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from ._folder import Folder
from ._plan import plan_member
from ._threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Iterator
    from types import TracebackType

    from ..codecs._zip_events import ZipRecord
    from ._plan import Plan

__all__ = ["FolderWriter"]

# What goes to a thread at once: enough for the hop not to matter, little enough to be held.
_BATCH_SIZE: Final = 262_144
_BATCH_MEMBERS: Final = 256
_MAX_TARGET: Final = 65_536  # bytes of a link's target that are read; systems take 4,095


class FolderWriter:
    """Makes what plans say in a folder, off the event loop; to be used in an ``async with``.

    What was added has been made when the block is left, also by an error: it came before it and is good. Not
    so on a cancellation, which is to stop. Files that are not whole are removed, however it is left.

    Attributes:
        made: How many of each kind were made.
        bytes: Data in them.

    Args:
        path: The folder, made if it does not exist.
        explain: Makes an error of what the system said of a plan.
    """

    def __init__(self, path: str | os.PathLike[str], explain: Callable[[OSError, Plan], Exception]) -> None:
        self._folder = Folder(path)
        self._explain = explain
        self._gathered: list[tuple[Plan, list[bytes]]] = []
        self._held = 0
        self.made: Counter[str] = Counter()
        self.bytes = 0

    async def __aenter__(self) -> Self:
        try:
            await in_thread(self._folder.open)
        except BaseException:
            await in_thread(self._folder.close)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, Exception):
                await self._flush()
        finally:
            await in_thread(self._folder.close)

    async def add(self, plan: Plan, data: AsyncIterable[bytes], size: int | None) -> None:
        """Make what a plan says, at once or with those that follow.

        Args:
            plan: The plan.
            data: Read only if it is for a file.
            size: Of the data, or None if it is not known.
        """
        pieces: list[bytes] = []
        if plan.kind == "file":
            if size is None or size > _BATCH_SIZE:
                await self._stream(plan, data)
                return
            pieces = [chunk async for chunk in data]
            self._held += size
        self._gathered.append((plan, pieces))
        if self._held >= _BATCH_SIZE or len(self._gathered) >= _BATCH_MEMBERS:
            await self._flush()

    async def amend(self, plans: Iterable[tuple[Plan, ZipRecord]]) -> None:
        """Give files the modes that a zip told at its end, and make links of those that it said are links.

        Until now they are files that hold their target: nothing was written through them.
        """
        await self._flush()
        await in_thread(self._amend_all, plans)

    async def _flush(self) -> None:
        gathered, self._gathered, self._held = self._gathered, [], 0
        if gathered:
            await in_thread(self._make_all, gathered)

    async def _stream(self, plan: Plan, data: AsyncIterable[bytes]) -> None:
        """Write a file that is not held in memory."""
        await self._flush()
        await in_thread(self._begin, plan)
        gathered: list[bytes] = []
        held = 0
        async for chunk in data:
            gathered.append(chunk)
            held += len(chunk)
            if held >= _BATCH_SIZE:
                await in_thread(self._write, plan, gathered)
                gathered, held = [], 0
        await in_thread(self._commit, plan, gathered)

    # -- in a thread --------------------------------------------------------------------------------------

    def _make_all(self, gathered: list[tuple[Plan, list[bytes]]]) -> None:
        for plan, data in gathered:
            with self._explaining(plan):
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

    def _amend_all(self, plans: Iterable[tuple[Plan, ZipRecord]]) -> None:
        for plan, record in plans:
            with self._explaining(plan):
                if record.is_symlink:
                    target = self._folder.read_file(plan.parts, _MAX_TARGET)
                    link = plan_member(
                        plan.name, "symlink", linkname=os.fsdecode(target), offset=record.offset
                    )
                    self._folder.make_symlink(link.parts, link.target)
                    self.made.subtract(("file",))
                    self.made.update(("symlink",))
                    self.bytes -= record.size
                elif record.mode is not None:
                    self._folder.set_mode(plan.parts, record.mode & 0o777 | 0o600)

    def _begin(self, plan: Plan) -> None:
        with self._explaining(plan):
            self._folder.begin(plan.parts, plan.mode)

    def _write(self, plan: Plan, data: list[bytes]) -> None:
        with self._explaining(plan):
            self._folder.write(data)
        self.bytes += sum(map(len, data))

    def _commit(self, plan: Plan, data: list[bytes]) -> None:
        with self._explaining(plan):
            self._folder.write(data)
            self._folder.commit(plan.mtime)
        self._count(plan, data)

    def _count(self, plan: Plan, data: list[bytes]) -> None:
        self.made[plan.kind] += 1
        self.bytes += sum(map(len, data))

    @contextmanager
    def _explaining(self, plan: Plan) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explain(error, plan) from error
