"""What a test must not leave behind."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["nothing_left_open", "until"]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what the tests wait for sets no event
            await asyncio.sleep(0)


def _open_files() -> set[tuple[str, str]]:
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - of this process, and in no folder
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))  # noqa: PTH115
        except OSError:
            continue  # the one that lists the others
    # libuv keeps one open in reserve, for when there are no more to be had.
    return {one for one in found if one[1] != "/dev/null"}


@asynccontextmanager
async def nothing_left_open() -> AsyncIterator[None]:
    """Fail unless every task, socket and file that came into being inside is gone soon after."""
    files, tasks = _open_files(), asyncio.all_tasks()
    yield
    try:
        await until(lambda: not _open_files() - files and not asyncio.all_tasks() - tasks)
    except TimeoutError:
        left = sorted(_open_files() - files), asyncio.all_tasks() - tasks
        raise AssertionError(f"left open: {left}") from None
