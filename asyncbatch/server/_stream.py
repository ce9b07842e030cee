"""Bodies in both directions, in constant memory.

What is sent comes from a plain iterator of pieces that reads files. It runs in a worker thread, a chunk's
worth per hop: so a batch of small objects costs a hop per quarter of a megabyte, not one per object. The next
hop starts when the connection has taken the last chunk, and none when the client is gone.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from anyio import CancelScope
from anyio.to_thread import run_sync

from ._errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from ..codecs._events import Buffer

__all__ = ["CHUNK_SIZE", "TRAILERS", "Body", "CutError", "StreamResponse", "read_body", "watching"]

CHUNK_SIZE: Final = 262_144
"""Bytes at which a chunk of a body is sent."""

TRAILERS: Final = "http.response.trailers"
"""What ASGI calls trailers: the extension of its scope, and the type of the messages."""

_logger: Final = logging.getLogger("asyncbatch.server")


class CutError(Exception):
    """What was promised cannot be sent: an object changed, or cannot be read on, while it was streamed.

    Nothing may be made up in its place, and the body must not look complete: the connection is cut.
    """


class Body:
    """Pieces of a body, gathered to chunks. An error comes after all that was good before it.

    Attributes:
        done: Whether the last chunk was given.
    """

    def __init__(self, pieces: Generator[Buffer]) -> None:
        self._pieces = pieces
        self._error: Exception | None = None
        self._busy = Lock()
        self._closed = False
        self.done = False

    def fill(self) -> bytes:
        """Return the next chunk, perhaps an empty one. Blocks, and is not for the event loop's thread."""
        if self._error is not None:
            raise self._error
        gathered: list[Buffer] = []
        try:
            with self._busy:
                self._gather(gathered)
        except Exception as error:
            if not gathered:
                raise
            self._error = error
        finally:
            if self._closed:
                self.close()
        return gathered[0] if len(gathered) == 1 and isinstance(gathered[0], bytes) else b"".join(gathered)

    def _gather(self, gathered: list[Buffer]) -> None:
        length = 0
        for piece in self._pieces:
            gathered.append(piece)
            length += len(piece)
            if length >= CHUNK_SIZE:
                return
        self.done = True

    def close(self) -> None:
        """Close what the pieces are read from: at once, or when a thread that is in `fill` leaves it.

        A task can be cancelled while it waits for such a thread, which knows nothing of it.
        """
        self._closed = True
        if self._busy.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._busy.release()


class StreamResponse:
    """An ASGI application that answers with a body which is read while it is sent.

    Args:
        body: Closed in the end, however it ends.
        first: What was taken from `body` already.
        trailers: Returns what follows the body, where the server can send it; asked in the beginning for the
            names, and again in the end.
    """

    def __init__(
        self,
        body: Body,
        *,
        headers: Mapping[str, str],
        status: int = 200,
        first: bytes = b"",
        trailers: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self._status = status
        self._headers = headers
        self._body = body
        self._first = first
        self._trailers = trailers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as far as the client takes it."""
        headers = dict(self._headers)
        if TRAILERS not in (scope.get("extensions") or {}):
            self._trailers = None
        elif self._trailers is not None:
            headers["Trailer"] = ", ".join(self._trailers())
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self._status,
                    "headers": _encoded(headers),
                    "trailers": self._trailers is not None,
                }
            )
            if self._body.done:
                await self._end(self._first, send)
            else:
                await self._pump(receive, send)
        except CutError as error:
            # Returning with the body incomplete makes the server close the connection.
            _logger.warning("%s: response cut short: %s", scope["path"], error)
        finally:
            self._body.close()

    async def _pump(self, receive: Receive, send: Send) -> None:
        chunk = self._first
        async with watching(receive) as gone:
            while not gone.done():
                if self._body.done:
                    await self._end(chunk, send)
                    break
                if chunk:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await run_sync(self._body.fill)

    async def _end(self, chunk: bytes, send: Send) -> None:
        await send({"type": "http.response.body", "body": chunk})
        if self._trailers is not None:
            await send({"type": TRAILERS, "headers": _encoded(self._trailers())})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


@asynccontextmanager
async def watching(receive: Receive) -> AsyncIterator[asyncio.Task[None]]:
    """Watch a client whose request was read: the task is done when it is gone."""

    async def wait_until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(wait_until_gone())
    try:
        yield task
    finally:
        task.cancel()
        with CancelScope(shield=True):
            await asyncio.wait([task])


async def read_body(request: Request, limit: int) -> bytes:
    """Return a request's body.

    Raises:
        ApiError: 413 if it is longer than `limit`.
    """
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit:
            raise ApiError(413, f"the body of this request exceeds {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
