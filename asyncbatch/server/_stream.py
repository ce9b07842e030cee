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
    from collections.abc import AsyncIterator, Generator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from ..codecs._events import Buffer

__all__ = ["CHUNK_SIZE", "Body", "CutError", "StreamResponse", "read_body", "watching"]

CHUNK_SIZE: Final = 262_144
"""Bytes at which a chunk of a body is sent."""

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
    """

    def __init__(
        self, body: Body, *, headers: Mapping[str, str], status: int = 200, first: bytes = b""
    ) -> None:
        self._head = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
            ],
        }
        self._body = body
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as far as the client takes it."""
        try:
            await send(self._head)
            if self._body.done:
                await send({"type": "http.response.body", "body": self._first})
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
                if chunk or self._body.done:
                    await send(
                        {"type": "http.response.body", "body": chunk, "more_body": not self._body.done}
                    )
                    if self._body.done:
                        break
                chunk = await run_sync(self._body.fill)


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
