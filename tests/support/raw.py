"""A server that is a function of a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

__all__ = ["RawServer", "Serve", "answering", "read_head"]

Serve: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]"


class RawServer:
    """Calls `serve` with each connection, and closes it behind that.

    Attributes:
        accepted: Connections so far.
        open: Those that are served.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        ssl_context: ssl.SSLContext | None = None,
        uds: Path | None = None,
    ) -> None:
        self.accepted = self.open = 0
        self._function = serve
        self._ssl_context = ssl_context
        self._uds = uds
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._uds is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._uds)
            return self
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl_context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._ssl_context else ''}://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        try:
            await self._function(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over; asyncio would log an error about either
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Read the head of a request."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(*answers: bytes) -> Serve:
    """Make a function that answers requests without bodies, each by the next bytes, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_head(reader)
            writer.write(answer)
            await writer.drain()

    return serve
