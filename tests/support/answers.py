"""Answers to batches, read below `BatchStream`: what a source gives, and nothing that was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch.archive._events import EventStream
from asyncbatch.codecs._events import MemberStart, WholeMember
from asyncbatch.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from asyncbatch.batch import BatchAnswer
    from asyncbatch.limits import Limits

__all__ = ["read_members"]


async def read_members(
    answer: BatchAnswer, into: list[tuple[str, bytes]] | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> list[tuple[str, bytes]]:
    """Read an answer to its end, close it, and return the names and data of its members.

    Args:
        answer: What a source returned.
        into: Where the members are kept, those before an error as well.
        limits: Bounds for the decoder.
    """
    members = [] if into is None else into
    stream = EventStream(answer.chunks, answer.archive_format, limits=limits, sizes=answer.sizes)
    try:
        more = True
        while more:
            more = await stream.pull()
            for event in stream.events:
                if isinstance(event, WholeMember):
                    members.append((event.name, event.data))
                elif isinstance(event, MemberStart):
                    data = await stream.collect(event)
                    members.append((event.name, data))
                    break  # collecting has renewed the events
    finally:
        await stream.aclose()
    return members
