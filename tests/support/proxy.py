"""A TCP relay on loopback that breaks connections off: for servers that have no faults of their own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CuttingProxy"]


class CuttingProxy:
    """Relays connections to a server, and resets one whenever a fuse has burnt down.

    Attributes:
        fuses: Bytes from the server that still pass before the connection that they come by is reset, one
            fuse after the other; without any, all pass.
        cut: How many were reset.

    Args:
        host: The server's address.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = host, port
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self.fuses: list[int] = []
        self.cut = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._server is not None
        if not self._server.is_serving():  # it was accepted in the turn before
            writer.close()
            return
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(partial(self._end, writer))

    def _end(self, writer: asyncio.StreamWriter, relay: asyncio.Task[None]) -> None:
        self._relays.discard(relay)
        # Here, as a task that is cancelled before its first step does nothing. What was written is to arrive;
        # then the connection ends in the middle of an answer.
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connecting = asyncio.ensure_future(asyncio.open_connection(*self._upstream))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:  # which would lose a connection that was just made
            _, to_server = await connecting
            to_server.close()
            raise

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_server = await self._connect()
        sending = asyncio.create_task(_pump(reader, to_server))
        try:
            with suppress(OSError):
                while chunk := await upstream.read(4096):
                    if self.fuses:
                        chunk, self.fuses[0] = chunk[: self.fuses[0]], self.fuses[0] - len(chunk)
                    writer.write(chunk)
                    await writer.drain()
                    if self.fuses and self.fuses[0] <= 0:
                        self.fuses.pop(0)
                        self.cut += 1
                        break
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            to_server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
