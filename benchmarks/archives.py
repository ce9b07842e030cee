"""What the benchmarks of archives have in common: how ours are read, and which rows are made of it."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Final

from asyncbatch import open_archive
from asyncbatch.codecs import MemberData, MemberStart, WholeMember

from .runner import Contender, Delivered, Row, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from asyncbatch.codecs import Decoder

    from .data import Items
    from .runner import Check

__all__ = ["CHUNK_SIZE", "cut", "read_members", "rows_of_archive"]

CHUNK_SIZE: Final = 65_536
"""Bytes of the chunks in which archives arrive."""

_LARGE: Final = (
    1 << 20
)  # members from here on are written into one buffer instead of joined, as we do ourselves


def cut(raw: bytes) -> list[bytes]:
    """Cut an archive into the chunks in which it arrives."""
    return [raw[start : start + CHUNK_SIZE] for start in range(0, len(raw), CHUNK_SIZE)]


def rows_of_archive(
    work: str,
    items: Items,
    chunks: list[bytes],
    read: Callable[[Check], Delivered],
    *,
    rival: str,
    rivals: Mapping[str, Callable[[Check], Delivered]],
    others: Mapping[str, Callable[[Check], Delivered]],
    rounds: int,
) -> Iterator[Row]:
    """Yield the rows of an archive: of its codec, and of `open_archive`.

    Args:
        work: What they are called.
        items: What the archive holds.
        chunks: The archive.
        read: Reads it with our codec.
        rival: Who else reads it,
        rivals: in every way that may be the fastest.
        others: Further rivals, by their names.
        rounds: How many to take the median of.
    """
    expected = items.expected()
    with asyncio.Runner() as runner:
        contenders = {
            "codec": read,
            "open_archive": lambda check: runner.run(_read_archive(chunks, check)),
            **rivals,
            **others,
        }
        seconds = measure({name: Contender(run, expected) for name, run in contenders.items()}, rounds)
    best = min(rivals, key=seconds.__getitem__)
    overhead = (seconds["open_archive"] - seconds["codec"]) / expected.items
    for what in ("codec", "open_archive"):
        yield Row(
            work=work if what == "codec" else f"{work}, {what}",
            what=what,
            rival=rival,
            settings=best,
            ours=seconds[what],
            theirs=seconds[best],
            beside={name: seconds[name] for name in others},
            overhead_ns=None if what == "codec" else round(overhead * 1e9),
            items=expected.items,
            bytes=expected.bytes,
            rounds=rounds,
        )


def read_members(decoder: Decoder, chunks: Iterable[bytes], check: Check) -> Delivered:
    """Read all members of an archive, each whole."""
    count = size = 0
    parts: list[bytes | bytearray | memoryview] = []
    keep: Callable[[bytes | bytearray | memoryview], object] = parts.append
    buffer: io.BytesIO | None = None
    for chunk in chunks:
        decoder.feed(chunk)
        for event in decoder:
            if isinstance(event, WholeMember):
                data = event.data
            elif isinstance(event, MemberData):
                keep(event.data)
                continue
            elif isinstance(event, MemberStart):
                if event.size is None or event.size > _LARGE:
                    buffer = io.BytesIO(bytes(event.size or 0))
                    keep = buffer.write
                continue
            elif buffer is None:
                data = b"".join(parts)
                parts.clear()
            else:
                data = buffer.getvalue()
                buffer, keep = None, parts.append
            count += 1
            size += len(data)
            if check:
                check(data)
    decoder.feed_eof()
    return Delivered(count, size)


async def _read_archive(chunks: list[bytes], check: Check) -> Delivered:
    count = size = 0
    async with open_archive(chunks) as archive:
        async for member in archive:
            data = await member.read()
            count += 1
            size += len(data)
            if check:
                check(data)
    return Delivered(count, size)
