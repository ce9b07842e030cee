"""One request and its response over a connection that nobody else uses meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

import httpx

from ..errors import UsageError
from ._trace import traced

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterator, Mapping

    from ._connection import Connection
    from ._framing import BodyDecoder
    from ._head import Messages, ResponseHead
    from ._trace import Trace, Tracer

__all__ = ["Exchange", "ResponseStream"]

# Bytes that are written at once. Of more, the write timeout could not tell whether they are slow or stalled.
_WRITE_SIZE: Final = 262_144

_Taken = TypeVar("_Taken")


class Exchange:
    """Sends a request and receives the head of its response.

    Args:
        connection: Fresh from the pool.
        messages: The request's head, and what reads the response's.
        body: The request's.
        timeouts: Seconds, by httpx's names; missing or None is no limit.
        trace: Hears of each step.
    """

    def __init__(
        self,
        connection: Connection,
        messages: Messages,
        body: AsyncIterable[bytes],
        *,
        timeouts: Mapping[str, float | None],
        trace: Trace,
    ) -> None:
        self._connection = connection
        self._messages = messages
        self._body = body
        self._timeouts = timeouts
        self._trace = trace
        self._early: ResponseHead | None = None  # came before the request was sent in full

    async def run(self) -> ResponseHead:
        """Send the request; return the head of the response.

        An error that the server answers before it has the whole request ends the sending.

        Raises:
            httpx.RequestError: as httpx does. The connection then is of no use any more, nor is it after
                cancellation.
        """
        self._connection.begin()
        # It goes out with a body that is there; the first chunk of a stream may be long in coming.
        head_alone = not isinstance(self._body, httpx.ByteStream)
        head_parts = [self._messages.head]
        async with traced(self._trace, "http11.send_request_headers"):
            self._connection.write(head_parts if head_alone else [])
        async with traced(self._trace, "http11.send_request_body"):
            refused = await self._send_body([] if head_alone else head_parts)
        async with traced(self._trace, "http11.receive_response_headers") as result:
            head = refused or await self._receive_head()
            result["return_value"] = head[:4]
        return head

    async def _send_body(self, unsent: list[bytes]) -> ResponseHead | None:
        """Send the body behind what is `unsent`; return the head of an error that came before its end."""
        chunks = self._body.__aiter__()
        first = True
        try:
            async for chunk in chunks:
                for piece in _pieces(chunk):
                    if not first and (refused := await self._drain()):
                        return refused._replace(persistent=False)
                    first = False
                    self._connection.write(unsent + self._messages.frame(piece))
                    unsent = []
        finally:
            if (aclose := getattr(chunks, "aclose", None)) is not None:
                await aclose()
        self._connection.write(unsent + self._messages.frame_end())
        return None

    async def _drain(self) -> ResponseHead | None:
        """Wait until more can be written; return the head of an error that came instead."""
        connection = self._connection
        # The loop's turn to learn that the server has answered, or gone: writing to it would lose the answer.
        await asyncio.sleep(0)
        while True:
            if self._early is None:
                self._early = connection.take_head(self._messages)
            if self._early is not None and self._early.status >= 300:
                return self._early
            if connection.ended:
                if self._early is not None:
                    return self._early
                raise self._broken(httpx.WriteError)
            if connection.writable:
                return None
            await connection.wait(self._timeouts.get("write"), httpx.WriteTimeout)

    async def _receive_head(self) -> ResponseHead:
        head = self._early
        while head is None:
            head = self._connection.take_head(self._messages)
            if head is None:
                if self._connection.ended:
                    raise self._broken(httpx.ReadError)
                await self._connection.wait(self._timeouts.get("read"), httpx.ReadTimeout)
        return head

    def _broken(self, kind: type[httpx.NetworkError]) -> httpx.TransportError:
        """Make the error for a connection that ended too early."""
        error = self._connection.error
        if error is not None:
            return _network_error(kind, error)
        what = "in the middle of the response's head" if self._connection.answered else "without a response"
        return httpx.RemoteProtocolError(f"the server closed the connection {what}")


class ResponseStream(httpx.AsyncByteStream):
    """The body of a response as it arrives: httpx's stream, and the private lane of our own clients.

    A chunk is what was received since the last one was taken, without the framing, as one `bytes` object.

    Attributes:
        request: What errors name as their request.
        trailers: Of the response, once the body was read to its end.

    Args:
        connection: Behind the head.
        head: Of the response.
        seconds: The read timeout.
        trace: Hears of the beginning and the end.
        release: Called once, with whether the connection may be used again.

    Raises:
        httpx.RequestError: while iterating, if the body breaks off, is malformed, or stalls.
        httpx.StreamClosed: while iterating, if it was closed before its end.
        UsageError: if a second task iterates.
    """

    def __init__(
        self,
        connection: Connection,
        head: ResponseHead,
        *,
        seconds: float | None,
        trace: Trace,
        release: Callable[[bool], object],
    ) -> None:
        self.request: httpx.Request | None = None
        self.trailers = head.body.trailers
        self._connection = connection
        self._body = head.body
        self._persistent = head.persistent
        self._seconds = seconds
        self._trace = trace
        self._release: Callable[[bool], object] | None = release
        self._started = False
        if self._body.done:
            self._let_go(reusable=self._persistent)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self._next(self._connection.take_body, b"")
        if not data:
            raise StopAsyncIteration
        return data

    async def pass_on(self, keep: Callable[[memoryview], object], maximum: int) -> int:
        """Hand what was received since the last time to `keep`, without a copy; return how many bytes.

        What `keep` is called with is a view of the buffer that receives, valid until it returns. It is not
        called, and 0 returned, if more than `maximum` bytes may have been received, and at the end: the next
        chunk, or its absence, then tells.
        """

        def take(body: BodyDecoder) -> int | None:
            return self._connection.pass_body(body, keep, maximum)

        nothing: int | None = 0
        return await self._next(take, nothing) or 0

    async def _next(self, take: Callable[[BodyDecoder], _Taken], nothing: _Taken) -> _Taken:
        """Return what `take` takes as soon as that is other than `nothing`: which it is at the end."""
        if self._release is None:
            if self._body.done:
                return nothing
            raise httpx.StreamClosed
        if self._connection.waiting:
            raise UsageError("this response is being read by another task already; it has one consumer")
        try:
            if self._trace is None:
                taken = await self._read(take, nothing)
            else:
                taken = await self._read_and_tell(self._trace, take, nothing)
        except BaseException as error:
            self._let_go(reusable=False)
            if isinstance(error, httpx.RequestError) and self.request is not None:
                error.request = self.request
            raise
        if self._body.done:
            self._let_go(reusable=self._persistent)
        return taken

    def take_ready(self) -> bytes | None:
        """Return what has arrived, without waiting; None if nothing has, and where there is an error."""
        if self._release is None or self._trace is not None or self._connection.waiting:
            return None
        try:
            data = self._connection.take_body(self._body)
        except httpx.RemoteProtocolError:
            return None  # it is met again by whoever waits
        if self._body.done:
            self._let_go(reusable=self._persistent)
        return data or None

    async def _read(self, take: Callable[[BodyDecoder], _Taken], nothing: _Taken) -> _Taken:
        connection, body = self._connection, self._body
        while (taken := take(body)) == nothing and not body.done:
            if self._release is None:  # by another task, meanwhile
                raise httpx.StreamClosed
            if connection.ended:
                if connection.error is not None:
                    raise _network_error(httpx.ReadError, connection.error)
                body.feed_eof()
            elif not connection.read_now(expected=body.expected):
                await connection.wait(self._seconds, httpx.ReadTimeout, expected=body.expected)
        return taken

    async def _read_and_tell(
        self, trace: Tracer, take: Callable[[BodyDecoder], _Taken], nothing: _Taken
    ) -> _Taken:
        name = "http11.receive_response_body"
        if not self._started:
            self._started = True
            await trace(f"{name}.started", {})
        try:
            taken = await self._read(take, nothing)
        except BaseException as error:
            await trace(f"{name}.failed", {"exception": error})
            raise
        if self._body.done:
            await trace(f"{name}.complete", {"return_value": None})
        return taken

    def _let_go(self, *, reusable: bool) -> None:
        if self._release is not None:
            self._release(reusable)
            self._release = None

    def __del__(self) -> None:
        # A response that is dropped without being closed must not keep its connection for ever. It may be
        # collected in any thread; a closed loop has no connections any more.
        if self._release is not None:
            with suppress(RuntimeError):
                self._connection.loop.call_soon_threadsafe(self._release, False)

    async def aclose(self) -> None:
        """Close a connection whose body was not read to its end. May be called again."""
        self._let_go(reusable=False)


def _pieces(chunk: bytes) -> Iterator[bytes]:
    """Cut a chunk of a request's body into what is written at once."""
    if len(chunk) <= _WRITE_SIZE:
        if chunk:
            yield chunk
        return
    view = memoryview(chunk)
    for start in range(0, len(chunk), _WRITE_SIZE):
        yield bytes(view[start : start + _WRITE_SIZE])


def _network_error(kind: type[httpx.NetworkError], error: Exception) -> httpx.NetworkError:
    wrapped = kind(str(error) or type(error).__name__)
    wrapped.__cause__ = error
    return wrapped
