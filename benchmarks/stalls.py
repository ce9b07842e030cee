"""How long the event loop stands still while a compressed archive is read: in a worker, and decoded in place.

The figures are no times of work: `ours` and `theirs` are the 99th percentile of how much later than it should
be a task of the same loop was woken, in seconds.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import TYPE_CHECKING, Final

from asyncbatch import open_archive
from asyncbatch.codecs import MemberData, MemberEnd
from asyncbatch.codecs._formats import parse_format
from asyncbatch.codecs._pipeline import open_decoder

from .archives import cut
from .data import COMPRESSORS, Items, make_tar
from .runner import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from asyncbatch.codecs._events import Buffer

__all__ = ["rows"]

_FORMATS: Final = {
    ".tar.gz": "gzip",
    ".tar.lz4": "lz4",
    ".tar.zst": "zstd",
    ".tar.bz2": "bzip2",
    ".tar.xz": "xz",
}
_SLOW: Final = {".tar.bz2", ".tar.xz"}
_ITEMS: Final = (Items("4KiB", 4096, 20_000), Items("100KiB", 102_400, 800))
_TICK: Final = 0.001
_PERCENT: Final = 99


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield the rows: each format, with small members and larger ones."""
    for format_ in _FORMATS:
        for items in _ITEMS:
            work = f"stalls {format_[1:]} {items.label}"
            if work.startswith(only):
                yield _row(work, format_, items.scaled(scale / 10 if format_ in _SLOW else scale), rounds)


def _row(work: str, format_: str, items: Items, rounds: int) -> Row:
    chunks = cut(COMPRESSORS[_FORMATS[format_]](make_tar(items)))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(asyncio.run(_lateness(_read(chunks))))
        theirs.append(asyncio.run(_lateness(_read_in_place(format_, chunks))))
    return Row(
        work=work,
        what="open_archive",
        rival="decoded in place",
        settings=f"{_PERCENT}th percentile",
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        items=items.count,
        bytes=items.count * items.size,
        rounds=rounds,
    )


async def _lateness(reading: Awaitable[None]) -> float:
    """Return how much too late a task was woken while another one reads: the 99th percentile."""
    late: list[float] = []
    ticking = asyncio.create_task(_tick(late))
    await asyncio.sleep(2 * _TICK)
    await reading
    await asyncio.sleep(2 * _TICK)  # the stall of the last chunk counts, too
    ticking.cancel()
    late.sort()
    return late[len(late) * _PERCENT // 100]


async def _tick(late: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _TICK
        await asyncio.sleep(_TICK)
        late.append(max(loop.time() - due, 1e-6))


async def _arriving(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """Give the loop a turn for each chunk, as a socket does."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def _read(chunks: list[bytes]) -> None:
    async with open_archive(_arriving(chunks)) as archive:
        async for member in archive:
            await member.read()


async def _read_in_place(format_: str, chunks: list[bytes]) -> None:
    decoder = open_decoder(parse_format(format_))
    parts: list[Buffer] = []
    async for chunk in _arriving(chunks):
        decoder.feed(chunk)
        for event in decoder:
            if isinstance(event, MemberData):
                parts.append(event.data)
            elif isinstance(event, MemberEnd):
                b"".join(parts)
                parts.clear()
    decoder.feed_eof()
