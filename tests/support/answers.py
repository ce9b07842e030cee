"""Answers to batches, read below `BatchStream`: what a source gives, and nothing that was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from asyncbatch.codecs._events import MemberStart, WholeMember
from asyncbatch.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from asyncbatch.aistore.wire import WireRequest
    from asyncbatch.batch import BatchAnswer
    from asyncbatch.limits import Limits

__all__ = ["OneAnswer", "read_members"]


class OneAnswer:
    """In place of a connection: what answers is always the same.

    Args:
        chunks: Of the body; an error is raised in its turn.
        headers: Of the answer.
        status: HTTP status.
        limits: What the client has.
    """

    def __init__(
        self,
        chunks: Iterable[bytes | Exception],
        *,
        headers: dict[str, str] | None = None,
        status: int = 200,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.limits = limits
        self._chunks = list(chunks)
        self._headers = {"transfer-encoding": "chunked"} if headers is None else headers
        self._status = status
        self.responses: list[httpx.Response] = []

    async def open_once(self, request: WireRequest) -> httpx.Response:
        asked = httpx.Request(request.method, f"http://cluster{request.path}")
        response = httpx.Response(self._status, headers=self._headers, content=self._iterate(), request=asked)
        self.responses.append(response)
        return response

    async def _iterate(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


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
    stream = answer.open_stream(limits)
    try:
        more = True
        while more:
            for event in stream.events:
                if isinstance(event, WholeMember):
                    members.append((event.name, event.data))
                elif isinstance(event, MemberStart):
                    members.append((event.name, await stream.collect(event)))
                    break  # collecting may have renewed the events
            else:
                more = await stream.pull()
    finally:
        await stream.aclose()
    return members
