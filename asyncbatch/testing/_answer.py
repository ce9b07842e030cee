"""Faults of bytes: what is done to an answer on its way from the application to the connection."""

from __future__ import annotations

import asyncio
import fcntl
import math
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

from ..server._serve import transport_of
from ..server._stream import TRAILERS, watching
from ._faults import Cut, Empty, Stall, Trickle

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from starlette.types import Message, Receive, Scope, Send

    from ._faults import Fault

__all__ = ["FaultyAnswer", "break_off"]

_INT: Final = struct.Struct("i")
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, for no seconds


async def break_off(scope: Scope, receive: Receive, how: Literal["reset", "close"]) -> None:
    """End a request's connection, and return when it is gone."""
    transport = transport_of(scope)
    if how == "reset" and not transport.is_closing():
        # A socket that does not linger is not closed with a FIN but with a RST.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()
    # An application that returned before would be told off for an answer that is not complete.
    await _pause(receive, math.inf)


class FaultyAnswer:
    """Stands for an application's `send`, and sends an answer with a fault. A redirect is sent as it is.

    Args:
        fault: One that does not concern the bytes of an answer does nothing, and nor does None.
        scope: Of the request.
        receive: Of the request.
        send: Takes what is really sent.
        on_redirect: Called with the URL that the answer redirects to, before it is sent.
    """

    def __init__(
        self,
        fault: Fault | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        on_redirect: Callable[[str], None],
    ) -> None:
        self._fault = Cut(0, "end") if isinstance(fault, Empty) else fault
        self._scope = scope
        self._receive = receive
        self._send = send
        self._on_redirect = on_redirect
        self._sent = 0
        self._is_chunked = False
        self._is_over = False

    async def __call__(self, message: Message) -> None:
        """Send a message, or what the fault leaves of it."""
        if message["type"] == "http.response.start":
            await self._start(message)
        elif message["type"] == TRAILERS:
            await self._send(message)  # also behind a body that ended too soon: there they tell on it
        elif not self._is_over:
            await self._continue(message.get("body", b""), more=message.get("more_body", False))

    async def _start(self, head: Message) -> None:
        if 300 <= head["status"] < 400:
            self._on_redirect(dict(head["headers"])[b"location"].decode("latin-1"))
            self._fault = None
        # As h11 will have it (RFC 9112, section 6.3).
        has_length = any(name == b"content-length" for name, _ in head["headers"])
        self._is_chunked = not has_length and self._scope["http_version"] == "1.1"
        match self._fault:
            case Cut(at, "end") if has_length:
                # There is no such end. Without the length there would be one, which no client could know.
                self._fault = Cut(at, "close")
            case Stall(seconds, at=None):
                await _pause(self._receive, seconds)
        await self._send(head)

    async def _continue(self, body: bytes, *, more: bool) -> None:
        match self._fault:
            case Cut(at, how) if self._sent + len(body) >= at:
                await self._cut(body, at - self._sent, how)
            case Stall(seconds, int(at)) if self._sent <= at <= self._sent + len(body):
                first = at - self._sent
                await self._pass_on(body[:first])
                await _pause(self._receive, seconds)
                self._fault = None
                await self._pass_on(body[first:], more=more)
            case Trickle(size, pause):
                for start in range(0, len(body), size):
                    await self._pass_on(body[start : start + size])
                    await _pause(self._receive, pause)
                await self._pass_on(b"", more=more)
            case _:
                await self._pass_on(body, more=more)

    async def _pass_on(self, body: bytes, *, more: bool = True) -> None:
        self._sent += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _cut(self, body: bytes, length: int, how: Literal["reset", "close", "end"]) -> None:
        self._is_over = True
        if how == "end":
            await self._pass_on(body[:length], more=False)
            return
        transport = transport_of(self._scope)
        if self._is_chunked and length < len(body):
            # Servers break off in the midst of a chunk; a smaller one would end where it says.
            transport.write(b"%x\r\n" % len(body) + body[:length])
        else:
            await self._pass_on(body[:length])
        if how == "reset":
            await _arrived(transport)
        await break_off(self._scope, self._receive, how)


async def _arrived(transport: asyncio.Transport) -> None:
    """Wait until the client's system has all that was sent: a reset discards what is still on its way."""
    while not transport.is_closing() and _on_the_way(transport):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)


def _on_the_way(transport: asyncio.Transport) -> int:
    """Return how many bytes have not arrived; where the system does not tell, as in macOS, not even left."""
    waiting = transport.get_write_buffer_size()
    try:
        told = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except OSError:
        return waiting
    (unacknowledged,) = _INT.unpack(told)
    return waiting + int(unacknowledged)


async def _pause(receive: Receive, seconds: float) -> None:
    """Wait, but no longer than the client."""
    async with watching(receive) as gone:
        await asyncio.wait([gone], timeout=None if math.isinf(seconds) else seconds)
